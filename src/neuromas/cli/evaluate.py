"""``neuromas evaluate``: greedy accuracy, altered messages, a vote or another method, on any task."""

from __future__ import annotations

import argparse
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from neuromas.cli.network import RUN, add_trust, allow, there
from neuromas.cli.options import name, read_pairs, temperature, whole
from neuromas.cli.untrained import Asked, add_untrained, new_network, untrained_in
from neuromas.core.choices import MESSAGES, TOLD
from neuromas.core.errors import ConfigError, shown
from neuromas.core.task import SPLITS
from neuromas.report.terminal import visible
from neuromas.storage import Run, data_name

if TYPE_CHECKING:
    from neuromas.core.task import Task
    from neuromas.evaluation.evaluate import Evaluation
    from neuromas.methods.base import Method
    from neuromas.system.assemble import Assembly

_ITEMS = 100_000
_VOTES = 1000
_CALLS = 100_000
_STAGES = 10_000_000
_VOTING = "self-consistency"
_LONGEST_NAME = 200  # bytes; a file's name has up to 255


def add(parser: argparse.ArgumentParser) -> None:
    """Say what may be typed."""
    parser.set_defaults(pairs="options")
    parser.add_argument(
        "path", metavar="RUN | CONFIG", help=f"{RUN}, or a configuration whose network is asked untrained"
    )
    parser.add_argument("--split", default="test", choices=SPLITS, help="whose problems are asked")
    parser.add_argument("--items", type=whole(_ITEMS), default=200, help="number of problems (default 200)")
    parser.add_argument("--messages", default="none", choices=MESSAGES, help="alter messages")
    parser.add_argument(
        "--positions", default="own", choices=TOLD, help="tell nodes another position of their layer"
    )
    parser.add_argument(
        "--view", default="last", choices=("first", "last"), help="of a network whose view was lifted"
    )
    parser.add_argument("--votes", type=whole(_VOTES), help="let so many sampled passes vote instead")
    parser.add_argument("--temperature", type=temperature, help="of the votes (default 0.7)")
    parser.add_argument("--method", type=name, help="answer by this method instead (see neuromas methods)")
    parser.add_argument(
        "--with", nargs="+", default=[], metavar="option=value", dest="how", help="options of --method"
    )
    parser.add_argument("--calls", type=whole(_CALLS), help="most calls a question that --method may take")
    parser.add_argument("--stage", type=whole(_STAGES), help="the network with which this stage ended")
    parser.add_argument("--task", type=name, help="another task than the one it was trained on")
    parser.add_argument("options", nargs="*", metavar="option=value", help="options of --task")
    parser.add_argument(
        "--name", type=name, help="name under which it is kept (default [TASK-DIGEST-]SPLIT-ITEMS-MESSAGES)"
    )
    add_untrained(parser)
    parser.add_argument("--json", action="store_true", help="print the summary as JSON")
    add_trust(parser, model=True)


def run(args: argparse.Namespace) -> int:
    """Evaluate a saved network and keep summary and items in its run."""
    if args.options and not args.task:
        raise ConfigError(f"option {shown(args.options[0])} needs --task NAME")
    method = _method(args)
    wanted = _name(args, method)
    new = untrained_in(args)
    if new is None:
        there(args.path)
    from neuromas.experiment.size import priced
    from neuromas.report.tables import summary_lines
    from neuromas.system.assemble import check_task, first_view
    from neuromas.system.prompting import shown_examples
    from neuromas.tasks import make_task

    assembly, checkpoint, keep = new_network(new) if new else _saved(args)
    of = assembly.config.task
    asked, options = (args.task, read_pairs(args.options)) if args.task else (of.name, of.options)
    task = make_task(asked, options) if args.task else assembly.task
    if args.view == "first":
        examples = shown_examples(assembly.config, assembly.task, 0)
        assembly = replace(assembly, network=first_view(assembly.network, assembly.config, examples))
    if not method or method.asks_network():
        check_task(assembly.network.topology, task)
    result = priced(_result(args, assembly, task, method), assembly.config.model)
    data = {"task": asked, "options": dict(options), **result.summary["data"]}
    summary = {**result.summary, "data": data, "checkpoint": checkpoint}
    run = keep()
    if run is not None:
        if args.task and not args.name:
            wanted = f"{data_name(asked, options)}-{data['digest'][:8]}-{wanted}"
        items = [item.line() for item in result.items]
        kept = run.keep_evaluation(wanted, summary, items, result.prompts)
        taken = "" if kept == wanted else f" ({wanted!r} is of other data or another checkpoint)"
        where = visible(f"kept as {kept!r} in {run.path}{taken}")
    else:
        where = "not kept: RUN is a checkpoint"
    if args.json:
        print(json.dumps(summary))  # in ASCII: nothing in it can act on a terminal
    else:
        print("\n".join([*summary_lines(summary), where]))
    return 0


