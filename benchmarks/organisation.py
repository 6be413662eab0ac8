"""Collects the organisation experiment, finished or not, into benchmarks/results/organisation.json.

python benchmarks/organisation.py runs/organisation

Beside the experiment's own results: which cells are missing, what the nodes of a grown network said on one
question, and whose part leaves wrote when they were told each other's number. ``readme.py`` makes the page.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path
from statistics import median
from typing import Any

from neuromas.config import at_stage, make_config
from neuromas.core.errors import NeuromasError
from neuromas.core.task import Problem
from neuromas.evaluation.heldout import first_problems
from neuromas.evaluation.local import LocalAnswers, levels_of, of_evaluation
from neuromas.experiment.cells import Cell, Start, lay_out
from neuromas.experiment.plan import load_plan
from neuromas.report.joining import joined
from neuromas.report.results import as_json
from neuromas.storage import Run, read_json, write_atomic
from neuromas.system.saving import read_saved
from neuromas.tasks import make_task
from neuromas.tasks.cheats import best_constant, is_gold
from neuromas.tasks.formulas import as_fraction
from neuromas.theory.law import Cell as Measured
from neuromas.theory.law import Fit, against_snr, law, spent_until

HERE = Path(__file__).parent
RECIPE = HERE.parent / "recipes" / "experiments" / "organisation.toml"
OUT = HERE / "results" / "organisation.json"
ALOUD = "grown-2"  # whose messages are read aloud
TARGETS = (0.8, 0.7, 0.5)  # accuracies on validation until which samples are counted
DIVIDED = "lifted-3"  # of whose leaves it is said whose step they do
HALF = 0.5  # of their steps, in which leaves that divide the work are right at least
WAYS = {  # the arm of every depth
    "grown": {1: "step", 2: "grown-2", 3: "grown-3", 4: "grown-4"},
    "from scratch": {1: "step", 2: "scratch-2", 3: "scratch-3"},
    "single": {1: "step", 2: "single-2", 3: "single-3", 4: "single-4"},
}


def main() -> None:
    """Read the experiment's folder and write the file."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("folder", type=Path, help="of the experiment, with results.json")
    parser.add_argument("--recipe", type=Path, default=RECIPE)
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--onto", type=Path, help="a file of an earlier folder, whose cells are kept")
    args = parser.parse_args()
    plan = load_plan(args.recipe)
    cells = lay_out(plan, args.folder)
    found = {**read_json(args.folder / "results.json"), **collected(cells)}
    found.pop("experiment")  # the recipe is in the repository
    if args.onto:
        found = onto(read_json(args.onto), found, plan.asked)
    write_atomic(args.out, as_json(found) + "\n")
    print(f"{len(found['missing'])} of {len(cells)} cells are missing; wrote {args.out}")


def onto(earlier: dict[str, Any], later: dict[str, Any], of: dict[str, str]) -> dict[str, Any]:
    """The later file with the cells of an earlier one, whose folder need not be there any more.

    ``of`` as in ``joined``. The lines of the law, and samples, are of one folder alone, as they are made of
    what only runs hold: the lines of that which has more networks, samples of the later one where it has any.
    """
    both = {**later, **joined(earlier, later, of)}
    known = set(_finished(both))
    both["missing"] = [name for name in later["missing"] if name not in known]
    both["earlier"] = before(earlier, [name for name in later["missing"] if name in known])
    for part in ("aloud", "swapped", "divided"):
        there = {one["cell"] for one in later[part]}
        kept = [one for one in earlier.get(part, ()) if one["cell"] in known - there]
        both[part] = [*kept, *later[part]]
    there = {one["cell"] for one in later["law"]["cells"]}
    kept = [one for one in earlier["law"]["cells"] if one["cell"] not in there]
    lines = {name: most((earlier["law"].get(name), later["law"][name])) for name in ("fit", "divided")}
    unknown = [name for name in earlier["law"]["unknown"] if name in known and name not in there]
    both["law"] = {**lines, "unknown": [*unknown, *later["law"]["unknown"]]}
    both["law"]["cells"] = [*kept, *later["law"]["cells"]]
    both["samples"] = counted(earlier["samples"], later["samples"])
    return both


