"""The numbers of an experiment, read from its run directories: means over seeds, budgets, comparisons.

Scores of every question are kept with them, so every comparison can be made again from the file alone.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from neuromas.core.errors import RunError
from neuromas.report.comparing import ask, compare_points, complete, correct
from neuromas.report.reading import prompt_mark, read_evaluation, require
from neuromas.statistics import MIN_SEEDS, clustered_mean
from neuromas.storage import MANIFEST, Run, read_json

Row = Mapping[str, Any]
Key = tuple[str, str, int]
_BUDGET = ("steps", "calls", "prompt_tokens", "new_tokens", "seconds")


def results(rows: Sequence[Row], compare: Sequence[Row]) -> dict[str, Any]:
    """``items`` (ids of every task's questions), ``points`` (arm and stage of a task) and ``comparisons``.

    A row names a test evaluation: task, arm, stage, seed, shape, votes, run, evaluation, and which stage
    ``trained`` of how many ``of`` paid for it. ``compare`` names task, two (arm, stage) and why. A point
    has its ``seeds``, each with the ``scores`` of the task's questions in the order of ``items`` (None where
    there is no score). Rows whose evaluation is not there are left out. Raises RunError with one line where
    one is damaged, or where two ask different questions under the same id.
    """
    points: dict[Key, list[dict[str, Any]]] = {}
    questions: dict[str, dict[str, str]] = {}
    for row in rows:
        key = (row["task"], row["arm"], row["stage"])
        points.setdefault(key, [])
        asked = questions.setdefault(row["task"], {})
        run = Run(Path(row["run"]))
        if (run.path / "evaluations" / f"{row['evaluation']}.json").is_file() and run.finished:
            points[key].append(_seed(run, row, asked))
    known = {(row["task"], row["arm"], row["stage"]): row for row in rows}
    for (task, _, _), seeds in points.items():
        for seed in seeds:
            scores = seed.pop("by id")
            seed["scores"] = [scores.get(name) for name in questions[task]]
    kept = [_point(key, known[key], seeds) for key, seeds in points.items()]
    return {
        "items": {task: list(asked) for task, asked in questions.items()},
        "points": kept,
        "comparisons": correct([compare_points(kept, line) for line in compare]),
    }


def as_json(value: Any, indent: int = 0) -> str:
    """JSON to be read and compared by people: lists of plain values stand on one line."""
    inner, outer = " " * (indent + 1), " " * indent
    if isinstance(value, Mapping) and value:
        parts = [
            f"{json.dumps(key, ensure_ascii=False)}: {as_json(part, indent + 1)}"
            for key, part in value.items()
        ]
        return "{\n" + ",\n".join(inner + part for part in parts) + f"\n{outer}}}"
    if isinstance(value, list | tuple) and any(isinstance(part, Mapping | list | tuple) for part in value):
        return "[\n" + ",\n".join(inner + as_json(part, indent + 1) for part in value) + f"\n{outer}]"
    return json.dumps(value, ensure_ascii=False)


def _seed(run: Run, row: Row, asked: dict[str, str]) -> dict[str, Any]:
    """One seed's accuracy, its scores by question, and what it cost until then; notes what was asked."""
    summary, items = read_evaluation(
        run, row["evaluation"], ("accuracy", "items", "failed", "nodes", "calls")
    )
    ask(asked, items, str(run.path))
    mark = prompt_mark(run)
    return {
        "seed": row["seed"],
        "accuracy": summary["accuracy"],
        "untrained": _untrained(run),
        "items": summary["items"],
        "failed": summary["failed"],
        "nodes": summary["nodes"],
        "calls_a_question": summary["calls"],
        "spent": _spent(run, row["trained"], row["of"]),
        **({"prompts": mark} if mark else {}),
        "by id": {item["id"]: _short(item["score"]) for item in items},
    }


def _short(score: float | None) -> float | None:
    """0 and 1 as whole numbers: files of many scores stay small."""
    return int(score) if score in (0, 1) else score


def _untrained(run: Run) -> float | None:
    """Accuracy before training, unless the run began with a network that was trained already."""
    config = run.read("config.json")
    require(config, ("growth",), f"{run.path}/config.json")
    require(config["growth"], ("parent",), f"{run.path}/config.json")
    if config["growth"]["parent"] or not (run.path / "evaluations" / "test-before.json").is_file():
        return None
    before = run.read("evaluations/test-before.json")
    require(before, ("accuracy",), f"{run.path}/evaluations/test-before.json")
    found: float | None = before["accuracy"]
    return found


def _spent(run: Run, stage: int, stages: int) -> dict[str, Any]:
    """What training cost until the end of a stage: noted at the growth after it, or at the last step."""
    if stage < stages:
        where = f"{run.path}/growth.jsonl"
        grown = list(run.lines("growth.jsonl"))[-(stages - 1) :]
        if len(grown) < stages - 1:
            raise RunError(f"{where} is damaged: {len(grown)} of {stages - 1} growths")
        noted: Row = grown[stage - 1]
    else:
        if not run.checkpoints():
            raise RunError(f"{run.path} has no checkpoint")
        where = str(run.checkpoints()[-1] / MANIFEST)
        noted = read_json(run.checkpoints()[-1] / MANIFEST)
    require(noted, ("spent",), where)
    require(noted["spent"], _BUDGET, where)
    return {name: noted["spent"][name] for name in _BUDGET}


def _point(key: Key, row: Row, seeds: Sequence[Row]) -> dict[str, Any]:
    """Mean over seeds, extremes, the mean budget; an interval if seeds and questions are enough for one."""
    accuracies = [seed["accuracy"] for seed in seeds if seed["accuracy"] is not None]
    (scores,) = complete([[seed["scores"] for seed in seeds]])
    enough = len(seeds) >= MIN_SEEDS and len(scores[0]) > 1
    interval = clustered_mean(scores) if enough else None
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


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None
