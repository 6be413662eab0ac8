"""An experiment as charts: accuracy over the calls that training took, and over depth; a panel a task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from neuromas.report.charts.frame import Chart, Size, finished, named, plain
from neuromas.report.charts.palette import colours, dashes, shapes

Row = Mapping[str, Any]
_WIDTH, _HEIGHT = 520, 300
_ASIDE = 4.0  # pixels between lines that stand at one place
_UNTRAINED = "untrained"


@dataclass(frozen=True, slots=True)
class _Look:
    """All lines' names as shown, the size of a panel, whether x is a depth."""

    names: Mapping[str, str]
    size: Size
    depth: bool

    def of(self, field: str, listed: Sequence[str]) -> list[Any]:
        """Colours, dashes or shapes of the ``listed`` lines: the same in every panel."""
        every = list(self.names.values())
        made: dict[str, list[Any]] = {"colour": [*colours(every)], "dash": [*dashes(every)]}
        made["shape"] = list(shapes(every))
        known = dict(zip(every, made[field], strict=True))
        return [known[name] for name in listed]


def calls(found: Row, name: str = "experiment", size: Size | None = None) -> Chart:
    """The ``points`` of ``results``: accuracy over the calls of training, a panel for every task and level.

    A system is a line through the means over seeds of its arms' stages, from the untrained network on, with
    the interval by question and seed where there is one; small dots are seeds, moved aside a little so that
    systems that paid the same do not hide each other. A network asked again, by votes or altered, has no
    line.
    """
    listed = [{**point, "line": point.get("system") or point["arm"]} for point in found["points"]]
    panels = [(f"{p['task']}, {p['level']}" if p.get("level") else str(p["task"]), p) for p in listed]
    look = _Look(named([p["line"] for p in listed]), (size or Size()).filled(_WIDTH, _HEIGHT), depth=False)
    return _chart("calls", f"{plain(name)}: test accuracy over the calls of training", panels, look)


def depth(found: Row, name: str = "experiment", size: Size | None = None) -> Chart | None:
    """Accuracy over depth for every system of ``results``: its last arm and stage at each depth.

    None if the stages have no depth, see ``[[stages]]``.
    """
    last: dict[tuple[str, str, int], Row] = {}
    for point in found["points"]:
        if point.get("depth") is not None and not _aside(point):
            last[point["task"], point["system"], point["depth"]] = {**point, "line": point["system"]}
    if not last:
        return None
    look = _Look(
        named([p["line"] for p in last.values()]), (size or Size()).filled(_WIDTH, _HEIGHT), depth=True
    )
    panels = [(str(point["task"]), point) for point in last.values()]
    return _chart("depth", f"{plain(name)}: test accuracy over depth", panels, look)


def _aside(point: Row) -> bool:
    """Whether a point is a network asked again."""
    return bool(point["votes"] or point.get("asked"))


def _chart(kind: str, caption: str, listed: Sequence[tuple[str, Row]], look: _Look) -> Chart:
    """The panels below each other; ``listed`` are points with the panel they stand in."""
    import altair as alt

    rows = [row for title, point in listed for row in _rows(title, point, look)]
    titles = list(dict.fromkeys(title for title, _ in listed))
    panels = [_panel(title, [row for row in rows if row["panel"] == title], look) for title in titles]
    chart = alt.vconcat(*panels, spacing=30).resolve_scale(color="independent", shape="independent")
    shown = chart.resolve_scale(strokeDash="independent")
    return finished(shown, kind, caption, rows)


def _rows(title: str, point: Row, look: _Look) -> list[dict[str, Any]]:
    """A point in long form: its mean, its seeds, and where its line begins."""
    head = {"panel": title, "line": look.names[point["line"]], "arm": f"{point['arm']}:{point['stage']}"}
    head["asked"] = "again" if _aside(point) else "once"
    x = "depth" if look.depth else "calls"
    at = point["depth"] if look.depth else point["spent"]["calls"]
    rows: list[dict[str, Any]] = []
    untrained = [seed["untrained"] for seed in point["seeds"] if seed["untrained"] is not None]
    if untrained and point["stage"] == 1 and not look.depth and not _aside(point):
        mean = sum(untrained) / len(untrained)
        rows.append({**head, "of": _UNTRAINED, x: 0, "accuracy": mean, "low": None, "high": None})
    interval = point["interval"] or {}
    if point["accuracy"] is not None:
        ends = {"low": interval.get("low"), "high": interval.get("high")}
        rows.append({**head, "of": "mean", x: at, "accuracy": point["accuracy"], **ends})
    rows += [
        {**head, "of": f"seed {seed['seed']}", x: at, "accuracy": seed["accuracy"], "low": None, "high": None}
        for seed in point["seeds"]
        if seed["accuracy"] is not None
    ]
    return rows


