"""Collects the organisation experiment, finished or not, into benchmarks/results/organisation.json.

python benchmarks/organisation.py runs/organisation

Beside the experiment's own results: which cells are missing, what the nodes of a grown network said on one
question, and whose part leaves wrote when they were told each other's number. ``readme.py`` makes the page.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from neuromas.core.errors import NeuromasError
from neuromas.core.task import Problem
from neuromas.evaluation.local import of_evaluation
from neuromas.experiment.cells import Cell, lay_out
from neuromas.experiment.plan import load_plan
from neuromas.report.results import as_json
from neuromas.storage import Run, read_json, write_atomic
from neuromas.tasks import make_task
from neuromas.theory.law import Cell as Measured
from neuromas.theory.law import law

HERE = Path(__file__).parent
RECIPE = HERE.parent / "recipes" / "experiments" / "organisation.toml"
OUT = HERE / "results" / "organisation.json"
ALOUD = "grown-2"  # whose messages are read aloud


def main() -> None:
    """Read the experiment's folder and write the file."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("folder", type=Path, help="of the experiment, with results.json")
    parser.add_argument("--recipe", type=Path, default=RECIPE)
    parser.add_argument("--out", type=Path, default=OUT)
    args = parser.parse_args()
    cells = lay_out(load_plan(args.recipe), args.folder)
    found = {**read_json(args.folder / "results.json"), **collected(cells)}
    found.pop("experiment")  # the recipe is in the repository
    write_atomic(args.out, as_json(found) + "\n")
    print(f"{sum(not cell.finished for cell in cells)} of {len(cells)} cells are missing; wrote {args.out}")


def collected(cells: list[Cell]) -> dict[str, Any]:
    """What the results do not say: missing cells, messages, and leaves told another number."""
    swapped = [cell for cell in cells if cell.arm.positions == "swapped" and cell.finished]
    return {
        "missing": [cell.name for cell in cells if not cell.finished],
        "cells": len(cells),
        "aloud": [_aloud(cell) for cell in cells if cell.arm.name == ALOUD and cell.finished][:1],
        "swapped": [followed(cell) for cell in swapped],
        "law": local_steps([cell for cell in cells if cell.finished and not cell.arm.of]),
    }


def local_steps(cells: list[Cell]) -> dict[str, Any]:
    """Every network of several nodes beside the product of its local accuracies, and the line through all."""
    found, lost = list[Measured](), list[str]()
    for cell in cells:
        try:
            answers = of_evaluation(Run(cell.run), cell.evaluation(cell.arm.last))
        except NeuromasError:  # such as parts cut at wrong places, which have no right answers
            lost.append(cell.name)
            continue
        if len(answers.nodes) > 1:
            found.append(answers.cell(cell.name, 0))
    beside = law(found)
    rows = [
        {"cell": one.cell.name, "accuracy": one.accuracy, "predicted": one.predicted, "off": one.off}
        | {"low": one.interval.low, "high": one.interval.high}
        for one in beside.deviations
    ]
    fit = beside.fit
    line = {"cells": fit.cells, "left_out": fit.left_out, "slope": fit.slope, "r2": fit.r2} if fit else None
    return {"cells": rows, "unknown": [*beside.unknown, *lost], "fit": line}


def _aloud(cell: Cell) -> dict[str, Any]:
    """The first test question: what every node read and wrote."""
    name = cell.evaluation(cell.arm.last)
    item = next(iter(Run(cell.run).lines(f"evaluations/{name}.jsonl")))
    prompts = Run(cell.run).prompts(name).get(item["id"], [])
    kept = ("question", "gold", "answer", "messages")
    return {"cell": cell.name, **{key: item[key] for key in kept}, "prompts": prompts}


def followed(cell: Cell) -> dict[str, Any]:
    """Share of leaves' messages that answer the part of their own number, and of the number they were told.

    A leaf counts where the two parts have different answers.
    """
    task = cell.config.stages[cell.stage - 1].task or {}
    asked = make_task(cell.config.task.name, {**cell.config.task.options, **task})
    items = list(Run(cell.run).lines(f"evaluations/{cell.evaluation(1)}.jsonl"))
    counts = {"own": 0, "told": 0, "count": 0}
    for number, item in enumerate(items):
        leaves = right(asked.problem("test", number))
        for place, own in enumerate(leaves):
            told = leaves[(place + 1) % len(leaves)]
            if own != told:
                said = item["messages"][place].strip()
                counts["count"] += 1
                counts["own"] += said == own
                counts["told"] += said == told
    return {"cell": cell.name, "task": cell.task, "arm": cell.arm.name, "seed": cell.seed, **counts}


def right(problem: Problem) -> tuple[str, ...]:
    """The right answers of a problem's parts."""
    return tuple(str(text) for text in problem.meta["local"][0])


if __name__ == "__main__":
    main()
