"""``neuromas compare``: a paired test of two evaluations, or of as many pairs as there are seeds."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from neuromas.core.errors import ConfigError, shown
from neuromas.report.terminal import visible
from neuromas.storage import Run


def add(parser: argparse.ArgumentParser) -> None:
    """Say what may be typed."""
    parser.add_argument("first", metavar="RUN[:EVALUATION]", help="default evaluation: test-after")
    parser.add_argument("second", metavar="RUN[:EVALUATION]")
    parser.add_argument("more", nargs="*", metavar="RUN", help="further pairs: the same with other seeds")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


def run(args: argparse.Namespace) -> int:
    """Compare what two networks answered to the same questions."""
    names = [args.first, args.second, *args.more]
    if len(names) % 2:
        raise ConfigError(f"{len(names)} evaluations are not pairs; give FIRST SECOND for every seed")
    for first, second in zip(names[::2], names[1::2], strict=True):
        if first == second:
            raise ConfigError(f"{shown(first)} is compared with itself; give FIRST SECOND of different runs")
    runs = [_open(text) for text in names]
    from neuromas.report.comparing import compare_pairs
    from neuromas.report.experiment import comparison_lines
    from neuromas.report.reading import read_evaluation
    from neuromas.report.results import as_json
    from neuromas.report.tables import paired, paired_line, percent

    sides: list[tuple[dict[str, Any], list[dict[str, Any]]]] = [read_evaluation(*one) for one in runs]
    if args.more:
        found = compare_pairs([items for _, items in sides])
        data, said = as_json(found), "\n".join(comparison_lines(found)).rstrip()
    else:
        test, interval, count = paired(sides[0][1], sides[1][1])
        bounds = None if interval is None else asdict(interval)
        data = json.dumps({"test": asdict(test), "interval": bounds, "items": count})
        said = f"difference {paired_line(test, interval, count)}"
    if args.json:
        print(data)
        return 0
    for text, (summary, _) in zip(names, sides, strict=True):
        print(f"{percent(summary['accuracy'], summary['interval'])}  {visible(text)}")
    print(said)
    return 0


def _open(text: str) -> tuple[Run, str]:
    """Run and name of an evaluation given as RUN or RUN:EVALUATION."""
    path, name = text, ""
    if not Path(text).is_dir():  # a folder's name may hold a colon
        path, _, name = text.rpartition(":") if ":" in text else (text, "", "")
    return Run.open(Path(path)), name or "test-after"
