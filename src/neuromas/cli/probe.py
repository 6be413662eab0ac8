"""``neuromas probe``: where a model stands before training, and with which stage it may begin."""

from __future__ import annotations

import argparse
import sys
import time
from typing import TYPE_CHECKING, Any

from neuromas.cli.formats import add_formats, write_out
from neuromas.cli.network import RUN, add_trust, allow, there
from neuromas.cli.options import name, read_pairs, temperature, whole
from neuromas.core.errors import ConfigError, TaskError, shown
from neuromas.report.terminal import visible

if TYPE_CHECKING:
    from neuromas.core.task import Split, Task
    from neuromas.evaluation.probe import Standing
    from neuromas.system.assemble import Assembly

_ITEMS, _SAMPLES, _MOST_EXAMPLES = 10_000, 1000, 16


def add(parser: argparse.ArgumentParser) -> None:
    """Say what may be typed."""
    parser.set_defaults(pairs="options")
    parser.add_argument("task", type=name, help="its name (see neuromas tasks)")
    parser.add_argument("options", nargs="*", metavar="option=value", help="options of the task")
    parser.add_argument(
        "--run", type=name, dest="trained", metavar="RUN", help=f"ask a trained network instead: {RUN}"
    )
    parser.add_argument("--items", type=whole(_ITEMS), default=64, help="questions of a kind (default 64)")
    parser.add_argument("--samples", type=whole(_SAMPLES), default=8, help="samples a question (default 8)")
    parser.add_argument("--temperature", type=temperature, default=1.0, help="of the samples (default 1)")
    parser.add_argument(
        "--examples", type=_counts, default=(0, 1, 2, 4), help="worked examples (default 0,1,2,4)"
    )
    parser.add_argument("--style", help="of the prompts (default as network.style)")
    parser.add_argument("--seed", type=int, default=0, help="of all draws (default 0)")
    add_trust(parser, model=True)
    add_formats(parser)


def run(args: argparse.Namespace) -> int:
    """Ask the whole, the parts and the steps; print the table and what to begin with."""
    if args.temperature == 0.0:
        raise ConfigError("--temperature 0 is greedy, which is asked anyway; samples need more")
    if args.trained:
        if args.style:
            raise ConfigError("--style is for a backbone; a RUN has the style it was trained with")
        there(args.trained)
    options = read_pairs(args.options)
    from neuromas.evaluation.heldout import first_problems
    from neuromas.evaluation.probe import Draws, probe
    from neuromas.tasks import make_task

    task = make_task(args.task, options)
    split = _split(task)
    problems = first_problems(task, split, args.items)
    if not problems[0].answer:
        raise TaskError(
            f"task {task.name!r} has no gold answers, so nothing is right or wrong before training"
        )
    assembly = _assembly(args, options)
    draws = Draws(args.samples, args.temperature, args.seed)
    about = {
        "task": " ".join([args.task, *args.options]),
        "answers_with": f"run {args.trained}"
        if args.trained
        else f"backbone {assembly.config.model.backbone}",
        "split": split,
        "items": len(problems),
        "samples": args.samples,
        "temperature": args.temperature,
        "seed": args.seed,
    }
    found: list[Standing] = []
    try:
        for one in probe(assembly.network, task, problems, draws, examples=args.examples, tell=_tell()):
            found.append(one)
    except KeyboardInterrupt:
        if found:
            _print(args, about, {}, found, cut=True)
        raise
    _print(args, about, options, found)
    return 0


def _print(
    args: argparse.Namespace,
    about: dict[str, Any],
    options: dict[str, Any],
    found: list[Standing],
    cut: bool = False,
) -> None:
    """The page, or all as JSON; without advice where it was cut short."""
    import json

    from neuromas.evaluation.advice import advise, options_of_parts
    from neuromas.evaluation.probe import title
    from neuromas.report.probe import probe_blocks

    advice = [] if cut else advise(found, options_of_parts(args.task, options, found))
    rows = [{"title": title(one.kind, one.level, one.form), **one.facts()} for one in found]
    facts = {"about": about, "standings": rows, "advice": advice}
    if args.form == "json":
        print(json.dumps(facts))
    else:
        write_out(probe_blocks(facts), args.form)


def _assembly(args: argparse.Namespace, options: dict[str, Any]) -> Assembly:
    """The trained network, or one untrained node: its adapter changes nothing, so it is the backbone."""
    if args.trained:
        from pathlib import Path

        from neuromas.system.saving import load_bundle

        allow(args, Path(args.trained))
        return load_bundle(Path(args.trained), args.device, model=args.backbone)
    from neuromas.config import make_config
    from neuromas.system.assemble import assemble

    model = {"backbone": args.backbone} if args.backbone else {}
    model |= {"device": args.device} if args.device else {}
    network = {"topology": "1", "question": "all"} | ({"style": args.style} if args.style else {})
    task = {"name": args.task, "options": options}
    return assemble(make_config({"model": model, "network": network, "task": task, "seed": args.seed}))


def _split(task: Task) -> Split:
    """Where the questions are from: what is decided here must not be decided on the test."""
    return "train" if task.size("validation") == 0 else "validation"


def _counts(text: str) -> tuple[int, ...]:
    """``0,1,2,4``."""
    words = [word.strip() for word in text.split(",")]
    good = all(word.isascii() and word.isdecimal() and len(word) < 3 for word in words)
    counts = tuple(sorted({int(word) for word in words})) if good else ()
    if not counts or counts[-1] > _MOST_EXAMPLES:
        raise argparse.ArgumentTypeError(
            f"{shown(text)} is not a list of whole numbers from 0 to {_MOST_EXAMPLES}, such as 0,1,2,4"
        )
    return counts


def _tell() -> Any:
    """A line on standard error for every kind of question, with the seconds left."""
    begun = time.monotonic()

    def tell(done: int, of: int, what: str) -> None:
        left = f", {(time.monotonic() - begun) / done * (of - done):.0f} s left" if done else ""
        if done < of:
            print(visible(f"{done + 1}/{of} {what}{left}"), file=sys.stderr, flush=True)

    return tell
