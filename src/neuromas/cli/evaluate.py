"""``neuromas evaluate``: greedy accuracy, altered messages, a vote or another method, on any task."""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from neuromas.cli.network import RUN, add_trust, allow, there
from neuromas.cli.options import name, read_pairs, temperature, whole
from neuromas.cli.untrained import Asked, add_untrained, new_network, untrained_in
from neuromas.core.choices import MESSAGES, TOLD
from neuromas.core.errors import ConfigError, shown
from neuromas.core.task import SPLITS
from neuromas.report.terminal import visible
from neuromas.storage import Run, data_name
from neuromas.storage.naming import digest
from neuromas.topology.places import speaker_rows, speakers

if TYPE_CHECKING:
    from neuromas.core.task import Task
    from neuromas.evaluation.evaluate import Evaluation
    from neuromas.methods.base import Method
    from neuromas.system.assemble import Assembly

_ITEMS = 100_000
_VOTES = 1000
_CALLS = 100_000
_STAGES = 10_000_000
EACH = "each"  # node by node; a node of that name is had from Python
_VOTING = "self-consistency"
_LONGEST_NODES = 80  # of their names joined
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
        "--node",
        action="append",
        type=name,
        metavar="NAME",
        dest="nodes",
        help=f"alter the messages of these nodes alone (again, or NAME,NAME); {EACH}: of one after another",
    )
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
    nodes = _nodes(args)
    wanted = _name(args, _way(args, method))
    new = untrained_in(args)
    if new is None:
        there(args.path)
    from neuromas.experiment.size import priced
    from neuromas.models.precision import plain_name
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

    def ask(altered: Sequence[str] | None, messages: str) -> Evaluation:
        return priced(_result(args, assembly, task, (method, messages, altered)), assembly.config.model)

    computed = plain_name(assembly.model.backbone.dtype)
    keeper = Keeper(cache(keep), checkpoint, (asked, options), args, computed)
    if nodes is None:
        return _print(args, ask(None, args.messages), keeper, wanted)
    topology = assembly.network.topology
    if nodes == [EACH]:
        from neuromas.cli.influence import each

        assembly = assembly.remembering()
        speaker_rows(topology, speakers(topology))  # there are some
        named = {one: _name(args, _way(args, method, [one])) for one in speakers(topology)}
        return each(args, ask, keeper, (_name(args, _told("none", args.positions)), named))
    nodes = [topology.nodes[row].name for row in speaker_rows(topology, nodes)]
    return _print(args, ask(nodes, args.messages), keeper, _name(args, _way(args, method, nodes)))


@dataclass(frozen=True, slots=True)
class Keeper:
    """Keeps evaluations of one network in its run; ``asked`` is the task's name with its options.

    ``precision`` is what its backbone computes in.
    """

    run: Callable[[], Run | None]
    checkpoint: str
    asked: tuple[str, Mapping[str, Any]]
    args: argparse.Namespace
    precision: str

    def keep(self, result: Evaluation, wanted: str) -> tuple[dict[str, Any], str, str]:
        """The summary with what it is of, the name under which it is kept, and a line that says so."""
        name, options = self.asked
        data = {"task": name, "options": dict(options), **result.summary["data"]}
        summary = {**result.summary, "data": data, "checkpoint": self.checkpoint}
        summary |= {"precision": self.precision}
        summary |= {"view": "first"} if self.args.view == "first" else {}
        run = self.run()
        if run is None:
            return summary, wanted, "not kept: RUN is a checkpoint"
        if self.args.task and not self.args.name:
            wanted = f"{data_name(name, options)}-{data['digest'][:8]}-{wanted}"
        kept = run.keep_evaluation(wanted, summary, [item.line() for item in result.items], result.prompts)
        taken = "" if kept == wanted else f" ({wanted!r} is of other data or another checkpoint)"
        return summary, kept, visible(f"kept as {kept!r} in {run.path}{taken}")


