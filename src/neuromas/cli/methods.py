"""``neuromas methods``: all methods and training algorithms with costs and sources, or one with options."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

_METHOD = ("of_network", "costs", "source", "differs")
_ALGORITHM = ("step", "state", "source", "differs")
_METHODS = ("method", "calls a question", "trained parameters", "source")
_TRAINED = ("trained by", "calls an episode", "trained parameters", "source")
_ALGORITHMS = {  # calls of an episode and source; kept here as the classes load torch, held equal by a test
    "reinforce": ("one a node", "arXiv:2605.16757"),
    "marft": ("one a node", "arXiv:2504.16129"),
    "collm-cc": ("one a node", "arXiv:2601.21972"),
    "collm-dc": ("one a node", "arXiv:2601.21972"),
    "malt": ("a tree: 3 + 9 + 27", "arXiv:2412.01928"),
    "at-grpo": ("samples a node, to the end", "arXiv:2510.11062"),
}
_SETTINGS = (
    ("network.topology = 1", "one", "the node's", "a single model; model.rank: that of all nodes together"),
    ("network.roles", "one a node", "the network's", "roles in prompts"),
    ("network.share = all", "one a node", "one adapter's", "one adapter for all"),
    ("train.only = [sink]", "one a node", "the output's", "the others stay as they are"),
    ("train.baseline = grpo", "one a node", "the network's", "Dr. MAS: statistics of each node"),
    ("train.credit = difference", "those behind a node, too", "the network's", "Wolpert and Tumer 2001"),
    ("train.credit = solo", "those behind a node, too", "the network's", "CCPO, arXiv:2603.21563"),
    ("train.credit = counterfactual", "others of each node, too", "the network's", "arXiv:1705.08926"),
    ("train.credit = c3", "others of each node, too", "the network's", "C3, arXiv:2603.06859"),
)


def add(parser: argparse.ArgumentParser) -> None:
    """Say what may be typed."""
    parser.add_argument(
        "name", nargs="?", help="of a method or a training algorithm, or module:Name for your own"
    )


def run(args: argparse.Namespace) -> int:
    """List methods and algorithms, or say what one does."""
    from neuromas.core.parts import ALGORITHMS, METHODS
    from neuromas.report.terminal import visible

    if args.name:
        lines = _one(args.name)
    else:
        methods = [_about(name, METHODS.get(name)) for name in METHODS.names()]
        lines = [*_columns([_METHODS, *methods]), "", *_columns([_TRAINED, *_trained(ALGORITHMS.names())])]
    print("\n".join(map(visible, lines)))
    return 0


def _one(name: str) -> list[str]:
    """What one is, what differs from its source, its options."""
    from inspect import getdoc, signature

    from neuromas.core.parts import ALGORITHMS, METHODS
    from neuromas.core.registry import arguments

    trains = name in ALGORITHMS.names() and name not in METHODS.names()
    part = (ALGORITHMS if trains else METHODS).get(name)
    trains = trains or (not _has(part, _METHOD) and _has(part, _ALGORITHM))
    lines = _columns([(f"train.algorithm = {name}", part.source) if trains else _about(name, part)])
    lines += ["", *(getdoc(part) or "").splitlines(), *([f"Differs: {part.differs}"] if part.differs else [])]
    return [*lines, *(f"  {key} = {signature(part).parameters[key].default!r}" for key in arguments(part))]


def _trained(algorithms: Sequence[str]) -> list[tuple[str, ...]]:
    """Rows of the algorithms, and of what is a setting of reinforce."""
    known = [(name, *_ALGORITHMS.get(name, ("see its page", ""))) for name in algorithms]
    rows = [(f"train.algorithm = {name}", calls, "the network's", source) for name, calls, source in known]
    return [*rows, *_SETTINGS]


def _about(name: str, part: Any) -> tuple[str, ...]:
    """A method's row. Raises ConfigError if it is no method."""
    from neuromas.core.errors import ConfigError

    if not _has(part, _METHOD):
        raise ConfigError(f"method {name!r} is no Method (see neuromas.methods.base)")
    return name, part.costs, "the network's" if part.of_network else "none", part.source


def _columns(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows as lines, every column as wide as it must be."""
    sizes = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(f"{cell:{size}}" for cell, size in zip(row, sizes, strict=True)).rstrip() for row in rows
    ]


def _has(part: Any, facts: tuple[str, ...]) -> bool:
    return all(hasattr(part, fact) for fact in facts)
