"""What can be typed. The commands themselves load torch only when they run."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from neuromas import __version__
from neuromas.cli import experimenting, growing, looking, working
from neuromas.cli.options import name, temperature, whole
from neuromas.core.choices import QUESTIONS, SHARES
from neuromas.core.errors import cut, shown, unknown
from neuromas.report.terminal import visible
from neuromas.topology.shapes import FORMS

Parsers = Any  # argparse keeps its subparsers' type private
_STEPS = 10_000_000
_ITEMS = 100_000
_VOTES = 1000
_SIZE = 1_000_000  # of a rank, a question, a message
_SIDE_BY_SIDE = 1000


class _Parser(argparse.ArgumentParser):
    """One line for a usage error, as for every other error. ``commands`` are the names of those there are."""

    commands: tuple[str, ...] = ()

    def error(self, message: str) -> NoReturn:
        """Print the line and exit with status 2."""
        self.exit(2, f"{self.prog}: {cut(visible(message))} (see {self.prog} --help)\n")


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read a command line. ``key=value`` may stand before, between and after the flags."""
    parser = build_parser()
    words = list(sys.argv[1:] if arguments is None else arguments)
    for word in words:
        if "\0" in word or not _is_encodable(word):
            parser.error(f"argument {shown(word)} holds what no command line can")
    if words and not words[0].startswith("-") and words[0] not in parser.commands:
        parser.error(unknown("command", words[0], parser.commands))
    args, rest = parser.parse_known_args(words)
    if rest:
        if args.pairs is None or any(word.startswith("-") for word in rest):
            parser.error(f"unrecognized arguments: {' '.join(rest)}")
        # argparse gives all of a list to its first stretch of words and knows the others no more
        setattr(args, args.pairs, [*getattr(args, args.pairs), *rest])
    return args


def _is_encodable(word: str) -> bool:
    """Whether the system could have passed this word: it can, bytes that are no text, as half surrogates."""
    try:
        os.fsencode(word)
    except UnicodeEncodeError:
        return False
    return True


