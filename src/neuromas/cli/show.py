"""``neuromas show``: the test items of a run, or one of them whole, as they were answered; needs no model."""

from __future__ import annotations

import argparse
from pathlib import Path

from neuromas.cli.formats import add_formats, write_out
from neuromas.cli.options import name, whole
from neuromas.storage import Run

_ITEMS = 100_000


def add(parser: argparse.ArgumentParser) -> None:
    """Say what may be typed."""
    parser.add_argument("path", metavar="RUN", help="run directory")
    parser.add_argument("--item", type=name, metavar="ID", help="all that was read and written for one item")
    parser.add_argument(
        "--evaluation", type=name, metavar="NAME", help="another evaluation than those before and after"
    )
    parser.add_argument("--limit", type=whole(_ITEMS), metavar="N", help="items to list (default 30)")
    add_formats(parser)


def run(args: argparse.Namespace) -> int:
    """List won, lost and tied items; with ``--item`` show the exchange before and after training."""
    Run.open(Path(args.path))
    from neuromas.report.pages import build_page

    given = {"item": args.item, "evaluation": args.evaluation, "limit": args.limit}
    options = {key: str(value) for key, value in given.items() if value is not None}
    if args.form in ("csv", "latex", "markdown", "json") and not args.limit and not args.item:
        options["limit"] = str(_ITEMS)  # machines read all
    write_out(build_page("show", [Path(args.path)], options), args.form)
    return 0
