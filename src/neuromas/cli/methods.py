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

    if not args.name:
        print(f"{'method':18} {'calls a question':22} {'trained parameters':20} source")
    for name in [args.name] if args.name else METHODS.names():
        part = METHODS.get(name)
        if not all(hasattr(part, fact) for fact in ("of_network", "costs", "source", "differs")):
            raise ConfigError(f"method {name!r} is no Method (see neuromas.methods.base)")
        trained = "the network's" if part.of_network else "none"
        print(visible(f"{name:18} {part.costs:22} {trained:20} {part.source}"))
        if args.name:
            about = [
                *(getdoc(part) or "").splitlines(),
                *([f"Differs: {part.differs}"] if part.differs else []),
            ]
            print("\n".join(["", *map(visible, about)]))
            for option in arguments(part):
                print(visible(f"  {option} = {signature(part).parameters[option].default!r}"))
    return 0