def _saved(args: argparse.Namespace) -> Asked:
    """A network on disk."""
    from neuromas.experiment.cells import stage_folder
    from neuromas.system.saving import bundle_folder, load_bundle

    path = Path(args.path)
    folder = stage_folder(path, args.stage) if args.stage else path
    allow(args, folder)
    assembly = load_bundle(folder, args.device, model=args.backbone)
    kept = (path / "config.json").is_file()
    return assembly, bundle_folder(folder).name, lambda: Run.open(path) if kept else None


def _name(args: argparse.Namespace, method: Method | None) -> str:
    """The name under which the evaluation is kept. Raises ConfigError for those that training uses."""
    stage = [f"stage-{args.stage}"] if args.stage else []
    way = args.messages if args.positions == "own" else f"{args.messages}-{args.positions}"
    stage += ["first-view"] if args.view == "first" else []
    if args.votes:
        way = f"votes-{args.votes}-{0.7 if args.temperature is None else args.temperature}"
    elif method:
        way = re.sub(r"[^\w.=-]+", "-", "-".join([args.method, *args.how]))
        way += f"-calls-{args.calls}" if args.calls else ""
    kept: str = args.name or "-".join([args.split, str(args.items), way, *stage])
    if kept.startswith((".", "test-before", "test-after")) or re.fullmatch(r"stage-[0-9]+", kept):
        raise ConfigError(
            f"evaluation name {shown(kept)}: use no leading '.', "
            "and leave test-before, test-after and stage-N to training"
        )
    if (
        "/" in kept
        or kept.endswith(".prompts")
        or visible(kept) != kept
        or len(kept.encode()) > _LONGEST_NAME
    ):
        raise ConfigError(
            f"evaluation name {shown(kept)}: use no '/', no ending '.prompts', no invisible characters "
            f"and at most {_LONGEST_NAME} bytes"
        )
    return kept


def _method(args: argparse.Namespace) -> Method | None:
    """What answers; None for one greedy pass of the network, whose messages may be altered."""
    if args.votes is None and args.temperature is not None:
        raise ConfigError("--temperature is that of --votes; a single pass is greedy")
    given = [flag for flag in ("votes", "method") if getattr(args, flag) is not None]
    if not given:
        for flag, value in (("--with", args.how), ("--calls", args.calls)):
            if value:
                raise ConfigError(f"{flag} needs --method NAME (see neuromas methods)")
        return None
    if args.messages != "none":
        given.append(f"messages {args.messages}")
    if args.positions != "own":
        given.append(f"positions {args.positions}")
    if len(given) > 1:
        raise ConfigError(f"--{given[0]} and --{given[1]} do not go together")
    from neuromas.methods.running import make_method

    if args.how and not args.method:
        raise ConfigError("--with needs --method NAME (see neuromas methods)")
    if args.votes is None:
        return make_method(args.method, read_pairs(args.how))
    from neuromas.config import MOST_PASSES

    if args.votes * args.items > MOST_PASSES:
        raise ConfigError(
            f"--votes {args.votes} on --items {args.items} are {args.votes * args.items} passes, "
            f"at most {MOST_PASSES}"
        )
    options = {"votes": args.votes, "temperature": 0.7 if args.temperature is None else args.temperature}
    return make_method(_VOTING, options)


def _result(args: argparse.Namespace, assembly: Assembly, task: Task, method: Method | None) -> Evaluation:
    """Evaluate the network greedily, or a method."""
    if method is None:
        from neuromas.evaluation.evaluate import evaluate

        told = {"intervention": args.messages, "positions": args.positions}
        return evaluate(assembly.network, task, args.split, args.items, **told)
    from neuromas.methods.bench import bench
    from neuromas.methods.running import evaluate_method

    with bench(assembly, task, args.calls or 0) as where:
        return evaluate_method(args.method or _VOTING, method, where, args.split, args.items)