def _print(args: argparse.Namespace, result: Evaluation, keeper: Keeper, wanted: str) -> int:
    """Keep one evaluation and print its summary; with nodes altered, also what that costs."""
    from neuromas.report.tables import summary_lines

    summary, _, where = keeper.keep(result, wanted)
    if args.json:
        print(json.dumps(summary))  # in ASCII: nothing in it can act on a terminal
        return 0
    lines, run = summary_lines(summary), keeper.run()
    if run is not None and summary.get("altered"):
        from neuromas.report.influence import drop_line

        lines.append(f"drop              {drop_line(run, summary, [item.line() for item in result.items])}")
    print("\n".join([*lines, where]))
    return 0


def _saved(args: argparse.Namespace) -> Asked:
    """A network on disk."""
    from neuromas.experiment.cells import stage_folder
    from neuromas.system.saving import bundle_folder, load_bundle

    path = Path(args.path)
    folder = stage_folder(path, args.stage) if args.stage else path
    allow(args, folder)
    assembly = load_bundle(folder, args.device, model=args.backbone, as_trained=True)
    kept = (path / "config.json").is_file()
    return assembly, bundle_folder(folder).name, lambda: Run.open(path) if kept else None


def _nodes(args: argparse.Namespace) -> list[str] | None:
    """The nodes that were typed, None where none was. Raises ConfigError for what does not go together."""
    if args.nodes is None:
        return None
    nodes = [one.strip() for text in args.nodes for one in text.split(",")]
    if args.messages == "none":
        raise ConfigError("--node says whose messages are altered: it needs --messages blank or shuffle")
    if EACH in nodes and len(nodes) > 1:
        raise ConfigError(f"--node {EACH} is all nodes, one after another; leave out the others")
    return nodes


def _way(args: argparse.Namespace, method: Method | None, nodes: Sequence[str] | None = None) -> str:
    """What tells an evaluation of these problems apart, for its name."""
    if args.votes:
        return f"votes-{args.votes}-{0.7 if args.temperature is None else args.temperature}"
    if method:
        way = re.sub(r"[^\w.=-]+", "-", "-".join([args.method, *args.how]))
        return way + (f"-calls-{args.calls}" if args.calls else "")
    way = _told(args.messages, args.positions)
    if not nodes:
        return way
    told = "+".join(nodes)  # no name has a plus in it
    if len(told) > _LONGEST_NODES or told.endswith(".prompts"):
        told = f"{len(nodes)}-{digest(*nodes)}"
    return f"{way}-node-{told}"


def _told(messages: str, positions: str) -> str:
    return messages if positions == "own" else f"{messages}-{positions}"


def _name(args: argparse.Namespace, way: str) -> str:
    """The name under which the evaluation is kept. Raises ConfigError for those that training uses.

    A name that was typed is told apart by its nodes as well, where these are asked one after another.
    """
    stage = [f"stage-{args.stage}"] if args.stage else []
    stage += ["first-view"] if args.view == "first" else []
    typed = args.name
    if typed and args.nodes == [EACH] and "-node-" in way:
        typed = f"{typed}-{way}"
    kept: str = typed or "-".join([args.split, str(args.items), way, *stage])
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


def _result(
    args: argparse.Namespace,
    assembly: Assembly,
    task: Task,
    how: tuple[Method | None, str, Sequence[str] | None],
) -> Evaluation:
    """Evaluate the network greedily, with messages altered (of which nodes), or a method."""
    method, messages, nodes = how
    if method is None:
        from neuromas.evaluation.evaluate import evaluate

        told = {"intervention": messages, "positions": args.positions, "nodes": nodes}
        return evaluate(assembly.network, task, args.split, args.items, **told)
    from neuromas.methods.bench import bench
    from neuromas.methods.running import evaluate_method

    with bench(assembly, task, args.calls or 0) as where:
        return evaluate_method(args.method or _VOTING, method, where, args.split, args.items)