def build_parser() -> _Parser:
    """All commands and their options."""
    parser = _Parser(
        prog="neuromas",
        description="Multi-agent language systems as neural networks, trained jointly by REINFORCE.",
    )
    parser.add_argument("--version", action="version", version=f"neuromas {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _train(commands)
    _evaluate(commands)
    _compare(commands)
    _ask(commands)
    _growing(commands)
    _experiment(commands)
    _looking(commands)
    parser.commands = tuple(commands.choices)
    return parser


def _add(
    commands: Parsers,
    command: str,
    run: Callable[[argparse.Namespace], int],
    text: str,
    pairs: str | None = None,
) -> argparse.ArgumentParser:
    """A subcommand with its handler; ``pairs`` names its list of key=value words."""
    parser: argparse.ArgumentParser = commands.add_parser(command, help=text, description=text)
    parser.set_defaults(run=run, pairs=pairs)
    return parser


def _trusting(parser: argparse.ArgumentParser, model: bool = False) -> None:
    """Flags for a network from elsewhere, which may name what this user never named."""
    if model:
        parser.add_argument(
            "--backbone", metavar="NAME", help="where its model lies now (default: as trained)"
        )
    text = "allow the paths, downloads and trackers that this network names (noted, asked once)"
    parser.add_argument("--trust", action="store_true", help=text)


def _train(commands: Parsers) -> None:
    text = "train a network and report before and after"
    parser = _add(commands, "train", working.train, text, "settings")
    parser.add_argument(
        "settings",
        nargs="*",
        metavar="CONFIG.toml | key=value",
        help="a TOML file (without one the defaults are used), then overrides such as train.steps=40",
    )
    parser.add_argument(
        "--run", type=name, metavar="DIR", dest="directory", help="run directory (default runs/NAME)"
    )
    parser.add_argument("--resume", type=name, metavar="RUN", help="continue an interrupted run")
    parser.add_argument(
        "--continue",
        action="store_true",
        dest="carry_on",
        help="start, resume or only report the run in --run",
    )
    _trusting(parser)


def _evaluate(commands: Parsers) -> None:
    text = "evaluate a trained network greedily"
    parser = _add(commands, "evaluate", working.evaluate_run, text, "options")
    parser.add_argument("path", metavar="RUN", help="run directory or checkpoint")
    parser.add_argument("--split", default="test", choices=["train", "validation", "test"])
    parser.add_argument("--items", type=whole(_ITEMS), default=200, help="number of problems (default 200)")
    parser.add_argument(
        "--messages", default="none", choices=["none", "blank", "shuffle"], help="alter messages"
    )
    parser.add_argument("--votes", type=whole(_VOTES), help="let so many sampled passes vote instead")
    parser.add_argument("--temperature", type=temperature, help="of the votes (default 0.7)")
    parser.add_argument("--stage", type=whole(_STEPS), help="the network with which this stage ended")
    parser.add_argument("--task", type=name, help="another task than the one it was trained on")
    parser.add_argument("options", nargs="*", metavar="option=value", help="options of --task")
    parser.add_argument(
        "--name", type=name, help="name under which it is kept in the run (default SPLIT-ITEMS-MESSAGES)"
    )
    parser.add_argument("--device", help="auto, cpu or cuda (default: as trained)")
    parser.add_argument("--json", action="store_true", help="print the summary as JSON")
    _trusting(parser, model=True)


def _compare(commands: Parsers) -> None:
    text = "paired test of evaluations on the same items (second minus first); by seed with more pairs"
    parser = _add(commands, "compare", working.compare, text)
    parser.add_argument("first", metavar="RUN[:EVALUATION]", help="default evaluation: test-after")
    parser.add_argument("second", metavar="RUN[:EVALUATION]")
    parser.add_argument("more", nargs="*", metavar="RUN", help="further pairs: the same with other seeds")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


def _ask(commands: Parsers) -> None:
    parser = _add(commands, "ask", working.ask, "answer a question with a trained network")
    parser.add_argument("path", metavar="RUN", help="run directory or checkpoint")
    parser.add_argument(
        "question", help="for a network that hands out parts: 'what is asked | part 1 | part 2'"
    )
    parser.add_argument("--trace", action="store_true", help="show who said what to whom")
    parser.add_argument("--device", help="auto, cpu or cuda (default: as trained)")
    _trusting(parser, model=True)


def _growing(commands: Parsers) -> None:
    text = "grow a trained network to a larger topology and train it on"
    parser = _add(commands, "grow", growing.grow, text, "settings")
    parser.add_argument("path", metavar="RUN", help="run directory (its best checkpoint) or a checkpoint")
    parser.add_argument("--to", type=name, required=True, metavar="SHAPE", help="the larger topology")
    parser.add_argument("--steps", required=True, type=whole(_STEPS), help="steps to train it")
    parser.add_argument("--run", type=name, dest="directory", metavar="DIR", help="directory of the new run")
    parser.add_argument("settings", nargs="*", metavar="key=value", help="overrides, e.g. growth.init=clone")
    _trusting(parser)
    text = "write a trained network without one of its nodes or edges"
    parser = _add(commands, "prune", growing.prune, text)
    parser.add_argument("path", metavar="RUN", help="run directory or a checkpoint")
    choice = parser.add_mutually_exclusive_group(required=True)
    choice.add_argument("--node", type=name, metavar="NAME", help="node to remove")
    choice.add_argument("--edge", nargs=2, metavar=("SOURCE", "TARGET"), help="edge to remove")
    parser.add_argument("--out", type=name, required=True, metavar="DIR", help="folder of the pruned network")
    _trusting(parser)
    parser = _add(commands, "lineage", growing.lineage, "ancestors, growth and cost of a network")
    parser.add_argument("path", metavar="RUN", help="run directory or a checkpoint")
    parser.add_argument("--svg", type=name, metavar="FILE", help="also draw all generations")


def _experiment(commands: Parsers) -> None:
    text = "train arms with seeds side by side and compare them; continues where it stopped"
    parser = _add(commands, "experiment", experimenting.experiment, text)
    parser.add_argument("path", metavar="EXPERIMENT.toml", help="base, arms, seeds and comparisons")
    parser.add_argument(
        "--out", type=name, metavar="DIR", help="directory of the experiment (default runs/NAME)"
    )
    parser.add_argument(
        "--jobs", type=whole(_SIDE_BY_SIDE), metavar="N", help="runs at once (default: the cores)"
    )
    parser.add_argument("--report", action="store_true", help="run nothing, compare what is there")


def _looking(commands: Parsers) -> None:
    text = "check a task without a model"
    parser = _add(commands, "validate", looking.validate_task, text, "options")
    parser.add_argument("task")
    parser.add_argument("options", nargs="*", metavar="option=value")
    parser.add_argument("--items", type=whole(_ITEMS), default=100, help="problems a split (default 100)")
    _topology(commands)
    parser = _add(commands, "tasks", looking.tasks, "list tasks, or the options of one")
    parser.add_argument("name", nargs="?")
    _add(commands, "backbones", looking.backbones, "list models that can be used here")
    parser = _add(commands, "doctor", looking.doctor, "what is installed, reachable, fast, and fits")
    parser.add_argument("--backbone", default="smollm2-135m", help="model to size memory for")


def _topology(commands: Parsers) -> None:
    parser = _add(commands, "topology", looking.topology, "draw a topology and say what it costs")
    parser.add_argument("shape", help=f"{FORMS}; or a .toml, .json or .graphml file")
    text = "who reads the question (default: as the file says, or all)"
    parser.add_argument("--question", default="auto", choices=QUESTIONS, help=text)
    parser.add_argument("--svg", type=name, metavar="FILE", help="write a drawing instead of text")
    parser.add_argument(
        "--out", type=name, metavar="FILE", help="write the topology to a .toml, .json or .graphml file"
    )
    parser.add_argument("--backbone", default="smollm2-135m", help="model whose cost is counted")
    parser.add_argument("--rank", type=whole(_SIZE), default=8, help="rank of the adapters (default 8)")
    parser.add_argument("--share", default="node", choices=SHARES, help="who has an adapter of its own")
    for what, default in (("question", 32), ("message", 16)):
        text = f"tokens of a {what} (default {default})"
        parser.add_argument(f"--{what}-tokens", type=whole(_SIZE), default=default, metavar="N", help=text)
