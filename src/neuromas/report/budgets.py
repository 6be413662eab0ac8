"""What answers cost, as a table, and comparisons that claim an equal budget held to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from neuromas.core.budgets import UNITS, Budget, unequal
from neuromas.report.blocks import Shown, Table, number
from neuromas.report.terminal import visible

Row = Mapping[str, Any]
_COLUMNS = (
    *("arm:stage", "method", "calls/question", "read/question", "written/question", "FLOPs/question"),
    *("trainable", "training rollouts", "training calls", "search calls", "search tokens"),
)
NOTE = (
    "budgets: a question's calls, tokens (read and written) and FLOPs (2 x parameters of body and head x "
    "tokens) are means of the test; trainable: parameters of the adapters it answers with; training and "
    "search are what was paid before the test, none of training where the model is frozen; rollouts are "
    "episodes played to an end, also those played again in part; what critics and references (DPO, KL) read "
    "is in no column"
)
EQUAL = "equal: budgets that differ by at most 10 % of the larger one; a comparison of others is refused"


def budget_table(points: Sequence[Row], title: str) -> Table:
    """A point a row: by what method it answers, what a question costs, what was paid before."""
    return Table(_COLUMNS, tuple(map(_cells, points)), title)


def _cells(point: Row) -> tuple[str | Shown, ...]:
    read, written = point["tokens_a_question"]
    searched = point["search"]
    found = (
        *(point["flops_a_question"], point["trainable"], point["rollouts"], point["spent"]["calls"]),
        *(searched["calls"], searched["tokens"]),
    )
    return (
        f"{point['arm']}:{point['stage']}",
        said(point["method"], point["options"]) + (" (oracle bound)" if point.get("oracle") else ""),
        *(number(value) for value in (point["calls_a_question"], read, written)),
        *map(count, found),
    )


def said(method: str, options: Row) -> str:
    """``debate agents=3``."""
    return " ".join([method, *(f"{key}={value}" for key, value in options.items())])


def count(value: float | None) -> Shown:
    """``1234``, ``12.3 k``, ``1.23 M``; from thousands of millions on ``1.2e+12``."""
    if value is None:
        return Shown("–", None)
    if value >= 1e9:
        return Shown(f"{value:.2g}", value)
    if value >= 1e6:
        return Shown(f"{value / 1e6:.2f} M", value)
    return Shown(f"{value / 1e3:.1f} k" if value >= 1e4 else f"{value:.0f}", value)


def held(found: Mapping[str, Any], points: Sequence[Row]) -> dict[str, Any]:
    """A comparison with its ``refused``: why, for every budget it claims to be equal and is not.

    Of a refused one no difference and no test is left. Nothing is refused while there is nothing to compare.
    """
    sides = [_point(points, found["task"], found[side]) for side in ("first", "second")]
    known = [side for side in sides if side is not None and side["seeds"]]
    if not found.get("equal") or len(known) < len(sides):
        return dict(found)
    compared = [_of(side, found["seeds"]["numbers"]) for side in known]
    refused = [why for kind in found["equal"] if (why := _refused(kind, *compared))]
    if not refused:
        return {**found, "refused": []}
    nothing: Row = {"numbers": [], "differences": [], "mean": None}
    return {**found, "trainings": None, "networks": None, "seeds": nothing, "refused": refused}


def _point(points: Sequence[Row], task: str, place: Sequence[Any]) -> Row | None:
    return next((p for p in points if (p["task"], p["arm"], p["stage"]) == (task, *place)), None)


def _of(point: Row, numbers: Sequence[int]) -> Row:
    """The point with the mean budgets of these seeds."""
    seeds = [seed for seed in point["seeds"] if seed["seed"] in numbers]
    if len(seeds) == len(point["seeds"]):
        return point
    names = ("calls_a_question", "flops_a_question", "trainable")
    return {
        **point,
        **{name: _mean([seed[name] for seed in seeds]) for name in names},
        "tokens_a_question": [_mean([seed["tokens_a_question"][side] for seed in seeds]) for side in (0, 1)],
        **{part: {"calls": _mean([seed[part]["calls"] for seed in seeds])} for part in ("spent", "search")},
    }


def _mean(values: Sequence[float | None]) -> float | None:
    """None unless all are known."""
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known and len(known) == len(values) else None


def _refused(kind: Budget, first: Row, second: Row) -> str:
    """Why the two are not of one budget; empty if they are. What is not known is not equal."""
    one, other = _spent(kind, first), _spent(kind, second)
    if one is None or other is None:
        unknown = first if one is None else second
        return f"{UNITS[kind]} of {visible(unknown['arm'])}:{unknown['stage']} are not known"
    return unequal(kind, one, other)


def _spent(kind: Budget, point: Row) -> float | None:
    """A budget of a point."""
    if kind == "tokens":
        read, written = point["tokens_a_question"]
        return None if read is None or written is None else read + written
    if kind == "training":
        paid, searched = point["spent"]["calls"], point["search"]["calls"]
        return None if paid is None or searched is None else paid + searched
    names = {"calls": "calls_a_question", "flops": "flops_a_question", "parameters": "trainable"}
    value: float | None = point[names[kind]]
    return value
