"""``neuromas methods``: all methods with their costs and sources, or one with its options."""

from __future__ import annotations

import argparse


def add(parser: argparse.ArgumentParser) -> None:
    """Say what may be typed."""
    parser.add_argument("name", nargs="?", help="a method's name, or module:Name for your own")


def run(args: argparse.Namespace) -> int:
    """List methods, or say what one does."""
    from inspect import getdoc, signature

    from neuromas.core.errors import ConfigError
    from neuromas.core.parts import METHODS
    from neuromas.core.registry import arguments
    from neuromas.report.terminal import visible

    names = [args.name] if args.name else METHODS.names()
    parts = [METHODS.get(name) for name in names]
    for name, part in zip(names, parts, strict=True):
        if not all(hasattr(part, fact) for fact in ("of_network", "costs", "source", "differs")):
            raise ConfigError(f"method {name!r} is no Method (see neuromas.methods.base)")
    head = ("method", "calls a question", "trained parameters", "source")
    trained = ["the network's" if part.of_network else "none" for part in parts]
    rows = [
        (name, part.costs, own, part.source) for name, part, own in zip(names, parts, trained, strict=True)
    ]
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    for row in rows if args.name else [head, *rows]:
        print(visible("  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()))
    if args.name:
        (part,) = parts
        differs = [f"Differs: {part.differs}"] if part.differs else []
        about = [*(getdoc(part) or "").splitlines(), *differs]
        print("\n".join(["", *map(visible, about)]))
        for option in arguments(part):
            print(visible(f"  {option} = {signature(part).parameters[option].default!r}"))
    return 0
