"""``neuromas methods``: all methods, costs and sources, or one, or a training algorithm, with options."""

from __future__ import annotations

import argparse
from typing import Any

_METHOD = ("of_network", "costs", "source", "differs")
_ALGORITHM = ("step", "state", "source", "differs")


def add(parser: argparse.ArgumentParser) -> None:
    """Say what may be typed."""
    parser.add_argument(
        "name", nargs="?", help="of a method or a training algorithm, or module:Name for your own"
    )


def run(args: argparse.Namespace) -> int:
    """List methods, or say what a method or an algorithm does."""
    from neuromas.core.parts import ALGORITHMS, METHODS
    from neuromas.report.terminal import visible

    if args.name:
        _one(args.name)
        return 0
    print(f"{'method':18} {'calls a question':22} {'trained parameters':20} source")
    for name in METHODS.names():
        print(visible(_line(name, _method(name, METHODS.get(name)))))
    print(visible(f"\ntrained by train.algorithm = {', '.join(ALGORITHMS.names())}"))
    return 0


def _one(name: str) -> None:
    """What one is, what differs from its source, its options."""
    from inspect import getdoc, signature

    from neuromas.core.parts import ALGORITHMS, METHODS
    from neuromas.core.registry import arguments
    from neuromas.report.terminal import visible

    trains = name in ALGORITHMS.names() and name not in METHODS.names()
    part = (ALGORITHMS if trains else METHODS).get(name)
    if trains or (not _has(part, _METHOD) and _has(part, _ALGORITHM)):
        lines = [f"{name:18} trains: train.algorithm={name}  {part.source}"]
    else:
        lines = [_line(name, _method(name, part))]
    lines += ["", *(getdoc(part) or "").splitlines(), *([f"Differs: {part.differs}"] if part.differs else [])]
    lines += [f"  {option} = {signature(part).parameters[option].default!r}" for option in arguments(part)]
    print("\n".join(map(visible, lines)))


def _line(name: str, part: Any) -> str:
    """A method in a line."""
    trained = "the network's" if part.of_network else "none"
    return f"{name:18} {part.costs:22} {trained:20} {part.source}"


def _method(name: str, part: Any) -> Any:
    """The part. Raises ConfigError if it is no method."""
    from neuromas.core.errors import ConfigError

    if not _has(part, _METHOD):
        raise ConfigError(f"method {name!r} is no Method (see neuromas.methods.base)")
    return part


def _has(part: Any, facts: tuple[str, ...]) -> bool:
    return all(hasattr(part, fact) for fact in facts)
