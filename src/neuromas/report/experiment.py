"""An experiment as text: a table a task, then what was to be compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from neuromas.report.tables import percent
from neuromas.report.terminal import visible

Row = Mapping[str, Any]
_HEAD = ("arm:stage", "network", "nodes", "steps", "calls", "tokens", "calls/question", "accuracy", "range")


def experiment_text(found: Row) -> str:
    """The tables and comparisons of ``results``."""
    lines: list[str] = []
    for task in dict.fromkeys(point["task"] for point in found["points"]):
        points = [point for point in found["points"] if point["task"] == task]
        lines += [visible(task), *_aligned([_HEAD, *(_cells(point) for point in points)]), ""]
        compared = [one for one in found["comparisons"] if one["task"] == task]
        lines += [line for one in compared for line in _comparison(one)]
    seeds = max((len(point["seeds"]) for point in found["points"]), default=0)
    lines += [
        f"accuracy: mean of up to {seeds} seeds on the test questions [95 % t interval over seeds], range: "
        "lowest and highest seed; steps, calls and tokens (read and written) are those of training until "
        "then",
    ]
    if found["comparisons"]:
        lines += [
            "comparisons: second minus first; on answers: all seeds pooled, each answer paired with that to "
            "the same question of the same seed, p also with Holm's correction over all "
            f"{len(found['comparisons'])} comparisons; such p-values speak of these trained networks, the "
            "interval over seeds of training them",
        ]
    return "\n".join(lines)


def _cells(point: Row) -> tuple[str, ...]:
    """One line of the table."""
    spent = point["spent"]
    tokens = None if spent["calls"] is None else spent["prompt_tokens"] + spent["new_tokens"]
    extremes = "–"
    if point["lowest"] is not None:
        extremes = f"{100 * point['lowest']:.1f}–{100 * point['highest']:.1f} ({len(point['seeds'])})"
    return (
        visible(f"{point['arm']}:{point['stage']}"),
        visible(point["shape"]),
        "–" if point["nodes"] is None else str(point["nodes"]),
        _count(spent["steps"]),
        _count(spent["calls"]),
        _count(tokens),
        "–" if point["calls_a_question"] is None else f"{point['calls_a_question']:.1f}",
        percent(point["accuracy"], point["interval"]),
        extremes,
    )


def _count(value: float | None) -> str:
    """``1234``, ``123 k`` or ``12.3 M``."""
    if value is None:
        return "–"
    if value >= 1e6:
        return f"{value / 1e6:.2f} M"
    return f"{value / 1e3:.1f} k" if value >= 1e4 else f"{value:.0f}"


def _comparison(one: Row) -> list[str]:
    """Two or three lines: what is compared and why, on answers, over seeds."""
    first, second = (f"{one[side][0]}:{one[side][1]}" for side in ("first", "second"))
    why = f" ({visible(one['why'])})" if one["why"] else ""
    lines = [f"{visible(first)} -> {visible(second)}{why}"]
    pooled = one["items"]
    if pooled is None:
        return [*lines, "    not compared: no seed has both", ""]
    test = pooled["test"]
    lines.append(
        f"    answers  {_points(test['difference'], pooled['interval'])} on {pooled['count']}, "
        f"p = {test['p_value']:.2g}, with Holm {pooled['holm']:.2g} "
        f"({test['method']}; won {test['wins']}, lost {test['losses']}, tied {test['ties']})"
    )
    seeds = one["seeds"]
    if seeds["differences"]:
        each = ", ".join(f"{100 * value:+.1f}" for value in seeds["differences"])
        lines.append(f"    seeds    {_points(seeds['mean'], seeds['interval'])}: {each}")
    return [*lines, ""]


def _points(difference: float, interval: Row | None) -> str:
    """``+3.5 points [-1.0, +8.0]``."""
    bounds = "" if interval is None else f" [{100 * interval['low']:+.1f}, {100 * interval['high']:+.1f}]"
    return f"{100 * difference:+.1f} points{bounds}"


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Columns as wide as their widest cell."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]
