"""``neuromas compare``: paired tests of two evaluations, of pairs over seeds, or of many and a first."""

from __future__ import annotations

import argparse

from neuromas.cli.formats import add_formats, write_out
from neuromas.report.reading import named_evaluation


def add(parser: argparse.ArgumentParser) -> None:
    """Say what may be typed."""
    parser.add_argument("first", metavar="RUN[:EVALUATION]", help="default evaluation: test-after")
    parser.add_argument("second", metavar="RUN[:EVALUATION]", help="on the same questions as the first")
    parser.add_argument(
        "more",
        nargs="*",
        metavar="RUN",
        help="more, each against the first; or FIRST SECOND of further seeds, which are clustered",
    )
    way = parser.add_mutually_exclusive_group()
    way.add_argument(
        "--pairs", action="store_const", const="pairs", dest="way", help="take them for pairs, a seed each"
    )
    way.add_argument(
        "--against-first", action="store_const", const="first", dest="way", help="take none for pairs"
    )
    parser.set_defaults(way="auto")
    add_formats(parser)


def run(args: argparse.Namespace) -> int:
    """Compare what networks answered to the same questions."""
    names = [args.first, args.second, *args.more]
    for text in names:
        named_evaluation(text)  # said before numpy is loaded
    from neuromas.report.pages.compare import compare_sides

    found = compare_sides(names, args.way)
    if args.form == "json":
        print(found.data)
    else:
        write_out(found.blocks, args.form)
    return 0
