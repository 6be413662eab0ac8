"""``neuromas validate``: a task's gold answers earn 1, and thoughtless ones do not."""

from __future__ import annotations

import argparse

from neuromas.cli.options import read_pairs, whole
from neuromas.report.terminal import visible

_ITEMS = 100_000


def add(parser: argparse.ArgumentParser) -> None:
    """Say what may be typed."""
    parser.set_defaults(pairs="options")
    parser.add_argument("task", help="its name (see neuromas tasks), or module:Name for your own")
    parser.add_argument("options", nargs="*", metavar="option=value", help="options of the task")
    parser.add_argument("--items", type=whole(_ITEMS), default=100, help="problems a split (default 100)")


def run(args: argparse.Namespace) -> int:
    """Gold answers earn 1; empty, shuffled and thoughtless ones do not. Exit status 1 if one fails."""
    from neuromas.tasks import make_task, validate

    report = validate(make_task(args.task, read_pairs(args.options)), args.items, 0)
    for check in report.checks:
        mark = {True: "ok  ", False: "FAIL", None: "info"}[check.ok]
        print(visible(f"{mark}  {check.name}: {check.detail}"))
    return 0 if report.ok else 1
