"""The short tables of docs/organisation.md and docs/rivals.md: a row an arm or comparison, a figure a cell.

What they leave out stands in the long tables of the same page.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from neuromas.report.charts.experiment import best_of_depth

from .cells import points as in_points
from .cells import said, share, table

Row = dict[str, Any]


def by_depth(data: Row) -> str:
    """Accuracy of every system of an experiment at every depth, a table a task."""
    chosen = best_of_depth(data["points"])
    lines = []
    for task in dict.fromkeys(point["task"] for point in chosen):
        mine = [point for point in chosen if point["task"] == task]
        depths = sorted({point["depth"] for point in mine})
        rows = []
        for system in dict.fromkeys(point["system"] for point in mine):
            at = {point["depth"]: point for point in mine if point["system"] == system}
            rows.append((system, *(_accuracy(at.get(depth)) for depth in depths)))
        for name, key in (("*best constant answer*", "constant"), ("*answer of the first half*", "half")):
            told = {one["depth"]: one[key] for one in data.get("cheats", []) if one["task"] == task}
            rows.append((name, *("–" if told.get(at) is None else share(told[at]) for at in depths)))
        heads = (task, *(f"depth {depth}" for depth in depths))
        lines += [*table(heads, rows), ""]
    return "\n".join(lines[:-1])


def compared(data: Row) -> str:
    """Every comparison of an experiment of which there is something, a row each.

    The interval is over trainings where these are tested, else over other questions alone.
    """
    at = {(point["task"], point["arm"], point["stage"]): point for point in data["points"]}
    rows = []
    for one in data["comparisons"]:
        ends = [(one["task"], *one[side]) for side in ("second", "first")]
        differences, shared = one["seeds"]["differences"], one["seeds"]["numbers"]
        if not differences:
            continue
        told = one["trainings"] or one["networks"]
        interval = told.get("interval")
        ends_of = f" [{in_points(interval['low'])}, {in_points(interval['high'])}]" if interval else ""
        holm = (one["trainings"] or {}).get("holm")  # all differences may be the same: no test then
        chance = "not tested" if holm is None else f"{holm:.1g}"
        shares = (share(_mean(at[end], shared)) for end in ends)
        names = (f"`{arm}:{stage}`" for _, arm, stage in ends)
        pairs = (f"{who} {one}" for who, one in zip(names, shares, strict=True))
        mean = one["seeds"]["mean"]
        rows.append(
            (one["task"], one["why"], *pairs, f"{in_points(mean)}{ends_of}", len(differences), chance)
        )
    heads = ("task", "what", "this", "that", "this - that, points", "seeds", "p, Holm")
    return "\n".join(table(heads, rows))


def rivals(data: Row) -> str:
    """Every arm of the rivals with its accuracy on every task."""
    points = [point for point in data["points"] if point["seeds"]]
    tasks = list(dict.fromkeys(point["task"] for point in points))
    rows = []
    for arm in dict.fromkeys(point["arm"] for point in points):
        mine = {point["task"]: point for point in points if point["arm"] == arm}
        one = next(iter(mine.values()))
        way = "trained" if one["spent"]["calls"] else "frozen"
        calls = f"{one['calls_a_question']:.1f}"
        what = one["shape"] if one["method"] == "network" else one["method"]
        rows.append((f"`{arm}`", what, way, calls, *(_accuracy(mine.get(task)) for task in tasks)))
    return "\n".join(table(("arm", "shape or method", "way", "calls a question", *tasks), rows))


def answered(data: Row, shown: int = 3) -> str:
    """The commonest answers of every arm of the rivals, over its seeds, with their shares of all answers."""
    points = [point for point in data["points"] if point["seeds"]]
    tasks = list(dict.fromkeys(point["task"] for point in points))
    rows = []
    for arm in dict.fromkeys(point["arm"] for point in points):
        told = {point["task"]: _commonest(point["seeds"], shown) for point in points if point["arm"] == arm}
        if any(text != "–" for text in told.values()):
            rows.append((f"`{arm}`", *(told.get(task, "–") for task in tasks)))
    return "\n".join(table(("arm", *tasks), rows))


def _commonest(seeds: Sequence[Row], shown: int) -> str:
    """Answers and shares in percent; of seeds whose answers were kept."""
    kept = [seed for seed in seeds if seed.get("labels")]
    counts: Counter[str] = Counter()
    for seed in kept:
        counts.update(seed["labels"])
    asked = sum(seed["items"] for seed in kept)
    return ", ".join(f"{said(text)} {100 * n / asked:.0f}" for text, n in counts.most_common(shown)) or "–"


def _accuracy(point: Row | None) -> str:
    """A mean in percent, its interval where there is one, and how many seeds it is of."""
    if point is None or point["accuracy"] is None:
        return "–"
    interval = point["interval"]
    ends = f" [{100 * interval['low']:.0f}, {100 * interval['high']:.0f}]" if interval else ""
    return f"{share(point['accuracy'])}{ends} ({len(point['seeds'])})"


def _mean(point: Row, seeds: Sequence[int]) -> float:
    """The accuracy over these seeds alone, as a difference is of those that both have."""
    found = [one["accuracy"] for one in point["seeds"] if one["seed"] in seeds]
    return float(sum(found) / len(found))
