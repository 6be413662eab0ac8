"""Two points of an experiment side by side, from the scores that are kept with them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from neuromas.core.errors import RunError
from neuromas.statistics import (
    MIN_SEEDS,
    clustered_difference,
    holm,
    mcnemar,
    paired_difference_interval,
    paired_permutation,
)

Row = Mapping[str, Any]
Scores = Sequence[Sequence[float | None]]


def compare_points(points: Sequence[Row], line: Row) -> dict[str, Any]:
    """Second minus first of ``line`` (task, two (arm, stage), why), on seeds and questions both have.

    ``trainings`` speaks of all questions and of networks trained anew (three seeds at least, else None),
    ``networks`` of all questions and these networks: scores are averaged over seeds question by question
    before they are tested. ``seeds`` holds every seed's difference. A question is left out unless every
    seed of both sides has a score for it.
    """
    first, second = (_scores(points, line["task"], line[side]) for side in ("first", "second"))
    shared = [seed for seed in first if seed in second]
    a, b = complete([[side[seed] for seed in shared] for side in (first, second)])
    asked = max((len(scores) for scores in (*first.values(), *second.values())), default=0)
    count = len(a[0]) if a else 0
    each = [_mean(y) - _mean(x) for x, y in zip(a, b, strict=True)] if count else []
    enough = len(shared) >= MIN_SEEDS and count > 1
    return {
        **line,
        "count": count,
        "left_out": asked - count,
        "trainings": asdict(clustered_difference(b, a)) if enough else None,
        "networks": _networks(a, b) if count else None,
        "seeds": {"numbers": shared, "differences": each, "mean": _mean(each) if each else None},
    }


def compare_pairs(evaluations: Sequence[Sequence[Row]]) -> dict[str, Any]:
    """Items of evaluations in pairs, first and second of every seed, as ``compare_points`` has them.

    Raises RunError if two ask different questions under the same id, or if nothing is asked in all.
    """
    questions: dict[str, str] = {}
    for items in evaluations:
        ask(questions, items, "one of the evaluations")
    scores = [{item["id"]: item["score"] for item in items} for items in evaluations]
    points = [
        {
            **{"task": "", "arm": side, "stage": 1},
            "seeds": [
                {"seed": seed, "scores": [one.get(name) for name in questions]}
                for seed, one in enumerate(scores[start::2])
            ],
        }
        for start, side in enumerate(("first", "second"))
    ]
    found = compare_points(points, {"task": "", "first": ("first", 1), "second": ("second", 1), "why": ""})
    if not found["count"]:
        raise RunError("the evaluations have no items in common")
    return found


def ask(questions: dict[str, str], items: Sequence[Row], whose: str) -> None:
    """Note the questions of an evaluation by id. Raises RunError if one is another than is known."""
    for item in items:
        if questions.setdefault(item["id"], item["question"]) != item["question"]:
            raise RunError(f"{whose} asks another question than the others under the same id")


def correct(found: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The comparisons with Holm's correction over all of them, for either question by itself.

    Those that wait for seeds or for a run, and refused ones, count too: they were planned, and what is
    significant must not hang on which cells came first.
    """
    for kind in ("trainings", "networks"):
        tested = [one[kind] for one in found if one[kind] is not None and one[kind]["p_value"] is not None]
        for one, adjusted in zip(tested, holm([one["p_value"] for one in tested], len(found)), strict=True):
            one["holm"] = adjusted
    return list(found)


def complete(sides: Sequence[Scores]) -> list[list[list[float]]]:
    """The same scores with the questions alone that every seed of every side has a score for."""
    rows = [row for side in sides for row in side]
    whole = [i for i in range(len(rows[0]) if rows else 0) if all(row[i] is not None for row in rows)]
    return [[[float(row[i] or 0.0) for i in whole] for row in side] for side in sides]


def _scores(points: Sequence[Row], task: str, place: Sequence[Any]) -> dict[int, Sequence[float | None]]:
    """Scores of a point by seed; none if there is no such point."""
    for point in points:
        if (point["task"], point["arm"], point["stage"]) == (task, *place):
            return {seed["seed"]: seed["scores"] for seed in point["seeds"]}
    return {}


def _networks(a: Sequence[Sequence[float]], b: Sequence[Sequence[float]]) -> dict[str, Any]:
    """McNemar's exact test where a question has one score of 0 or 1, sign-flip otherwise; bootstrap."""
    first, second = ([_mean(column) for column in zip(*side, strict=True)] for side in (a, b))
    binary = all(value in (0.0, 1.0) for value in first + second)
    test = mcnemar(second, first) if binary else paired_permutation(second, first)
    interval = paired_difference_interval(second, first)
    return {**asdict(test), "interval": None if interval is None else asdict(interval)}


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
