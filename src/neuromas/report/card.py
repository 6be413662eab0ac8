"""The card of an exported network: what it is, what was measured, how it came about, how it is used.

Metadata are written by huggingface_hub's ``ModelCardData``, so that a hub reads them. Names may be a
stranger's: in the card they are code or escaped text, and cannot act as Markdown, HTML or YAML.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from huggingface_hub import EvalResult, ModelCardData

from neuromas.report.blocks import Block, Cell, Table, Text, share
from neuromas.report.card_results import Results
from neuromas.report.card_words import BASES, LIMITS, MERGED_LIMITS, USES
from neuromas.report.draw import as_svg, headline
from neuromas.report.lineage import lineage_svg, lineage_text
from neuromas.report.terminal import visible
from neuromas.report.writers import as_markdown
from neuromas.topology.graph import Topology

TOPOLOGY, LINEAGE = "topology.svg", "lineage.svg"
PAPER = "arXiv:2605.16757"


@dataclass(frozen=True, slots=True)
class MergedNode:
    """What a card says of a node that was merged: ``same`` of ``checked`` answers were its own."""

    name: str
    alone: bool
    same: int
    checked: int
    why: str


@dataclass(frozen=True, slots=True)
class About:
    """What a card is of. ``manifest`` has no places of the machine in it.

    ``base`` is the model beneath as others find it and ``kind`` how far that resolves (see ``card_words``);
    ``folders`` are the adapters' by row; ``licence`` is "" where nobody named one.
    """

    title: str
    manifest: Mapping[str, Any]
    base: str
    kind: str
    folders: Sequence[str]
    licence: str
    with_base: bool = False
    merged: MergedNode | None = None


def card(about: About, results: Results) -> dict[str, str]:
    """README.md and its pictures, by file name. Raises KeyError and the like for a damaged manifest."""
    topology = Topology.from_dict(about.manifest["topology"])
    mark = about.manifest.get("prompts")
    files = {TOPOLOGY: as_svg(topology, f"prompts: {mark[:120]}" if isinstance(mark, str) and mark else "")}
    if about.manifest.get("lineage"):
        files[LINEAGE] = lineage_svg(about.manifest)
    parts = [
        f"---\n{_metadata(about, results)}\n---",
        f"# {_plain(about.title)}",
        *_what(about, topology),
        f"![{_plain(headline(topology))}]({TOPOLOGY})",
        *_results(about, results),
        *([] if about.merged else _nodes(about, topology)),
        *_base(about),
        *_use(about, topology),
        "## What it is for, and what not",
        MERGED_LIMITS if about.merged else LIMITS,
        *_training(about, results, LINEAGE in files),
        *_licence(about),
    ]
    return {**files, "README.md": "\n\n".join(parts) + "\n"}


def _metadata(about: About, results: Results) -> str:
    """The YAML block, without its marks."""
    task = _plain(about.manifest["config"]["task"]["name"])
    found = [
        EvalResult(
            task_type="text-generation",
            task_name="Text generation",
            dataset_type=task,
            dataset_name=f"{task} ({one.items} test questions)",
            dataset_split="test",
            metric_type="accuracy",
            metric_name=f"accuracy, {one.words}",
            metric_value=round(one.accuracy, 4),
        )
        for one in results.tests
        if one.accuracy is not None
    ]
    resolves = about.kind != "none"
    data = ModelCardData(
        base_model=visible(about.base) if resolves else None,
        base_model_relation=("finetune" if about.merged else "adapter") if resolves else None,
        library_name="transformers" if about.merged else "peft",
        license=about.licence or None,
        model_name=_plain(about.title),
        pipeline_tag="text-generation",
        tags=["neuromas", "multi-agent", "reinforcement-learning", *([] if about.merged else ["lora"])],
        eval_results=found or None,
    )
    return str(data.to_yaml()).strip()


def _what(about: About, topology: Topology) -> Iterator[str]:
    """What it is, in a paragraph."""
    config, prompts = about.manifest["config"], about.manifest.get("prompts")
    task = _code(config["task"]["name"])
    if about.merged:
        yield (
            f"One node, {_code(about.merged.name)}, of a NeuroMAS network ({PAPER}) as a model of its own: "
            f"its LoRA adapter was added to the weights beneath. The network, {_plain(headline(topology))}, "
            f"was trained on the task {task}."
        )
        yield _agreement(about.merged)
    else:
        yield (
            f"A NeuroMAS network ({PAPER}) for the task {task}: {_plain(headline(topology))}. Its nodes are "
            "LoRA adapters over one frozen language model; they write messages to each other along the "
            "edges, have no roles but positions, and were trained together by REINFORCE from one reward for "
            "the final answer."
        )
    if isinstance(prompts, str) and prompts:
        yield f"Its nodes read prompts of the author's own: {_code(prompts[:120])}."


def _agreement(merged: MergedNode) -> str:
    """How far what was written is the node."""
    if merged.checked:
        said = (
            f"Loaded by transformers alone, it answered {merged.same} of {merged.checked} test questions as "
            "the node does, token by token."
        )
        why = " Where they differ two tokens were about equally likely: merged weights round otherwise."
        return said + (why if merged.same < merged.checked else "")
    return f"It was not compared with the node when it was written: {_plain(merged.why)}."


def _results(about: About, results: Results) -> Iterator[str]:
    """Accuracies with intervals, the gain, and what messages are worth."""
    yield "## Results"
    if not results.tests:
        yield "No test results lie beside the network that was exported."
        return
    if about.merged:
        yield "Of the whole network that the node comes from:"
    rows: list[tuple[Cell, ...]] = [
        (one.words, share(one.accuracy, one.interval), one.items) for one in results.tests
    ]
    if results.constant is not None:
        rows.append(("always the most frequent answer", share(results.constant), results.tests[0].items))
    yield _blocks(Table(("test", "accuracy and 95 % interval", "questions"), tuple(rows)))
    if results.gain:
        yield _blocks(Text((f"Gain: {results.gain}.",)))
    if results.cost:
        yield _blocks(Text((results.cost,)))
    yield (
        "Answers are greedy. *Blanked*: readers are shown empty messages; *shuffled*: messages that the "
        "same nodes wrote for other questions. A network whose accuracy stays the same there does not use "
        "its messages."
    )


def _nodes(about: About, topology: Topology) -> Iterator[str]:
    """A line for every node, with its adapter's folder."""
    manifest = about.manifest
    rows: list[tuple[Cell, ...]] = []
    for row, adapter in enumerate(manifest["assignment"]):
        spec = topology.nodes[row]
        which = "output" if row == topology.sink else f"node {spec.index} of {spec.width}"
        place = f"layer {spec.layer}, {which}"
        reads = [topology.nodes[edge.source].name for edge in topology.incoming(row)]
        seen = {"all": "the question", "none": "", "stem": "what is asked"}.get(
            spec.question, f"part {spec.question}"
        )
        sources = ", ".join(filter(None, [seen, *reads[:12], *(["…"] if len(reads) > 12 else [])]))
        rows.append((spec.name, place, sources, about.folders[adapter], manifest["versions"][adapter]))
    yield "## Nodes"
    yield _blocks(Table(("node", "position", "reads", "adapter", "updates"), tuple(rows)))
    if len(about.folders) < len(rows):
        yield "Nodes in one folder share its adapter, which is there once."