def before(earlier: dict[str, Any], kept: list[str]) -> list[dict[str, Any]]:
    """What earlier folders left, oldest first: how they were made, and those of ``kept`` that are theirs."""
    known = earlier.get("earlier") or []
    older = known if isinstance(known, list) else [known]  # one, until there were two
    told = [
        {"about": one.get("about", one), "cells": [name for name in one.get("cells", ()) if name in kept]}
        for one in older
    ]
    theirs = {name for one in told for name in one["cells"]}
    last = [name for name in kept if name not in theirs]  # none where its folder is still there
    return [*told, *([{"about": earlier["about"], "cells": last}] if last else [])]


def most(lines: Iterable[dict[str, Any] | None]) -> dict[str, Any] | None:
    """The line through most networks; the first of several."""
    return max((line for line in lines if line), key=lambda line: line["cells"], default=None)


def counted(earlier: list[dict[str, Any]], later: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Samples of the later folder where it has any, else of the earlier one."""
    found = {(one["task"], one["way"], one["target"]): one for one in earlier}
    found |= {(one["task"], one["way"], one["target"]): one for one in later if one["depths"]}
    return list(found.values())


def _finished(found: dict[str, Any]) -> list[str]:
    """Names of the cells of which there are points."""
    return [
        f"{one['task']}/{one['arm']}/seed-{seed['seed']}" for one in found["points"] for seed in one["seeds"]
    ]


def collected(cells: list[Cell]) -> dict[str, Any]:
    """What the results do not say: missing cells, messages, and leaves told another number."""
    told = [cell for cell in cells if cell.arm.positions == "swapped" and cell.finished]
    return {
        "missing": [cell.name for cell in cells if not cell.finished],
        "cells": len(cells),
        "aloud": [_aloud(cell) for cell in cells if cell.arm.name == ALOUD and cell.finished][:1],
        "swapped": [followed(cell) for cell in told if _sees_all(cell)],
        "samples": [samples(those, way, to) for those in by_task(cells) for to in TARGETS for way in WAYS],
        "law": local_steps([cell for cell in cells if cell.finished and not cell.arm.of]),
        "divided": [divided(cell) for cell in cells if _is_divided(cell)],
        "cheats": cheats(cells),
    }


def cheats(cells: list[Cell]) -> list[dict[str, Any]]:
    """What is right on the test questions of every task and depth without doing both steps.

    The best constant answer, and the answer of the first half of the question (its first step at depth 2).
    """
    found: dict[tuple[str, int], dict[str, Any]] = {}
    for cell in cells:
        depth = cell.levels[-1].depth
        if cell.arm.of or depth is None or (cell.task, depth) in found:
            continue
        config = at_stage(cell.config, len(cell.levels) - 1)
        asked = make_task(config.task.name, config.task.options)
        problems = first_problems(asked, "test", config.evaluate.test)
        pairs = [(problem, levels_of(problem)[0]) for problem in problems]
        hits = [is_gold(problem, levels[-2][0]) for problem, levels in pairs if levels[1:]]
        constant = best_constant(asked, problems)
        found[cell.task, depth] = {
            "task": cell.task,
            "depth": depth,
            "items": len(problems),
            "constant": constant.earned,
            "half": _mean([float(hit) for hit in hits]) if hits else None,
        }
    return sorted(found.values(), key=lambda one: (one["task"], one["depth"]))


def local_steps(cells: list[Cell]) -> dict[str, Any]:
    """Every network of several nodes beside the product of its local accuracies, and the line through all.

    Another line is through those alone whose leaves are right in at least half of their steps.
    """
    found, lost, layers = list[Measured](), list[str](), dict[str, list[list[float | None]]]()
    for cell in cells:
        try:
            answers = of_evaluation(Run(cell.run), cell.evaluation(cell.arm.last))
        except NeuromasError:  # such as parts cut at wrong places, which have no right answers
            lost.append(cell.name)
            continue
        if len(answers.nodes) > 1:
            found.append(answers.cell(cell.name, 0))
            layers[cell.name] = by_layer(answers)
    beside = law(found)
    rows = [
        {"cell": one.cell.name, "accuracy": one.accuracy, "predicted": one.predicted, "off": one.off}
        | {"low": one.interval.low, "high": one.interval.high, "layers": layers[one.cell.name]}
        for one in beside.deviations
    ]
    doing = [one for one in found if all((share or 0.0) >= HALF for share in layers[one.name][0])]
    lines = {"fit": _line(beside.fit), "divided": _line(law(doing).fit)}
    return {"cells": rows, "unknown": [*beside.unknown, *lost], **lines}


def _line(fit: Fit | None) -> dict[str, Any] | None:
    """The line through the logarithms as plain data."""
    if fit is None:
        return None
    ends = {"low": fit.slope_interval.low, "high": fit.slope_interval.high, "intercept": fit.intercept}
    return {"cells": fit.cells, "left_out": fit.left_out, "slope": fit.slope, **ends, "r2": fit.r2}


def _is_divided(cell: Cell) -> bool:
    return cell.task in ("sums", "digits") and cell.arm.name == DIVIDED and cell.finished


def divided(cell: Cell) -> dict[str, Any]:
    """Of every leaf of a network, how often it wrote the answer of each step of its level."""
    leaves = len(read_saved(Run(cell.run).handed_on).topology.layers()[0])
    nodes = of_evaluation(Run(cell.run), cell.evaluation(cell.arm.last)).nodes[:leaves]
    read = {"cell": cell.name, "leaves": {one.name: [entry.share for entry in one.wrote] for one in nodes}}
    return read if cell.task != "sums" else {**read, "output": by_ten(cell)}


def by_ten(cell: Cell) -> dict[str, int]:
    """Where output and readers wrote numbers: how often, and how many sums are wrong, and wrong by ten."""
    counts = {"of": 0, "wrong": 0, "ten": 0}
    for item in Run(cell.run).lines(f"evaluations/{cell.evaluation(cell.arm.last)}.jsonl"):
        first, second, said = (as_fraction(text.strip()) for text in item["messages"][-3:])
        if first is None or second is None or said is None:
            continue
        counts["of"] += 1
        counts["wrong"] += said != first + second
        counts["ten"] += abs(said - first - second) == 10
    return counts


def by_layer(answers: LocalAnswers) -> list[list[float | None]]:
    """Layer by layer the nodes' shares of right messages among those that read only right ones."""
    found: dict[str, list[float | None]] = {}
    for node in answers.nodes:
        found.setdefault(node.name.partition(".")[0], []).append(node.given.share)
    return list(found.values())


def by_task(cells: list[Cell]) -> list[list[Cell]]:
    """The finished cells of every task that has any."""
    found: dict[str, list[Cell]] = {}
    for cell in cells:
        if cell.finished:
            found.setdefault(cell.task, []).append(cell)
    return list(found.values())


def samples(cells: list[Cell], way: str, target: float) -> dict[str, Any]:
    """Episodes until validation on a depth reaches the target, all before them counted, by seed.

    ``cells`` are finished ones of one task.

    Beside their median stands what the toy's signal-to-noise says (``theory.snr``), relative to depth 1: its
    leaf errs as the untrained model on a step, its others alike from scratch, and grown as the trained one.
    """
    about = {"task": cells[0].task, "way": way, "target": target}
    found: dict[int, dict[int, float | None]] = {}
    for depth, arm in WAYS[way].items():
        runs = {cell.seed: _until(cell, depth, target) for cell in cells if cell.arm.name == arm}
        found |= {depth: runs} if runs else {}
    steps = [cell for cell in cells if cell.arm.name == "step"]
    if not steps:
        return {**about, "depths": []}
    before = _mean([_accuracy(cell, "test-before") for cell in steps])
    after = _mean([_accuracy(cell, "test-after") for cell in steps])
    middle = {depth: _middle(list(runs.values())) for depth, runs in found.items()}
    rest = after if way == "grown" else before
    known = way != "single" and 0.0 < before < 1.0 and 0.0 < rest < 1.0  # the toy errs now and then
    beside = against_snr(middle, 1.0 - before, 1.0 - rest) if known else ()
    predicted = {one.depth: one.predicted for one in beside}
    rows = []
    for depth, runs in found.items():
        episodes = {f"seed {seed}": until for seed, until in runs.items()}
        beside_it = {"median": middle[depth], "predicted": predicted.get(depth)}
        rows.append({"depth": depth, "episodes": episodes, **beside_it})
    return {**about, "untrained": before, "trained": after, "depths": rows}


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)


