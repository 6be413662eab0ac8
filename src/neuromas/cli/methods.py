"""``neuromas methods``: all methods and training algorithms with costs and sources, or one with options."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

_METHOD = ("of_network", "costs", "source", "differs")
_ALGORITHM = ("step", "state", "source", "differs")
_METHODS = ("method", "calls a question", "trained parameters", "source")


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
        trained = f"trained by train.algorithm = {', '.join(ALGORITHMS.names())}"  # by name: they load torch
        lines = [*_columns([_METHODS, *methods]), "", trained]
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
