"""``neuromas show``: the test items of a run, or one of them whole, as they were answered; needs no model."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from neuromas.cli.formats import add_formats, write_out
from neuromas.cli.options import name, whole
from neuromas.core.errors import ConfigError
from neuromas.storage import Run

_ITEMS = 100_000


def add(parser: argparse.ArgumentParser) -> None:
    """Say what may be typed."""
    parser.add_argument("path", metavar="RUN", help="run directory")
    parser.add_argument("--item", type=name, metavar="ID", help="all that was read and written for one item")
    parser.add_argument(
        "--evaluation", type=name, metavar="NAME", help="another evaluation than those before and after"
    )
    parser.add_argument(
        "--local", action="store_true", help="how often every node does its local step (opens the task)"
    )
    parser.add_argument("--limit", type=whole(_ITEMS), metavar="N", help="items to list (default 30)")
    add_formats(parser)


def run(args: argparse.Namespace) -> int:
    """List won, lost and tied items; with ``--item`` show the exchange before and after training."""
    run_there = Run.open(Path(args.path))
    if args.local:
        if args.item or args.limit:
            raise ConfigError("--local counts over all items: leave --item and --limit out")
        return _local(run_there, args)
    from neuromas.report.pages import build_page

    given = {"item": args.item, "evaluation": args.evaluation, "limit": args.limit}
    options = {key: str(value) for key, value in given.items() if value is not None}
    if args.form in ("csv", "latex", "markdown", "json") and not args.limit and not args.item:
        options["limit"] = str(_ITEMS)  # machines read all
    write_out(build_page("show", [Path(args.path)], options), args.form)
    return 0


def _local(found: Run, args: argparse.Namespace) -> int:
    """Messages beside the right local answers, which the task knows."""
    from neuromas.evaluation.local import of_evaluation
    from neuromas.report.local import local_blocks

    name = args.evaluation or "test-after"
    facts = of_evaluation(found, name).facts()
    if args.form == "json":
        print(json.dumps({"evaluation": name, **facts}))
    else:
        write_out(local_blocks(name, facts), args.form)
    return 0