def _accuracy(cell: Cell, name: str) -> float:
    return float(Run(cell.run).read(f"evaluations/{name}.json")["accuracy"])


def _middle(values: list[float | None]) -> float | None:
    """The median, where those that never got there come last; None if it is one of these."""
    reached = [value for value in values if value is not None]
    here = len(values) // 2 + 1
    if len(reached) < here:
        return None
    return median(reached + [float("inf")] * (len(values) - len(reached)))


def _until(cell: Cell, depth: int, target: float) -> float | None:
    """Episodes until a validation of the stages of this depth reached the target; None if none did."""
    train, ends = cell.config.train, _ends(cell)
    stages = [number for number, level in enumerate(cell.levels) if level.depth == depth]
    first = ends[stages[0]]
    rows = [
        row for row in Run(cell.run).lines("validation.jsonl") if first < row["step"] <= ends[stages[-1] + 1]
    ]
    earlier = _before(cell.start)
    return spent_until(rows, lambda step: float((earlier + step) * train.problems * train.samples), target)


def _ends(cell: Cell) -> list[int]:
    """Steps of the run before each of its stages, and in all."""
    ends = [0]
    for _, steps in cell.config.shapes:
        ends.append(ends[-1] + steps)
    return ends


def _before(start: Start | None) -> int:
    """Steps that led to the network a run began with."""
    if start is None:
        return 0
    shapes = make_config(Run(start.run).read("config.json")).shapes
    return sum(steps for _, steps in shapes[: start.stage]) + _before(start.start)


