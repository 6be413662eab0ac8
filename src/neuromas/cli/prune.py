"""``neuromas prune``: a trained network without one of its nodes or edges."""

from __future__ import annotations

import argparse
from pathlib import Path

from neuromas.cli.network import RUN, add_trust, allow, there
from neuromas.cli.options import folder_to_write, name
from neuromas.report.terminal import visible


def add(parser: argparse.ArgumentParser) -> None:
    """Say what may be typed."""
    parser.add_argument("path", metavar="RUN", help=RUN)
    choice = parser.add_mutually_exclusive_group(required=True)
    choice.add_argument("--node", type=name, metavar="NAME", help="node to remove")
    choice.add_argument("--edge", nargs=2, metavar=("SOURCE", "TARGET"), help="edge to remove")
    parser.add_argument("--out", type=name, required=True, metavar="DIR", help="folder of the pruned network")
    add_trust(parser)


def run(args: argparse.Namespace) -> int:
    """Write the smaller network; the trained one stays as it is."""
    out = folder_to_write("--out", args.out)
    there(args.path)
    from neuromas.growth.parent import prune

    allow(args, Path(args.path))
    change = prune(Path(args.path), out, args.node or "", args.edge or ())
    print(f"{visible(', '.join(change.steps))}: {change.goal}, written to {visible(args.out)}")
    return 0
