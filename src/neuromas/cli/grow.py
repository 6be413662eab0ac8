"""``neuromas grow``: a trained network as the beginning of a larger one."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from neuromas.cli.network import RUN, add_trust, allow, there
from neuromas.cli.options import name, whole
from neuromas.cli.watching import train_in
from neuromas.core.errors import ConfigError, shown
from neuromas.storage import check_free

_STEPS = 10_000_000


def add(parser: argparse.ArgumentParser) -> None:
    """Say what may be typed."""
    parser.set_defaults(pairs="settings")
    parser.add_argument("path", metavar="RUN", help=RUN)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--to", type=name, metavar="SHAPE", help="the larger topology")
    what.add_argument("--graft", type=name, metavar="LEAF", help="put the whole network in this leaf's place")
    parser.add_argument("--module", type=name, metavar="RUN2", help="put that network there, with --graft")
    parser.add_argument("--steps", required=True, type=whole(_STEPS, 0), help="steps to train it, 0: none")
    parser.add_argument("--copy", action="store_true", help="every node is a copy of a trained one")
    parser.add_argument(
        "--map", nargs="+", default=(), type=name, metavar="NEW=OLD", help="who copies whom, with --copy"
    )
    parser.add_argument("--run", type=name, dest="directory", metavar="DIR", help="directory of the new run")
    parser.add_argument("settings", nargs="*", metavar="key=value", help="overrides, e.g. growth.init=clone")
    add_trust(parser)


def run(args: argparse.Namespace) -> int:
    """Grow a trained network to a larger topology and train it on."""
    from neuromas.config import check_keys

    check_keys(args.settings)
    copying = _copying(args)
    there(args.path)
    if args.module:
        there(args.module)
    shape = "".join(c if c.isalnum() or c in "-." else "_" for c in args.to or f"graft-{args.graft}")
    directory = Path(args.directory or f"{Path(args.path)}-to-{shape}")
    check_free(directory)  # before torch is loaded
    from neuromas.growth.parent import child_config, copies_of, grafted
    from neuromas.report.lineage import copies_lines
    from neuromas.training.run import start

    path = Path(args.path)
    allow(args, path)
    goal, growth = grafted(path, args.graft, args.module or "") if args.graft else (args.to, None)
    config = child_config(path, goal, args.steps, [*copying, *args.settings], growth)
    first = copies_lines(copies_of(path, config))
    return train_in(directory, lambda progress: start(config, directory, progress), first)


def _copying(args: argparse.Namespace) -> list[str]:
    """What --copy and --map say, as overrides."""
    pairs = [text.partition("=") for text in args.map]
    if wrong := [text for text, (new, _, old) in zip(args.map, pairs, strict=True) if not (new and old)]:
        raise ConfigError(f"--map {shown(wrong[0])} is not new=old, two names of nodes")
    if args.module and not args.graft:
        raise ConfigError("--module is the network to put in a leaf's place: it needs --graft")
    if args.map and not args.copy:
        raise ConfigError("--map says which nodes are copies of which: it needs --copy")
    if not args.copy:
        return []
    table = ", ".join(f"{json.dumps(new)} = {json.dumps(old)}" for new, _, old in pairs)
    return ["growth.init=copy", f"growth.map={{{table}}}"]