def _aloud(cell: Cell) -> dict[str, Any]:
    """The first test question: what every node read and wrote."""
    name = cell.evaluation(cell.arm.last)
    item = next(iter(Run(cell.run).lines(f"evaluations/{name}.jsonl")))
    prompts = Run(cell.run).prompts(name).get(item["id"], [])
    kept = ("question", "gold", "answer", "messages")
    return {"cell": cell.name, **{key: item[key] for key in kept}, "prompts": prompts}


def _sees_all(cell: Cell) -> bool:
    """Whether every leaf of the network reads the whole question, so that it could do another's part."""
    topology = read_saved(Run(cell.run).handed_on).topology
    return all(topology.nodes[leaf].question == "all" for leaf in topology.layers()[0])


def followed(cell: Cell) -> dict[str, Any]:
    """Share of leaves' messages that answer the step of their own number, and of the number they were told.

    A leaf counts where the two steps have different answers.
    """
    task = cell.config.stages[cell.stage - 1].task or {}
    asked = make_task(cell.config.task.name, {**cell.config.task.options, **task})
    items = list(Run(cell.run).lines(f"evaluations/{cell.evaluation(1)}.jsonl"))
    counts = {"own": 0, "told": 0, "count": 0}
    width = len(read_saved(Run(cell.run).handed_on).topology.layers()[0])
    for number, item in enumerate(items):
        leaves = right(asked.problem("test", number), width)
        for place, own in enumerate(leaves):
            told = leaves[(place + 1) % len(leaves)]
            if own != told:
                said = item["messages"][place].strip()
                counts["count"] += 1
                counts["own"] += said == own
                counts["told"] += said == told
    return {"cell": cell.name, "task": cell.task, "arm": cell.arm.name, "seed": cell.seed, **counts}


def right(problem: Problem, leaves: int) -> tuple[str, ...]:
    """The right answers of a problem's steps, of the level that has one for every leaf."""
    return next((level for level in levels_of(problem)[0] if len(level) == leaves), ())


if __name__ == "__main__":
    main()
