"""What a question costs and what is right of the answers: a mark for every way to answer."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from neuromas.core.errors import RunError
from neuromas.report.charts.frame import Chart, Size, finished, inline, named, plain, unchecked
from neuromas.report.charts.key import ROW, Key
from neuromas.report.charts.palette import INK
from neuromas.report.charts.series import Told, finite
from neuromas.report.reading import SUMMARY, require

Row = Mapping[str, Any]
_WIDTH, _HEIGHT = 480, 380
_UNITS = {
    "flops": "FLOPs a question (1G is 1e9, 1T is 1e12)",
    "tokens": "tokens read and written a question",
}


def cost(points: Sequence[Row], name: str = "costs", size: Size | None = None) -> Chart:
    """Accuracy over FLOPs a question, on a scale of powers of ten; ``points`` are those of ``results``.

    Those that cost nothing stand at the left edge, those whose cost or accuracy is not known are left out,
    oracles are empty marks. A mark has its interval where there is one, small dots are its seeds. Raises
    RunError where no cost is known.
    """
    rows = [
        {
            "line": f"{point['arm']}:{point['stage']}" if point["stage"] > 1 else str(point["arm"]),
            **{"oracle": bool(point.get("oracle")), "cost": float(point["flops_a_question"])},
            **_ends(point["accuracy"], point.get("interval")),
            "seeds": [one["accuracy"] for one in point["seeds"] if one["accuracy"] is not None],
        }
        for point in points
        if point.get("accuracy") is not None and point.get("flops_a_question") is not None
    ]
    if not rows:
        raise RunError(f"{plain(name)} knows no FLOPs a question, so there is no cost to show")
    return _chart(rows, f"{plain(name)}: accuracy over FLOPs a question", "flops", size)


def cost_of_runs(runs: Sequence[Told], size: Size | None = None) -> Chart:
    """What the test evaluations of runs cost: FLOPs where all of them know these, else tokens.

    Evaluations of one name are seeds of one mark. Raises RunError where there is none, or one is damaged.
    """
    found: dict[str, list[Row]] = {}
    several = len({one.line for one in runs}) > 1
    for one in runs:
        for path in sorted((one.run.path / "evaluations").glob("*.json")):
            summary = one.run.read(f"evaluations/{path.name}")
            if summary.get("split") != "test" or summary.get("intervention") not in ("none", None):
                continue
            require(summary, (*SUMMARY, "prompt_tokens", "new_tokens"), str(path))
            if summary["accuracy"] is not None:
                line = f"{one.line}: {path.stem}" if several else path.stem
                found.setdefault(line, []).append(summary)
    if not found:
        raise RunError(f"{runs[0].run.path} has no evaluation on test questions, so there is no cost to show")
    known = all(finite(one.get("flops")) is not None for group in found.values() for one in group)
    rows = [
        {
            "line": line,
            **{
                "oracle": any(one.get("oracle") for one in group),
                "cost": _mean([_paid(one, known) for one in group]),
            },
            **_ends(
                _mean([one["accuracy"] for one in group]), group[0]["interval"] if len(group) == 1 else None
            ),
            "seeds": [one["accuracy"] for one in group] if len(group) > 1 else [],
        }
        for line, group in found.items()
    ]
    unit = "flops" if known else "tokens"
    names = ", ".join(dict.fromkeys(one.line for one in runs))
    return _chart(rows, f"{names}: accuracy over {_UNITS[unit].partition(' (')[0]}", unit, size)


def _paid(summary: Row, flops: bool) -> float:
    return float(summary["flops"] if flops else summary["prompt_tokens"] + summary["new_tokens"])


def _ends(accuracy: float, interval: Row | None) -> dict[str, Any]:
    return {"accuracy": accuracy, "low": (interval or {}).get("low"), "high": (interval or {}).get("high")}


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


@unchecked
def _chart(rows: Sequence[Row], caption: str, unit: str, size: Size | None) -> Chart:
    """Marks with their numbers, and what these stand for."""
    import altair as alt

    shown = named([row["line"] for row in rows])
    numbers = {name: f"{place + 1} {text}" for place, (name, text) in enumerate(shown.items())}
    notes = {numbers[row["line"]]: " (oracle bound)" for row in rows if row["oracle"]}
    key = Key(list(numbers.values()), frozenset(notes))
    chosen = (size or Size()).filled(_WIDTH, max(_HEIGHT, ROW * len(numbers)))
    low, high = _decades([row["cost"] for row in rows])
    data = [
        {
            **row,
            "line": numbers[row["line"]],
            "number": numbers[row["line"]].partition(" ")[0],
            "place": place,
        }
        for row in rows
        for place in [row["cost"] or 10.0**low]
    ]
    scale = alt.Scale(type="log", domain=[10.0**low, 10.0**high], nice=False)
    free = any(not row["cost"] for row in rows)
    label = (
        f"datum.value <= {10.0**low!r} ? '0' : format(datum.value, '~s')"
        if free
        else "format(datum.value, '~s')"
    )
    axis = alt.Axis(values=[10.0**power for power in range(low, high + 1)], labelExpr=label, labelFlush=False)

    def base(some: Sequence[Row], y: str = "accuracy") -> Any:
        channels = {"x": alt.X("place:Q", title=_UNITS[unit], scale=scale, axis=axis), "y": _accuracy(y)}
        return alt.Chart(inline(some)).encode(**channels, color=key.colour())

    dots = [{**row, "accuracy": seed} for row in data for seed in row["seeds"]]
    said = [{**row, "said": f"{row['line']}: {100 * row['accuracy']:.1f} %"} for row in data]
    layers = [
        base([row for row in data if row["low"] is not None], "low")
        .mark_rule(strokeWidth=1.2, opacity=0.6)
        .encode(y2=alt.Y2("high:Q")),
        base(dots).mark_point(size=14, filled=True, opacity=0.5, shape="circle"),
        *(
            base([row for row in said if row["oracle"] == oracle])
            .mark_point(size=60, filled=not oracle, opacity=1)
            .encode(shape=key.shape(), description=alt.Description("said:N"))
            for oracle in (False, True)
        ),
        base(data)
        .mark_text(dx=8, dy=-7, align="left", fontSize=10)
        .encode(text=alt.Text("number:N"), color=alt.ColorValue(INK)),
    ]
    panel = alt.layer(*layers, width=chosen.width, height=chosen.height)
    table = [{name: row[name] for name in ("line", "cost", "accuracy", "low", "high")} for row in rows]
    kept = [{**row, "unit": unit, "line": shown[row["line"]]} for row in table]
    return finished(key.beside(panel, key.names, notes, "mark"), "cost", caption, kept)


def _decades(costs: Sequence[float]) -> tuple[int, int]:
    """Powers of ten below and above what is paid; what is free has a place of its own below them."""
    paid = [math.log10(value) for value in costs if value > 0]
    low, high = math.floor(min(paid, default=0.0)), math.ceil(max(paid, default=1.0))
    return (low - 1 if any(not value for value in costs) else low), max(high, low + 1)


def _accuracy(field: str) -> Any:
    import altair as alt

    axis = alt.Axis(format=".0%", tickCount=5)
    return alt.Y(f"{field}:Q", title="accuracy", axis=axis, scale=alt.Scale(domain=[0, 1]))
