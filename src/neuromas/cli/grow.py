"""``neuromas grow``: a trained network as the beginning of a larger one."""

from __future__ import annotations

import argparse
from pathlib import Path

from neuromas.cli.network import RUN, add_trust, allow, there
from neuromas.cli.options import name, whole
from neuromas.cli.watching import train_in
from neuromas.storage import check_free

_STEPS = 10_000_000


def add(parser: argparse.ArgumentParser) -> None:
    """Say what may be typed."""
    parser.set_defaults(pairs="settings")
    parser.add_argument("path", metavar="RUN", help=RUN)
    parser.add_argument("--to", type=name, required=True, metavar="SHAPE", help="the larger topology")
    parser.add_argument("--steps", required=True, type=whole(_STEPS), help="steps to train it")
    parser.add_argument("--run", type=name, dest="directory", metavar="DIR", help="directory of the new run")
    parser.add_argument("settings", nargs="*", metavar="key=value", help="overrides, e.g. growth.init=clone")
    add_trust(parser)


def run(args: argparse.Namespace) -> int:
    """Grow a trained network to a larger topology and train it on."""
    from neuromas.config import check_keys

    check_keys(args.settings)
    there(args.path)
    shape = "".join(c if c.isalnum() or c in "-." else "_" for c in args.to)
    directory = Path(args.directory or f"{Path(args.path)}-to-{shape}")
    check_free(directory)  # before torch is loaded
    from neuromas.growth.parent import child_config
    from neuromas.training.run import start

    allow(args, Path(args.path))
    config = child_config(Path(args.path), args.to, args.steps, args.settings)
    return train_in(directory, lambda progress: start(config, directory, progress))
