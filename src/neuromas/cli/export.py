"""``neuromas export``: a trained network as a folder to give away, with a card that says what it is."""

from __future__ import annotations

import argparse
import json
import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from neuromas.cli.network import RUN, there
from neuromas.cli.options import folder_to_write, name
from neuromas.core.errors import RunError
from neuromas.report.blocks import percent
from neuromas.report.draw import headline
from neuromas.report.reading import read_evaluation, readable
from neuromas.report.terminal import visible
from neuromas.storage import Run
from neuromas.topology.graph import Topology

_TESTS = {"test-before": "before training", "test-after": "after", "test-after-blank": "messages blanked"}


def add(parser: argparse.ArgumentParser) -> None:
    """Say what may be typed."""
    parser.add_argument("path", metavar="RUN", help=RUN)
    parser.add_argument("--out", type=name, required=True, metavar="DIR", help="new folder for the network")
    parser.add_argument("--base", type=name, metavar="NAME", help="base model the adapters' PEFT files name")


def run(args: argparse.Namespace) -> int:
    """Write network, PEFT adapters and card. Loads no model and needs no data."""
    out = folder_to_write("--out", args.out)
    there(args.path)
    from neuromas.models.bundle import read_manifest
    from neuromas.system.exporting import export, public_base
    from neuromas.system.saving import bundle_folder

    folder = bundle_folder(Path(args.path))
    manifest = read_manifest(folder)
    with readable(f"{folder}: the network"):
        base = args.base or public_base(str(manifest["backbone"]["name"]))
        card = _card(manifest, base, out.name, _figures(Path(args.path)))
    export(Path(args.path), out, base, card)
    shown = visible(shlex.quote(args.out))
    print(f"{visible(args.out)}: network, PEFT adapters and README.md; try: neuromas ask {shown} QUESTION")
    return 0


def _figures(path: Path) -> list[str]:
    """Test accuracies of the run, a line each; none of a checkpoint or where there are none."""
    if not (path / "config.json").is_file():
        return []
    lines = []
    for test, words in _TESTS.items():
        try:
            summary, _ = read_evaluation(Run.open(path), test)
        except RunError:
            continue
        accuracy = percent(summary["accuracy"], summary["interval"])
        lines.append(f"| {words} | {accuracy} | {summary['items']} |")
    return ["| test | accuracy and 95 % interval | items |", "|---|---|---|", *lines] if lines else []


def _card(manifest: Mapping[str, Any], base: str, title: str, figures: list[str]) -> str:
    """What the network is, how it was measured and how it is used, as a model card in Markdown."""
    topology, prompts = Topology.from_dict(manifest["topology"]), manifest.get("prompts")
    task = manifest["config"]["task"]["name"]
    nodes = [
        f"| {_code(topology.label(row) if row != topology.sink else 'output')} "
        f"| `adapters/adapter-{adapter:02d}` | {manifest['versions'][adapter]} |"
        for row, adapter in enumerate(manifest["assignment"])
    ]
    question = "What is asked" + " | part" * topology.shares
    return "\n".join(
        [
            *(
                "---",
                f"base_model: {_plain(base)}",
                "library_name: peft",
                "tags: [neuromas, lora]",
                "---",
                "",
            ),
            f"# {_plain(title)}",
            "",
            f"A NeuroMAS network (arXiv:2605.16757) for the task {_code(task)}:",
            f"{_plain(headline(topology))}.",
            f"Its nodes are LoRA adapters over {_code(base)} (weights trained over: "
            f"{_code(manifest['backbone']['name'])}, {_code(manifest['backbone']['digest'])}).",
            *([f"Its nodes read prompts of the author's own: {_code(prompts[:120])}."] if prompts else []),
            *("", "| node | adapter | updates |", "|---|---|---|", *nodes, ""),
            *([*figures, ""] if figures else []),
            "The network as a whole, with its prompts and messages:",
            *("", f'    neuromas ask {shlex.quote(title)} "{question}" --trace', ""),
            "One node's adapter by itself, which reads prompts only NeuroMAS writes:",
            "",
            "```python",
            "from peft import PeftModel",
            "from transformers import AutoModelForCausalLM",
            "",
            f"base = AutoModelForCausalLM.from_pretrained({json.dumps(_plain(base))})",
            'node = PeftModel.from_pretrained(base, "adapters/adapter-00")',
            "```",
            "",
        ]
    )


def _plain(text: str) -> str:
    """Text that cannot act as Markdown, HTML or YAML."""
    return re.sub(r"[^\w ./:;,()+-]", "_", visible(str(text)))


def _code(text: str) -> str:
    """The same as code."""
    return f"`{_plain(text)}`"
