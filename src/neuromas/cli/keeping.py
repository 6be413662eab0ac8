"""Commands about what lies on the disk: what a run can do without, and the recipes that came along."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path

from neuromas.config.recipes import KINDS, headline, recipes
from neuromas.core.errors import ConfigError, RunError, unknown
from neuromas.report.terminal import visible
from neuromas.storage import Run
from neuromas.storage.tidy import Leftover, leftovers, remove

_MB = 1e6


def clean(args: argparse.Namespace) -> int:
    """Remove what a finished run does not need to be read, asked and evaluated; say what that frees."""
    run = Run.open(Path(args.path))
    with run.lock():
        if not run.finished:
            again = f"neuromas train --resume {shlex.quote(args.path)}"
            raise RunError(f"{run.path} is not finished, and goes on from what it holds: {again}")
        found = leftovers(run, run.handed_on, (), resumable=False)
        size = _size(run.path)
        freed = sum(one.size for one in found)
        if not args.dry_run and not remove(run, found):
            raise RunError(f"{run.path}: a network of this run is being read; nothing was removed")
    for one in found:
        print(f"{one.size / _MB:8.1f} MB  {visible(str(one.path.relative_to(run.path)))}: {_why(one)}")
    would = "would free" if args.dry_run else "freed"
    print(f"{visible(str(run.path))}: {would} {freed / _MB:.1f} of {size / _MB:.1f} MB")
    if found:
        print("it can be read, asked, evaluated and grown, but no longer trained on with --resume")
    return 0


def _why(one: Leftover) -> str:
    """Why it is not needed."""
    return "neither the best nor the last" if one.whole else "only training goes on from them"


def _size(folder: Path) -> int:
    """Bytes of all files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def show_recipes(args: argparse.Namespace) -> int:
    """List the recipes that came with the package, or print one."""
    known = {what: recipes(what) for what in KINDS}
    if args.name is None:
        for what, command in (("config", "train"), ("experiment", "experiment")):
            print(f"neuromas {command} NAME")
            for name, path in known[what].items():
                print(f"  {name:<10} {headline(path)}")
        return 0
    both = {name: path for found in known.values() for name, path in found.items()}
    if args.name not in both:
        raise ConfigError(unknown("recipe", args.name, tuple(both)))
    print(both[args.name].read_text("utf-8"), end="")
    return 0
