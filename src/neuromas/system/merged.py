"""One node of a network as a model of its own: its adapter in the weights, in a folder for transformers.

What is written is loaded again by transformers alone and held against the node, token by token.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from neuromas.core.episode import Turn
from neuromas.core.errors import ConfigError, NeuromasError, TaskError, one_line, unknown
from neuromas.core.task import Problem
from neuromas.models.embedded import file_digest
from neuromas.models.merging import Speech, tokenizer_of, write_model
from neuromas.prompts.build import build_prompt
from neuromas.storage import replace_folder, write_atomic
from neuromas.storage.disk import json_text
from neuromas.system.assemble import Assembly
from neuromas.system.exporting import CONFIG, Exported, copy_prompt, refuse_existing
from neuromas.system.network import Network
from neuromas.system.portable import check_no_places, training_file
from neuromas.system.rollout import Sampling, rollout
from neuromas.system.saving import load_bundle
from neuromas.tasks.saved import AskedTask

MERGED = "merged.json"  # vouches for the files of such a folder, as network.json does for a network's
FORMAT = 1
_MARK = "\ue000NEUROMAS\ue001"
_ASKED = ("What is 3 + 4?", "Which of these is the largest: 12, 7, 31?", "Name a colour")
_CHECKED = 20  # questions on which the node and what was written are compared


@dataclass(frozen=True, slots=True)
class Merged:
    """What was written. ``same`` of ``checked`` answers are the node's own tokens; ``why`` none was checked.

    ``alone`` says whether a question is all that the node reads, so that the chat template builds its prompt.
    """

    node: str
    alone: bool
    same: int
    checked: int
    why: str = ""


Write = Callable[[Merged], Mapping[str, str]]  # card and pictures by name


def chosen(given: Exported, node: str | None) -> int:
    """The row of the node that is to be merged. Raises ConfigError."""
    names = [spec.name for spec in given.topology.nodes]
    if node is None:
        if len(names) > 1:
            raise ConfigError(
                f"--merged makes one model of one node, and this network has {len(names)}: name one with "
                f"--node (valid: {', '.join(names[:20])})"
            )
        return 0
    if node not in names:
        raise ConfigError(unknown("node", node, names))
    return names.index(node)


def export_merged(given: Exported, out: Path, row: int, write: Write) -> Merged:
    """Write the node in row ``row`` to the new folder ``out`` as a model for transformers.

    ``write`` gives the card and its pictures. Raises RunError, ModelError or ConfigError as loading the
    network does, and ConfigError for a quantised backbone, whose restored weights nobody trained with.
    """
    refuse_existing(out)
    way = given.manifest["config"]["model"].get("quantise", "none")
    if way != "none":
        raise ConfigError(
            f"--merged: the network was trained over weights in {way}; export its adapters instead"
        )
    assembly = load_bundle(given.folder, "cpu", as_trained=True)
    done: list[Merged] = []

    def fill(work: Path) -> None:
        network = assembly.network
        template, alone = _template(assembly, row)
        bank, adapter = assembly.model.bank, network.assignment[row]
        speech = Speech(template, network.ends(row), network.budget(row))
        write_model(work, assembly.model.backbone, speech, (bank, adapter))
        done.append(_checked(assembly, row, alone, work))
        write_atomic(work / CONFIG, training_file(given.manifest))
        copy_prompt(given, work)
        for name, text in write(done[0]).items():
            write_atomic(work / name, text)
        names = sorted(path.relative_to(work).as_posix() for path in work.rglob("*") if path.is_file())
        about = {
            "format": FORMAT,
            "node": done[0].node,
            **{key: given.manifest[key] for key in ("topology", "backbone", "config")},
            "files": {name: file_digest(work / name) for name in names},
        }
        write_atomic(work / MERGED, json_text(about))
        check_no_places(work, given.folder)

    replace_folder(out, fill)
    return done[0]


def _template(assembly: Assembly, row: int) -> tuple[str, bool]:
    """A chat template, and whether it makes the node's whole prompt of a user's question.

    Else it is that of the backbone's tokenizer where prompts are chats, and "" where they are plain text.
    """
    network, form = assembly.network, assembly.task.answer_format
    topology, codec = network.topology, network.engine.codec
    tokenizer = tokenizer_of(assembly.model.backbone)

    def encoded(text: str) -> tuple[int, ...]:
        return tuple(tokenizer.encode(text, add_special_tokens=False))

    def ids(question: str) -> tuple[int, ...]:
        asked = Problem(id="ask", question=question, answer="")
        prompt = build_prompt(topology, row, asked, [], codec, wording=network.wording(form))
        return prompt.prefix + prompt.suffix

    if not topology.incoming(row) and topology.nodes[row].question == "all":
        before, found, after = codec.spell(ids(_MARK)).partition(_MARK)
        # what a tokenizer makes of the whole text must be what it made of our pieces
        if found and all(encoded(before + one + after) == ids(one) for one in _ASKED):
            return f"{{{{- {_literal(before)} + messages[-1]['content'] + {_literal(after)} -}}}}", True
    own: Any = tokenizer.chat_template if network.style == "chat" else ""
    return (own if isinstance(own, str) else ""), False


def _literal(text: str) -> str:
    """The text as a string of Jinja, in ASCII and with nothing that Jinja reads."""
    kept = (c if c.isascii() and (c.isalnum() or c in " .,:;()/-") else f"\\U{ord(c):08x}" for c in text)
    return f"'{''.join(kept)}'"


def _checked(assembly: Assembly, row: int, alone: bool, folder: Path) -> Merged:
    """What was written, held against the node on the first test questions, greedily."""
    network = assembly.network
    name = network.topology.nodes[row].name
    try:
        problems = _problems(assembly)
        turns = _turns(network, assembly.task.answer_format, problems, row)
    except NeuromasError as error:  # data that are not here, or that this user never named
        return Merged(name, alone, 0, 0, one_line(error)[:200])
    found = _written(folder, [turn.prefix_ids + turn.suffix_ids for turn in turns])
    same = sum(ids == turn.ids for ids, turn in zip(found, turns, strict=True))
    return Merged(name, alone, same, len(turns))


def _problems(assembly: Assembly) -> list[Problem]:
    """The first test questions."""
    size, found = assembly.task.size("test"), list[Problem]()
    for i in range(_CHECKED if size is None else min(_CHECKED, size)):
        try:
            found.append(assembly.task.problem("test", i))
        except TaskError:
            if not found:
                raise
            break  # a task whose options allow few different questions
    return found


def _turns(network: Network, form: str, problems: Sequence[Problem], row: int) -> list[Turn]:
    """What the node read and wrote of each question, of those that came to it."""
    episodes = rollout(network, AskedTask(form), problems, 1, Sampling(0.0, 0))
    return [turn for episode in episodes for turn in episode.turns if turn.node == row]


def _written(folder: Path, prompts: Sequence[Sequence[int]]) -> list[tuple[int, ...]]:
    """What transformers alone writes after each prompt."""
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder, local_files_only=True, dtype="auto").eval()
    found = []
    for prompt in prompts:
        ids = torch.tensor([list(prompt)])
        with torch.inference_mode():
            out = model.generate(ids, attention_mask=torch.ones_like(ids))
        found.append(tuple(out[0, ids.shape[1] :].tolist()))
    return found
