"""The numbers of an experiment, read from its run directories: means over seeds, budgets, comparisons."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from neuromas.report.tables import paired
from neuromas.statistics import holm, mean_interval_t
from neuromas.store import MANIFEST, Run, read_json

Row = Mapping[str, Any]
_BUDGET = ("steps", "calls", "prompt_tokens", "new_tokens", "seconds")


def results(rows: Sequence[Row], compare: Sequence[Row]) -> dict[str, Any]:
    """``points`` (arm and stage of a task, over seeds) and ``comparisons`` of them, as plain data.

    A row names a test evaluation: task, arm, stage, seed, shape, votes, run, evaluation, and which stage
    ``trained`` of how many ``of`` paid for it. ``compare`` names task, two (arm, stage) and why.
    Rows whose evaluation is not there are left out.
    """
    points: dict[tuple[str, str, int], list[dict[str, Any]]] = {}
    items: dict[tuple[str, str, int], dict[int, Sequence[Row]]] = {}
    for row in rows:
        key = (row["task"], row["arm"], row["stage"])
        points.setdefault(key, [])
        items.setdefault(key, {})
        run = Run(Path(row["run"]))
        if (run.path / "evaluations" / f"{row['evaluation']}.json").is_file() and run.finished:
            summary, found = run.evaluation(row["evaluation"])
            points[key].append(_seed(run, row, summary))
            items[key][row["seed"]] = found
    known = {(row["task"], row["arm"], row["stage"]): row for row in rows}
    return {
        "points": [_point(key, known[key], found) for key, found in points.items()],
        "comparisons": _comparisons(points, items, compare),
    }


def _seed(run: Run, row: Row, summary: Row) -> dict[str, Any]:
    """One seed's accuracy and what it cost until then."""
    before = run.path / "evaluations" / "test-before.json"
    untrained = not run.read("config.json")["growth"]["parent"] and before.is_file()
    return {
        "seed": row["seed"],
        "accuracy": summary["accuracy"],
        "untrained": read_json(before)["accuracy"] if untrained else None,
        "items": summary["items"],
        "failed": summary["failed"],
        "nodes": summary["nodes"],
        "calls_a_question": summary["calls"],
        "spent": _spent(run, row["trained"], row["of"]),
    }


def _spent(run: Run, stage: int, stages: int) -> dict[str, Any]:
    """What training cost until the end of a stage: noted at the growth after it, or at the last step."""
    if stage < stages:
        grown = list(run.lines("growth.jsonl"))[-(stages - 1) :]
        return {name: grown[stage - 1]["spent"][name] for name in _BUDGET}
    spent = read_json(run.checkpoints()[-1] / MANIFEST)["spent"]
    return {name: spent[name] for name in _BUDGET}


def _point(key: tuple[str, str, int], row: Row, seeds: Sequence[Row]) -> dict[str, Any]:
    """Mean over seeds with a t interval, extremes, and the mean budget."""
    accuracies = [seed["accuracy"] for seed in seeds if seed["accuracy"] is not None]
    interval = mean_interval_t(accuracies)
    return {
        "task": key[0],
        "arm": key[1],
        "stage": key[2],
        "shape": row["shape"],
        "votes": row["votes"],
        "nodes": seeds[0]["nodes"] if seeds else None,
        "calls_a_question": _mean([seed["calls_a_question"] for seed in seeds]),
        "spent": {name: _mean([seed["spent"][name] for seed in seeds]) for name in _BUDGET},
        "accuracy": _mean(accuracies),
        "interval": None if interval is None else asdict(interval),
        "lowest": min(accuracies, default=None),
        "highest": max(accuracies, default=None),
        "seeds": list(seeds),
    }


def _comparisons(
    points: Mapping[tuple[str, str, int], Sequence[Row]],
    items: Mapping[tuple[str, str, int], Mapping[int, Sequence[Row]]],
    compare: Sequence[Row],
) -> list[dict[str, Any]]:
    """Every comparison of every task; Holm's correction is over all of them."""
    found = []
    for line in compare:
        first, second = ((line["task"], *line[side]) for side in ("first", "second"))
        shared = [seed for seed in items[first] if seed in items[second]]
        accuracy = [{seed["seed"]: seed["accuracy"] for seed in points[side]} for side in (first, second)]
        differences = [
            accuracy[1][seed] - accuracy[0][seed]
            for seed in shared
            if None not in (accuracy[0][seed], accuracy[1][seed])
        ]
        interval = mean_interval_t(differences)
        found.append(
            {
                **line,
                "items": _pooled(items[first], items[second], shared),
                "seeds": {
                    "differences": differences,
                    "mean": _mean(differences),
                    "interval": None if interval is None else asdict(interval),
                },
            }
        )
    tested = [one["items"] for one in found if one["items"] is not None]
    for one, adjusted in zip(tested, holm([one["test"]["p_value"] for one in tested]), strict=True):
        one["holm"] = adjusted
    return found


def _pooled(
    first: Mapping[int, Sequence[Row]], second: Mapping[int, Sequence[Row]], seeds: Sequence[int]
) -> dict[str, Any] | None:
    """Paired test on the answers of all seeds, each against the same question of the same seed."""
    sides = [
        [{**item, "id": f"{seed}/{item['id']}"} for seed in seeds for item in side[seed]]
        for side in (first, second)
    ]
    if not all(any(item["score"] is not None for item in side) for side in sides):
        return None
    test, interval, count = paired(*sides)
    return {"test": asdict(test), "interval": None if interval is None else asdict(interval), "count": count}


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None
