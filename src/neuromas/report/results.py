"""The numbers of an experiment, read from its run directories: means over seeds, budgets, comparisons.

Scores of every question are kept with them, so every comparison can be made again from the file alone.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any

from neuromas.core.errors import RunError
from neuromas.report.budgets import held
from neuromas.report.comparing import ask, compare_points, complete, correct
from neuromas.report.reading import precision_of, prompt_mark, read_evaluation, require
from neuromas.statistics import MIN_SEEDS, clustered_mean
from neuromas.storage import MANIFEST, Run, read_json

Row = Mapping[str, Any]
Key = tuple[str, str, int]
_BUDGET = ("steps", "calls", "prompt_tokens", "new_tokens", "seconds")
_ABOUT = {"level": "", "depth": None, "system": "", "asked": ""}
_SEARCH = ("calls", "prompt_tokens", "new_tokens")
_FORWARD = 2.0  # operations for each weight that multiplies a token, see ``system.cost``


def results(rows: Sequence[Row], compare: Sequence[Row]) -> dict[str, Any]:
    """``items`` (ids of every task's questions), ``asked`` (a digest of their texts), ``points`` (arm and
    stage of a task) and ``comparisons``.

    A row names a test evaluation: task, arm, stage, seed, shape, votes, run, evaluation, and which stage
    ``trained`` of how many ``of`` paid for it. It may say more: ``level`` (stages of one level are tested on
    the same questions) with its ``depth``, the ``system`` of a figure, what is ``asked`` otherwise, the
    network the run has its ``start`` from, parameters of the backbone (``weights``) and of an ``adapter``,
    the ``method`` that answers with its ``options``, and how many ``episodes`` a step of each stage plays
    where its log does not say it.
    ``compare`` names task, two (arm, stage), why, and what is to be ``equal`` (see ``budgets.held``). A point
    has its ``seeds``, each with the ``scores`` of the questions in the order of ``items`` (None where there
    is no score). Rows whose evaluation is not there are left out. Raises RunError with one line where one is
    damaged, or where two ask different questions under the same id.
    """
    points: dict[Key, list[dict[str, Any]]] = {}
    questions: dict[str, dict[str, str]] = {}
    for row in rows:
        key = (row["task"], row["arm"], row["stage"])
        points.setdefault(key, [])
        asked = questions.setdefault(_questions(row), {})
        run = Run(Path(row["run"]))
        if (run.path / "evaluations" / f"{row['evaluation']}.json").is_file() and run.finished:
            points[key].append(_seed(run, row, asked))
    known = {(row["task"], row["arm"], row["stage"]): row for row in rows}
    for key, seeds in points.items():
        for seed in seeds:
            scores = seed.pop("by id")
            seed["scores"] = [scores.get(name) for name in questions[_questions(known[key])]]
    kept = [point(key, known[key], seeds) for key, seeds in points.items()]
    return {
        "items": {task: list(asked) for task, asked in questions.items()},
        "asked": {task: _digest(list(asked.values())) for task, asked in questions.items()},
        "points": kept,
        "comparisons": correct([held(compare_points(kept, line), kept) for line in compare]),
    }


def _digest(texts: Sequence[str]) -> str:
    """Of questions, in their order: the same ids may ask something else once a task's options change."""
    return hashlib.sha256(json.dumps(texts).encode()).hexdigest()[:16]