def _base(about: About) -> Iterator[str]:
    """The model beneath, and whether its name leads to the very weights."""
    was = about.manifest["backbone"]
    yield "## The model beneath"
    yield BASES[about.kind].format(
        base=_code(about.base), name=_code(was["name"]), digest=_code(was["digest"])
    )
    if about.with_base:
        yield "The weights it was trained over lie in `base/`, a folder that transformers loads."


def _use(about: About, topology: Topology) -> Iterator[str]:
    """Commands and code that can be pasted."""
    yield "## Use"
    folder = shlex.quote(_plain(about.title))
    if about.merged:
        yield _code_block(_merged_code(about.merged, _plain(about.title)))
        yield USES["merged alone" if about.merged.alone else "merged"]
        return
    question = "What is asked" + " | part" * topology.shares
    backbone = "" if about.kind in ("same", "near") else " --backbone MODEL"
    if about.manifest["backbone"]["name"] == "tiny":
        backbone = ""
    ask = [f'neuromas ask {folder} "{question}" --trace{backbone}', f"neuromas serve {folder}"]
    yield "The network as a whole, with its prompts and messages; from the hub it is `hub:USER/NAME`:"
    yield "```sh\n" + "\n".join(ask) + "\n```"
    base = "base" if about.with_base else about.base if about.kind != "none" else "THE MODEL BENEATH"
    yield "One node's adapter by itself, which reads prompts that only NeuroMAS writes (`neuromas prompts`):"
    yield _code_block(
        [
            "from peft import PeftModel",
            "from transformers import AutoModelForCausalLM",
            "",
            f"base = AutoModelForCausalLM.from_pretrained({json.dumps(_plain(base))})",
            f"node = PeftModel.from_pretrained(base, {json.dumps(about.folders[0])})",
        ]
    )