def _panel(title: str, rows: Sequence[Row], look: _Look) -> Any:
    """Axes, lines and legend of one task."""
    import altair as alt

    size = {"width": look.size.width, "height": look.size.height}
    if not rows:
        note = alt.Chart(alt.Data(values=[{"text": "no cell of this task is finished"}])).mark_text()
        return note.encode(text="text:N").properties(title=plain(title, 60), **size)
    names = [name for name in look.names.values() if any(row["line"] == name for row in rows)]
    spread = {name: _ASIDE * (i - (len(names) - 1) / 2) for i, name in enumerate(names)}
    data = [{**row, "aside": spread[row["line"]], "said": _said(row, look)} for row in rows]
    base = alt.Chart(alt.Data(values=data)).encode(
        x=_x(look, rows), y=_y(rows), color=_by("colour", names, look), description="said:N"
    )
    line = alt.FieldOneOfPredicate(field="of", oneOf=["mean", _UNTRAINED])
    lines = base.transform_filter(line).transform_filter("datum.asked == 'once'")
    layers = [
        lines.mark_line(strokeWidth=2, strokeJoin="round").encode(strokeDash=_by("dash", names, look)),
        _moved(base.transform_filter("isValid(datum.low)"), "rule", strokeWidth=1.5, opacity=0.7).encode(
            y=alt.Y("low:Q", title=None), y2="high:Q"
        ),
        _moved(
            base.transform_filter("indexof(datum.of, 'seed') == 0"),
            "point",
            size=18,
            filled=True,
            opacity=0.5,
        ).encode(shape=_by("shape", names, look)),
        _moved(base.transform_filter("datum.of == 'mean'"), "point", size=70, filled=True, opacity=1).encode(
            shape=_by("shape", names, look)
        ),
    ]
    return alt.layer(*layers).properties(title=plain(title, 60), **size)


def _moved(chart: Any, kind: str, **shape: Any) -> Any:
    """Marks that stand aside by their line's pixels."""
    import altair as alt

    return getattr(chart, f"mark_{kind}")(xOffset=alt.ExprRef("datum.aside"), **shape)


def _x(look: _Look, rows: Sequence[Row]) -> Any:
    import altair as alt

    if look.depth:
        most = max(row["depth"] for row in rows)
        ticks = alt.Axis(values=list(range(1, most + 1)), format="d", grid=False)
        scale = alt.Scale(domain=[0.5, most + 0.5], nice=False)
        return alt.X("depth:Q", title="depth of the task", axis=ticks, scale=scale)
    axis = alt.Axis(format="~s", grid=False, tickCount=6)
    scale = alt.Scale(domainMin=0, nice=True)
    return alt.X("calls:Q", title="calls in training until then (messages sampled)", axis=axis, scale=scale)


def _y(rows: Sequence[Row]) -> Any:
    import altair as alt

    most = max(max(row["accuracy"], row["high"] or 0.0) for row in rows)
    scale = alt.Scale(domain=[0, min(1.0, max(0.05, most))], nice=True)
    return alt.Y("accuracy:Q", title="accuracy", axis=alt.Axis(format=".0%", tickCount=5), scale=scale)


def _by(field: str, names: Sequence[str], look: _Look) -> Any:
    """Colour, dash or shape by line, in one legend."""
    import altair as alt

    legend = alt.Legend(title=None, symbolLimit=0, symbolOpacity=1)
    scale = alt.Scale(domain=list(names), range=look.of(field, names))
    kinds = {"colour": alt.Color, "dash": alt.StrokeDash, "shape": alt.Shape}
    return kinds[field]("line:N", scale=scale, legend=legend)


def _said(row: Row, look: _Look) -> str:
    """What the title of a mark says."""
    where = f"depth {row['depth']}" if look.depth else f"{row['calls']:,.0f} calls"
    ends = "" if row["low"] is None else f" [{100 * row['low']:.1f}, {100 * row['high']:.1f}]"
    return f"{row['line']} ({plain(row['arm'])}), {row['of']}: {100 * row['accuracy']:.1f} %{ends} at {where}"