def _questions(row: Row) -> str:
    """Name of a row's questions: its task and level."""
    level = row.get("level", "")
    return f"{row['task']}, {level}" if level else str(row["task"])


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
    frozen = summary.get("parameters") == 0  # it answers without any trained one, so no training paid for it
    mark = summary.get("prompts", "") if frozen else prompt_mark(run)
    spent = dict.fromkeys((*_BUDGET, "rollouts"), 0) if frozen else _paid(run, row)
    rollouts = spent.pop("rollouts")
    read, written = summary.get("prompt_tokens"), summary.get("new_tokens")
    precision = precision_of(run, summary)
    return {
        "seed": row["seed"],
        "accuracy": summary["accuracy"],
        "untrained": None if frozen else _untrained(run),
        "items": summary["items"],
        "failed": summary["failed"],
        "nodes": summary["nodes"],
        "calls_a_question": summary["calls"],
        "tokens_a_question": [read, written],
        "flops_a_question": None if read is None or written is None else _flops(row, read + written),
        "trainable": _trainable(row, summary),
        "flops": _flops(row, spent["prompt_tokens"] + spent["new_tokens"]),
        "rollouts": rollouts,
        "search": _search(run, row, summary),
        "frozen": frozen,
        "oracle": bool(summary.get("oracle")),
        "spent": spent,
        **({"precision": precision} if precision else {}),
        **({"prompts": mark} if mark else {}),
        "labels": summary.get("labels", {}),
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


def _trainable(row: Row, summary: Row) -> float | None:
    """Parameters it answers with: as the method says, or those of the network's adapters, also of held ones.

    None where it is not known.
    """
    if "parameters" in summary:
        return float(summary["parameters"])
    each, adapters = row.get("adapter"), summary.get("adapters")
    return None if each is None or adapters is None else each * adapters


def _search(run: Run, row: Row, summary: Row) -> dict[str, Any]:
    """Calls and tokens of what a method searched for before it was asked."""
    searched = summary.get("search", dict.fromkeys(_SEARCH, 0))
    require(searched, _SEARCH, f"{run.path}/evaluations/{row['evaluation']}.json")
    return {"calls": searched["calls"], "tokens": searched["prompt_tokens"] + searched["new_tokens"]}


def _flops(row: Row, tokens: float) -> float | None:
    """Operations of one forward pass of so many tokens; None where the backbone is not known.

    These are 2 for each weight of body and head and each token read or written, without adapters, attention,
    or what samples share; a training step takes about four times as many.
    """
    weights = row.get("weights")
    return None if weights is None else _FORWARD * weights * tokens


def _paid(run: Run, row: Row) -> dict[str, Any]:
    """What a run's stage cost with all that the network it started with had cost.

    A run that starts with the best state of a stage notes what had been paid until that state; the rest of
    the stage was paid, too.
    """
    spent = _spent(run, row["trained"], row["of"])
    start = row.get("start")
    if start is None:
        return spent | {"rollouts": _rollouts(run, row, 0)}
    first = next(iter(run.lines("growth.jsonl")), {})
    where = f"{run.path}/growth.jsonl"
    require(first, ("spent",), where)
    require(first["spent"], _BUDGET, where)
    before = _paid(Run(Path(start["run"])), start)
    own, earlier = _rollouts(run, row, first["spent"]["steps"]), before["rollouts"]
    paid = {name: spent[name] - first["spent"][name] + before[name] for name in _BUDGET}
    return paid | {"rollouts": None if own is None or earlier is None else own + earlier}


def _rollouts(run: Run, row: Row, begun: int) -> int | None:
    """Episodes that the steps of a run played until the end of a stage; ``begun`` steps were before it.

    None where it is not known how many a step played.
    """
    if "episodes" not in row:
        return None
    lines, total = run.lines("metrics.jsonl"), 0
    for stage, episodes in enumerate(row["episodes"][: row["trained"]], start=1):
        end = _spent(run, stage, row["of"])["steps"]
        played = [_played(line, episodes) for line in islice(lines, end - begun)]
        known = [one for one in played if one is not None]
        if len(known) < end - begun:
            return None
        total, begun = total + sum(known), end
    return total


def _played(line: Row, episodes: int | None) -> int | None:
    """Episodes that a step played; an older line says no more than what was played again."""
    if "rollouts" in line:
        return int(line["rollouts"])
    again = line["replayed"]["episodes"] if "replayed" in line else 0
    return None if episodes is None else episodes + int(again)


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


def point(key: Key, row: Row, seeds: Sequence[Row]) -> dict[str, Any]:
    """Mean over seeds, extremes, the mean budget; an interval if seeds and questions are enough for one."""
    accuracies = [seed["accuracy"] for seed in seeds if seed["accuracy"] is not None]
    (scores,) = complete([[seed["scores"] for seed in seeds]])
    enough = len(seeds) >= MIN_SEEDS and len(scores[0]) > 1
    interval = clustered_mean(scores) if enough else None
    return {
        "task": key[0],
        "arm": key[1],
        "stage": key[2],
        **{name: row.get(name, missing) for name, missing in _ABOUT.items()},
        "shape": row["shape"],
        "votes": row["votes"],
        **_answers(row, seeds),
        "nodes": seeds[0]["nodes"] if seeds else None,
        "calls_a_question": _mean([seed["calls_a_question"] for seed in seeds]),
        "trainable": _known([seed["trainable"] for seed in seeds]),
        "flops": _known([seed["flops"] for seed in seeds]),
        "spent": {name: _mean([seed["spent"][name] for seed in seeds]) for name in _BUDGET},
        "accuracy": _mean(accuracies),
        "interval": None if interval is None else asdict(interval),
        "lowest": min(accuracies, default=None),
        "highest": max(accuracies, default=None),
        "seeds": list(seeds),
    }


def _answers(row: Row, seeds: Sequence[Row]) -> dict[str, Any]:
    """By what method a point answers and what a question costs; nothing of rows that name no method."""
    if "method" not in row:
        return {}
    read, written = (_known([seed["tokens_a_question"][side] for seed in seeds]) for side in (0, 1))
    return {
        "method": row["method"],
        "options": dict(row["options"]),
        "frozen": bool(seeds) and all(seed["frozen"] for seed in seeds),
        **({"oracle": True} if any(seed["oracle"] for seed in seeds) else {}),
        "tokens_a_question": [read, written],
        "flops_a_question": _known([seed["flops_a_question"] for seed in seeds]),
        "rollouts": _known([seed["rollouts"] for seed in seeds]),
        "search": {name: _mean([seed["search"][name] for seed in seeds]) for name in ("calls", "tokens")},
    }


def _known(values: Sequence[float | None]) -> float | None:
    """The mean; None unless all are known."""
    known = [value for value in values if value is not None]
    return _mean(known) if len(known) == len(values) else None


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None