def _merged_code(merged: MergedNode, folder: str) -> list[str]:
    """How the merged node is asked."""
    ids = (
        [
            'chat = [{"role": "user", "content": "What is asked"}]',
            'ids = tokenizer.apply_chat_template(chat, return_tensors="pt", return_dict=True)',
        ]
        if merged.alone
        else ['ids = tokenizer("the prompt of the node", return_tensors="pt", add_special_tokens=False)']
    )
    return [
        "from transformers import AutoModelForCausalLM, AutoTokenizer",
        "",
        f"model = AutoModelForCausalLM.from_pretrained({json.dumps(folder)})",
        f"tokenizer = AutoTokenizer.from_pretrained({json.dumps(folder)})",
        *ids,
        "out = model.generate(**ids)",
        'print(tokenizer.decode(out[0, ids["input_ids"].shape[1]:], skip_special_tokens=True))',
    ]


def _training(about: About, results: Results, drawn: bool) -> Iterator[str]:
    """Command, what was spent, versions, and the lineage of growth."""
    yield "## How it was trained"
    by = _plain(results.version or "NeuroMAS")
    yield f"By REINFORCE on one frozen model with {by}, as `neuromas.toml` says:"
    yield "```sh\nneuromas train neuromas.toml --run runs/mine\n```"
    config = about.manifest.get("plan", about.manifest["config"])
    computed = _precision(config, about.manifest["backbone"])
    facts = [("seed", str(config["seed"])), *_settings(config), *computed, *results.facts]
    yield _blocks(Table(("", "value"), tuple((_plain(key), visible(value)) for key, value in facts)))
    if config["growth"].get("parent") or any(entry.get("run") for entry in about.manifest.get("lineage", ())):
        yield "It began with a network that was trained before: this command alone does not repeat it."
    if drawn:
        yield "Its ancestors, oldest first, each with what it had cost:"
        yield _blocks(Text((*lineage_text(about.manifest).split("\n"), "")))
        yield f"![lineage]({LINEAGE})"


def _settings(config: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The keys that say most of a training; all are in the configuration's file."""
    train, model = config["train"], config["model"]
    yield "adapters", f"rank {model['rank']}, alpha {model['alpha']:g}, on {', '.join(model['targets'])}"
    yield "steps", f"{train['steps']} of {train['problems']} questions × {train['samples']} samples"
    yield "learning rate", f"{train['lr']:g}"
    yield "baseline", str(train["baseline"])


def _precision(config: Mapping[str, Any], backbone: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What the frozen model computed in; nothing of networks that left it open before it was noted."""
    named = config["model"].get("dtype", "auto")
    said = backbone.get("precision") if named == "auto" else named
    return [("precision of the frozen model", str(said))] if said else []


def _licence(about: About) -> Iterator[str]:
    """Whose licence holds for what."""
    yield "## Licence"
    what = "These weights" if about.merged else "The adapters"
    own = (
        f"{what} are licensed as {_code(about.licence)}."
        if about.licence
        else f"No licence was named when this was exported; ask who gave it to you. {what} come from a model "
        "that has a licence of its own, which may bind what is made of it."
    )
    yield f"{own} {BASES['licence ' + about.kind].format(base=_code(about.base))} NeuroMAS is Apache-2.0."


def _blocks(*blocks: Block) -> str:
    return as_markdown(blocks).strip()


def _code_block(lines: Sequence[str]) -> str:
    """Python that was made here, of names that cannot end it."""
    return "```python\n" + "\n".join(lines) + "\n```"


def _plain(text: str) -> str:
    """Text that cannot act as Markdown, HTML or YAML; addresses in it are no links."""
    return re.sub(r"[^\w ./:;,()+-]|(?<=:)/(?=/)", "_", visible(str(text)))


def _code(text: str) -> str:
    """The same as code."""
    return f"`{_plain(text)}`"
