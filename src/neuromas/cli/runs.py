"""``neuromas runs``: all runs below a folder with their figures."""

from __future__ import annotations

import argparse
from pathlib import Path

from neuromas.cli.formats import add_formats, write_out
from neuromas.cli.options import name


def add(parser: argparse.ArgumentParser) -> None:
    """Say what may be typed."""
    parser.add_argument(
        "folder", nargs="?", default="runs", type=name, metavar="DIR", help="where to look (default runs)"
    )
    parser.add_argument(
        "--sort", default="run", type=name, metavar="COLUMN", help="sort by a column (default run)"
    )
    add_formats(parser)


def run(args: argparse.Namespace) -> int:
    """List them. A damaged run is named in its row and below the table."""
    from neuromas.report.pages import build_page

    write_out(build_page("runs", [Path(args.folder)], {"sort": args.sort}), args.form)
    return 0
