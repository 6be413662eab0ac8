"""``neuromas recipes``: the recipes that came with the package, by name."""

from __future__ import annotations

import argparse

from neuromas.core.errors import ConfigError, unknown

_COMMANDS = {"config": "train", "experiment": "experiment"}


def add(parser: argparse.ArgumentParser) -> None:
    """Say what may be typed."""
    parser.add_argument("name", nargs="?", metavar="NAME", help="print this one")


def run(args: argparse.Namespace) -> int:
    """List them with the command that takes them, or print one."""
    from neuromas.config.recipes import KINDS, headline, recipes

    known = {what: recipes(what) for what in KINDS}
    if args.name is None:
        for what, found in known.items():
            print(f"neuromas {_COMMANDS[what]} NAME")
            for name, path in found.items():
                print(f"  {name:<10} {headline(path)}")
        return 0
    both = {name: path for found in known.values() for name, path in found.items()}
    if args.name not in both:
        raise ConfigError(unknown("recipe", args.name, tuple(both)))
    print(both[args.name].read_text("utf-8"), end="")
    return 0
