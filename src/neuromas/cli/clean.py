"""``neuromas clean``: give back what a finished run no longer needs, and say what that was."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path

from neuromas.core.errors import RunError
from neuromas.report.terminal import visible
from neuromas.storage import Run
from neuromas.storage.tidy import Leftover, leftovers, remove

_MB = 1e6


def add(parser: argparse.ArgumentParser) -> None:
    """Say what may be typed."""
    parser.add_argument("path", metavar="RUN", help="run directory")
    parser.add_argument("--dry-run", action="store_true", help="only say what would go, and how much that is")


def run(args: argparse.Namespace) -> int:
    """Checkpoints that are neither the best nor the last go, and all optimiser states."""
    there = Run.open(Path(args.path))
    with there.lock():
        if not there.finished:
            again = f"neuromas train --resume {shlex.quote(args.path)}"
            raise RunError(f"{there.path} is not finished, and goes on from what it holds: {again}")
        found = leftovers(there, there.handed_on, (), resumable=False)
        size = sum(file.stat().st_size for file in there.path.rglob("*") if file.is_file())
        if not args.dry_run and not remove(there, found):
            raise RunError(f"{there.path}: a network of this run is being read; nothing was removed")
    for one in found:
        print(f"{one.size / _MB:8.1f} MB  {visible(str(one.path.relative_to(there.path)))}: {_why(one)}")
    would, freed = "would free" if args.dry_run else "freed", sum(one.size for one in found)
    print(f"{visible(str(there.path))}: {would} {freed / _MB:.1f} of {size / _MB:.1f} MB")
    if found:
        print("it can be read, asked, evaluated and grown, but no longer trained on with --resume")
    return 0


def _why(one: Leftover) -> str:
    """Why it is not needed."""
    return "neither the best nor the last" if one.whole else "only training goes on from them"
