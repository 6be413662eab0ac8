"""``neuromas prompts``: exactly what every node reads for one problem, with its tokens."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from neuromas.cli.network import add_trust, allow
from neuromas.cli.options import whole
from neuromas.core.choices import STYLES
from neuromas.core.errors import ConfigError, shown
from neuromas.core.files import is_file, is_folder
from neuromas.core.task import SPLITS
from neuromas.report.terminal import block, visible

if TYPE_CHECKING:
    from neuromas.config import Config
    from neuromas.core.task import Problem, Task
    from neuromas.prompts.build import Wording
    from neuromas.prompts.codec import Codec
    from neuromas.system.inspect import NodePrompt, Said
    from neuromas.topology.graph import Edge, Topology

_ITEMS = 100_000_000


@dataclass(frozen=True, slots=True)
class _Told:
    """All that prompts are made of."""

    config: Config
    topology: Topology
    task: Task
    wording: Wording


def add(parser: argparse.ArgumentParser) -> None:
    """Say what may be typed."""
    parser.set_defaults(pairs="settings")
    parser.add_argument(
        "settings",
        nargs="*",
        metavar="CONFIG.toml | RUN | key=value",
        help="a TOML file and overrides, as for train; or a run or checkpoint",
    )
    parser.add_argument(
        "--item", type=whole(_ITEMS), default=1, help="which problem of the split (default 1)"
    )
    parser.add_argument("--split", default="train", choices=SPLITS, help="of the problem (default train)")
    parser.add_argument("--style", choices=STYLES, help="as if network.style were this one")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--message", metavar="TEXT", help="what every node is to have written")
    which.add_argument("--greedy", action="store_true", help="let a RUN write its messages (loads its model)")
    parser.add_argument("--json", action="store_true", help="sections and token ids as JSON")
    add_trust(parser, model=True)


def run(args: argparse.Namespace) -> int:
    """Load the tokenizer, not the weights (but for ``--greedy``), and print every node's prompt."""
    from neuromas.models.tokenizer import load_codec
    from neuromas.system.inspect import inspect, nothing_said

    trained = bool(args.settings) and is_folder(args.settings[0])
    if not trained and (args.greedy or args.device or args.trust):
        raise ConfigError("--greedy, --device and --trust are for a RUN, not for a configuration")
    told = _of_run(args) if trained else _of_config(args)
    problem = _problem(told.task, args.split, args.item)
    codec, context = load_codec(args.backbone or told.config.model.backbone)
    said: Said = nothing_said
    if args.message is not None:
        said = _scripted(codec, args.message)
    elif args.greedy:
        said = _greedy(args, told.task, problem)
    network = told.config.network
    budgets = (network.message_tokens, network.answer_tokens)
    found = inspect(told.topology, problem, codec, wording=told.wording, budgets=budgets, said=said)
    print(_as_json(told, problem, found) if args.json else _as_text(told, problem, found, context))
    return 0


def _of_config(args: argparse.Namespace) -> _Told:
    """What a configuration would tell its first network."""
    from neuromas.config import load_config, make_config
    from neuromas.growth.stages import settle
    from neuromas.prompts.build import Wording
    from neuromas.system.prompting import choose_prompts
    from neuromas.tasks import make_task
    from neuromas.topology.files import load_topology

    first = args.settings[0] if args.settings else ""
    is_config = bool(first) and ("=" not in first or is_file(first))
    config = load_config(first, args.settings[1:]) if is_config else load_config(None, args.settings)
    if args.style:
        config = make_config({**dict(config), "network": {**dict(config.network), "style": args.style}})
    config = settle(config)
    task = make_task(config.task.name, config.task.options)
    topology = load_topology(config.network.topology, config.network.question)
    template, examples = choose_prompts(config, task, topology)
    return _Told(
        config, topology, task, Wording(config.network.style, task.answer_format, template, examples)
    )


def _of_run(args: argparse.Namespace) -> _Told:
    """What a saved network's nodes are told."""
    from neuromas.prompts.build import Wording
    from neuromas.system.saving import read_saved

    path = Path(args.settings[0])
    if args.settings[1:]:
        raise ConfigError(f"{shown(args.settings[1])}: a network that is saved takes no settings")
    allow(args, path)
    saved = read_saved(path, named=args.backbone is not None)
    style = args.style or saved.config.network.style
    wording = Wording(style, saved.task.answer_format, saved.template, saved.examples)
    return _Told(saved.config, saved.topology, saved.task, wording)


