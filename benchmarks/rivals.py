"""Collects the experiment of the rivals, finished or not, into benchmarks/results/rivals.json.

python benchmarks/rivals.py runs/rivals

Beside the results: which cells are missing, which failed, with the cause, and how many messages
of a question were empty. ``readme.py`` makes the page.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from statistics import fmean
from typing import Any

from organisation import before

from neuromas.experiment.cells import Cell, lay_out
from neuromas.experiment.plan import load_plan
from neuromas.report.joining import joined
from neuromas.report.results import as_json
from neuromas.storage import read_json, write_atomic

HERE = Path(__file__).parent
RECIPE = HERE.parent / "recipes" / "experiments" / "rivals.toml"
OUT = HERE / "results" / "rivals.json"


def main() -> None:
    """Read the experiment's folder and write the file."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("folder", type=Path, help="of the experiment, with results.json")
    parser.add_argument("--onto", type=Path, help="a file of an earlier folder, whose cells are kept")
    args = parser.parse_args()
    plan = load_plan(RECIPE)
    cells = lay_out(plan, args.folder)
    found = read_json(args.folder / "results.json")
    found.pop("experiment")  # the recipe is in the repository
    failed = args.folder / "failures.json"
    causes = read_json(failed) if failed.is_file() else {}
    if args.onto:
        earlier = read_json(args.onto)
        known = {(one["task"], one["arm"]): len(one["seeds"]) for one in earlier["points"]}
        found = {**found, **joined(earlier, found, plan.asked)}
    there = {
        f"{one['task']}/{one['arm']}/seed-{seed['seed']}" for one in found["points"] for seed in one["seeds"]
    }
    found["missing"] = [cell.name for cell in cells if cell.name not in there]
    said = written(cells)
    if args.onto:
        here = {cell.name for cell in cells if cell.finished}
        found["earlier"] = before(earlier, sorted(there - here))
        said = kept(earlier["written"], said, known)
    found |= {
        "written": said,
        "cells": len(cells),
        "failed": {name: causes[name] for name in found["missing"] if name in causes},
    }
    write_atomic(OUT, as_json(found) + "\n")
    print(f"{len(found['missing'])} of {len(cells)} cells are missing; wrote {OUT}")


def kept(
    earlier: list[dict[str, Any]], later: list[dict[str, Any]], seeds: dict[tuple[str, str], int]
) -> list[dict[str, Any]]:
    """Of every arm the count of the folder that has most seeds of it; the later one where they are equal.

    ``seeds`` of the arms in the earlier one: counts of before did not say of how many they are.
    """
    found = {(one["task"], one["arm"]): one for one in earlier}
    for one in later:
        arm = one["task"], one["arm"]
        if arm not in found or found[arm].get("seeds", seeds.get(arm, 1)) <= one["seeds"]:
            found[arm] = one
    return list(found.values())


def written(cells: Iterable[Cell]) -> list[dict[str, Any]]:
    """Of every evaluated arm whose questions take several messages: the share of empty ones, in order.

    Seeds count together. A message is in its place of those of a question, as they were written; where
    questions take more or fewer, a share is of those that have the place.
    """
    places: dict[tuple[str, str], dict[int, list[bool]]] = {}
    seeds: Counter[tuple[str, str]] = Counter()
    for cell in cells:
        file = cell.run / "evaluations" / f"{cell.evaluation(cell.arm.last)}.jsonl"
        if not cell.finished or not file.is_file():
            continue
        seeds[cell.task, cell.arm.name] += 1
        for line in file.read_text(encoding="utf-8").splitlines():
            said = json.loads(line)["messages"]
            of = places.setdefault((cell.task, cell.arm.name), {})
            for place, text in enumerate(said if len(said) > 1 else ()):
                of.setdefault(place, []).append(not text.strip())
    return [
        {
            **{"task": task, "arm": arm, "seeds": seeds[task, arm]},
            "empty": [fmean(of[place]) for place in sorted(of)],
        }
        for (task, arm), of in places.items()
        if of
    ]


if __name__ == "__main__":
    main()