def _problem(task: Task, split: str, item: int) -> Problem:
    """The problem asked for, counted from 1. Raises ConfigError if the split has not so many."""
    size = task.size(split)  # type: ignore[arg-type]  # argparse has checked it
    if size is not None and item > size:
        raise ConfigError(f"--item {item}: the {split} split of task {task.name!r} has {size} problems")
    return task.problem(split, item - 1)  # type: ignore[arg-type]


def _scripted(codec: Codec, message: str) -> Said:
    """Every node wrote the same."""
    from neuromas.system.inspect import heard

    return lambda edge: heard(codec, edge, message, codec.encode(message))


def _greedy(args: argparse.Namespace, task: Task, problem: Problem) -> Said:
    """What a trained network's nodes write for this problem at temperature 0."""
    from neuromas.api import load
    from neuromas.system.inspect import heard
    from neuromas.system.rollout import Sampling, rollout

    network = load(args.settings[0], args.device, args.backbone, args.trust).assembly.network
    turns = rollout(network, task, [problem], 1, Sampling(0.0, 0))[0].turns

    def said(edge: Edge) -> str | None:
        if edge.source >= len(turns):
            return None  # the episode failed before
        turn = turns[edge.source]
        return heard(
            network.engine.codec, edge, turn.text, turn.ids[:-1] if turn.ended else turn.ids, turn.output
        )

    return said


def _as_json(told: _Told, problem: Problem, found: Sequence[NodePrompt]) -> str:
    """One JSON object."""
    nodes = [
        {"node": told.topology.nodes[one.row].name, "stop": _stop(told, one.row), **one.to_dict()}
        for one in found
    ]
    return json.dumps(
        {
            "style": told.wording.style,
            "template": told.wording.template.digest,
            "prompts": told.wording.template.mark,
            "examples": [example.id for example in told.wording.examples],
            "problem": problem.id,
            "nodes": nodes,
        }
    )


def _stop(told: _Told, row: int) -> list[str]:
    """The rules that end a node's message."""
    return list(told.wording.template.texts(told.topology, row, told.wording.style).stop)


def _as_text(told: _Told, problem: Problem, found: Sequence[NodePrompt], context: int | None) -> str:
    """Every node's prompt behind a gutter, with the tokens of each section."""
    template, width = told.wording.template, shutil.get_terminal_size((100, 24)).columns
    width = max(60, width if sys.stdout.isatty() else 100)
    texts = template.mark or "built-in"
    lines = [
        f"{visible(told.task.name)} problem {visible(problem.id)}, style {told.wording.style}, "
        f"prompts: {visible(texts)} ({template.digest})"
    ]
    if told.wording.examples:
        who = ", ".join(template.shown)
        lines.append(f"{len(told.wording.examples)} worked examples, shown to {visible(who)}")
    for one in found:
        node = told.topology.nodes[one.row]
        lines += ["", f"{visible(node.name)}  (layer {node.layer}, node {node.index} of {node.width})"]
        for piece in one.pieces:
            body = block(piece.text.removesuffix("\n"), "  │ ", width)
            lines += [f"  {piece.name} ({_n(piece.tokens)})", *body]
        lines.append(_total(told, one, context))
    reads, most = sum(one.tokens for one in found), sum(one.messages for one in found)
    more = f" and up to {most} of messages" if most else ""
    writes = sum(one.budget for one in found)
    return "\n".join([*lines, "", f"all nodes: {_n(reads)}{more} read, up to {writes} written"])


def _total(told: _Told, one: NodePrompt, context: int | None) -> str:
    """What a node reads and writes in all, and whether that fits."""
    more = f" and up to {one.messages} of messages" if one.messages else ""
    stop = ", ".join(_stop(told, one.row))
    text = f"  reads {_n(one.tokens)}{more}, writes up to {one.budget}, stops at: {visible(stop)}"
    size = one.tokens + one.messages + one.budget
    return f"{text}; {size} exceed the context of {context}" if context and size > context else text


def _n(count: int) -> str:
    return f"{count} token" if count == 1 else f"{count} tokens"
