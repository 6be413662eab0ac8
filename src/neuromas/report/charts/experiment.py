"""An experiment as charts: accuracy over the calls that training took, and over depth; a panel a task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from neuromas.core.errors import RunError
from neuromas.report.charts.frame import Chart, Size, as_tabled, finished, inline, named, plain, unchecked
from neuromas.report.charts.key import ROW, Key

Row = Mapping[str, Any]
_WIDTH, _HEIGHT, _LOW = 520, 300, 200  # a panel with few lines is lower
_FEW = 6
_ASIDE = 24.0  # pixels over which seeds of different lines are moved apart
_GAP = 0.5  # share of the way from one depth to the next over which lines are moved apart
_UNTRAINED = "untrained"


@dataclass(frozen=True, slots=True)
class _Look:
    """How names are shown and told apart, the size of a panel, whether x is a depth."""

    shown: Mapping[str, str]
    key: Key
    size: Size
    depth: bool

    def place(self, row: Row) -> float:
        """Where a row stands."""
        return float(row["depth" if self.depth else "calls"])


def calls(found: Row, name: str = "experiment", size: Size | None = None) -> Chart:
    """The ``points`` of ``results``: accuracy over the calls of training, a panel for every task and level.

    A system is a line through the means over seeds of its arms' stages, from the untrained network on, with
    the interval by question and seed where there is one; small dots are seeds, moved aside a little so that
    systems that paid the same do not hide each other. A network asked again, by votes or altered, has no
    line. Tasks of which nothing is there yet have no panel and are named below.
    """
    points, left = as_tabled(found)
    listed = [{**point, "line": point.get("system") or point["arm"]} for point in points]
    panels = [(f"{p['task']}, {p['level']}" if p.get("level") else str(p["task"]), p) for p in listed]
    return _chart("calls", f"{plain(name)}: test accuracy over the calls of training{left}", panels, size)


def depth(found: Row, name: str = "experiment", size: Size | None = None) -> Chart:
    """Accuracy over depth for every system of ``results``: of its arms at a depth the one with most seeds,
    of several such ones the one that goes least deep beyond it, then the last, after the last such stage.

    Lines stand side by side at each depth. Raises RunError if no stage has a depth, see ``has_depth``.
    """
    points, left = as_tabled(found)
    last = [{**point, "line": point["system"]} for point in best_of_depth(points)]
    if not last:
        raise RunError(f"{plain(name)} has no stage with a depth, so there is no accuracy over depth")
    panels = [(str(point["task"]), point) for point in last]
    return _chart("depth", f"{plain(name)}: test accuracy over depth{left}", panels, size)


def best_of_depth(points: Sequence[Row]) -> list[Row]:
    """The one of every task, system and depth that ``depth`` shows."""
    shown = [p for p in points if p.get("depth") is not None and p["accuracy"] is not None and not _again(p)]
    deepest: dict[tuple[str, str], int] = {}
    for point in shown:
        arm = (point["task"], point["arm"])
        deepest[arm] = max(deepest.get(arm, point["depth"]), point["depth"])

    def rank(point: Row) -> tuple[int, int]:
        """More seeds first; then an arm that ends here before one on its way to a deeper level."""
        return len(point["seeds"]), -deepest[point["task"], point["arm"]]

    last: dict[tuple[str, str, int], Row] = {}
    for point in shown:
        key = (point["task"], point["system"], point["depth"])
        if key not in last or rank(point) >= rank(last[key]):
            last[key] = point
    return list(last.values())


def has_depth(found: Row) -> bool:
    """Whether there is a point for ``depth``."""
    return any(
        point.get("depth") is not None and point["accuracy"] is not None and not _again(point)
        for point in found["points"]
    )


def _again(point: Row) -> bool:
    """Whether a point is a network asked again."""
    return bool(point["votes"] or point.get("asked"))


@unchecked
def _chart(kind: str, caption: str, listed: Sequence[tuple[str, Row]], size: Size | None) -> Chart:
    """The panels below each other; ``listed`` are points with the panel they stand in."""
    import altair as alt

    look = _look(kind, [point for _, point in listed], size or Size())
    rows = [row for title, point in listed for row in _rows(title, point, look)]
    titles = list(dict.fromkeys(title for title, _ in listed))
    full = [title for title in titles if any(row["panel"] == title for row in rows)]
    panels = [_panel(title, [row for row in rows if row["panel"] == title], look) for title in full]
    without = [plain(title) for title in titles if title not in full]
    if without or not full:
        note = f"nothing yet of {'; '.join(without) or 'any task'}"
        caption += f" ({note})"
        panels.append(_note(note, look))
    chart = alt.vconcat(*panels, spacing=26)
    return finished(chart, kind, caption, rows)


def _look(kind: str, points: Sequence[Row], size: Size) -> _Look:
    """Names and colours of all lines: the same in every panel."""
    shown = named([point["line"] for point in points])
    hollow = frozenset(shown[point["line"]] for point in points if _again(point))
    return _Look(shown, Key(list(shown.values()), hollow), size, kind == "depth")


def _note_of(rows: Sequence[Row]) -> str:
    """How many seeds a line has in a panel, and by how many votes its network was asked."""
    least, most = (pick(row["seeds"] for row in rows) for pick in (min, max))
    said = f"{least} to {most} seeds" if least < most else f"{most} seed" if most == 1 else f"{most} seeds"
    votes = rows[0]["votes"]
    return f" ({votes} votes, {said})" if votes else f" ({said})"


def _rows(title: str, point: Row, look: _Look) -> list[dict[str, Any]]:
    """A point in long form: its mean, its seeds, and where its line begins."""
    head: dict[str, Any] = {
        "panel": title,
        "line": look.shown[point["line"]],
        "arm": f"{point['arm']}:{point['stage']}",
    }
    head |= {"votes": point["votes"], "seeds": len(point["seeds"])}
    x = "depth" if look.depth else "calls"
    at = point["depth"] if look.depth else point["spent"]["calls"]
    rows: list[dict[str, Any]] = []
    untrained = [seed["untrained"] for seed in point["seeds"] if seed["untrained"] is not None]
    if untrained and point["stage"] == 1 and not look.depth and not _again(point):
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
    """Axes, lines and key of one task."""
    import altair as alt

    names = [name for name in look.key.names if any(row["line"] == name for row in rows)]
    size = look.size.filled(_WIDTH, max(_HEIGHT if len(names) > _FEW else _LOW, ROW * len(names)))
    data = _tracked(_placed(rows, names, look, size))

    def base(some: Sequence[Row], x: str = "at") -> Any:
        channels = {"x": _x(look, rows, x), "y": _y(rows), "color": look.key.colour()}
        return alt.Chart(inline(some)).encode(**channels, description=alt.Description("said:N"))

    lined = [row for row in data if row["of"] in ("mean", _UNTRAINED) and row["line"] not in look.key.hollow]
    means, seeds = ([row for row in data if row["of"].startswith(of)] for of in ("mean", "seed"))
    spans = [row for row in means if row["low"] is not None]
    ends = {"y": alt.Y("low:Q", title="accuracy"), "y2": alt.Y2("high:Q")}
    layers = [
        base(lined)
        .mark_line(strokeWidth=2, strokeJoin="round")
        .encode(strokeDash=look.key.dash(), detail=alt.Detail("track:N")),
        base(spans, "aside").mark_rule(strokeWidth=1.2, opacity=0.6).encode(**ends),
        base(seeds, "aside").mark_point(size=14, filled=True, opacity=0.5, shape="circle"),
        base([row for row in means if row["line"] not in look.key.hollow])
        .mark_point(size=60, filled=True, opacity=1)
        .encode(shape=look.key.shape()),
        base([row for row in means if row["line"] in look.key.hollow])
        .mark_point(size=60, filled=False, opacity=1)
        .encode(shape=look.key.shape()),
    ]
    whole = alt.layer(*layers, title=plain(title, 60), width=size.width, height=size.height)
    notes = {name: _note_of([row for row in means if row["line"] == name]) for name in names}
    return look.key.beside(whole, names, notes)


def _placed(rows: Sequence[Row], names: Sequence[str], look: _Look, size: Size) -> list[dict[str, Any]]:
    """The rows with places in the units of x: ``at`` of a line and its means, ``aside`` of its seeds.

    Over calls a mean stands where it was paid for; over depth all of a line is moved by the same.
    """
    most = max(look.place(row) for row in rows)
    room = _GAP if look.depth else _ASIDE * most / (size.width or _WIDTH)
    step = room / max(1, len(names))
    data = []
    for row in rows:
        aside = look.place(row) + step * (names.index(row["line"]) - (len(names) - 1) / 2)
        at = aside if look.depth else look.place(row)
        said = _said(row, look)
        data.append({**row, "at": round(at, 4), "aside": round(aside, 4), "said": said})
    return data


def _tracked(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """The rows with the ``track`` that each is on: a line goes from left to right, and where a system has
    several arms that were each paid for anew, it has as many lines."""
    tracks: dict[str, tuple[int, float]] = {}
    found = []
    for row in rows:
        number, last = tracks.get(row["line"], (0, -1.0))
        if row["of"] in ("mean", _UNTRAINED):
            number += row["at"] <= last
            tracks[row["line"]] = (number, row["at"])
        found.append({**row, "track": number})
    return found


def _x(look: _Look, rows: Sequence[Row], field: str) -> Any:
    import altair as alt

    most = max(look.place(row) for row in rows)
    if look.depth:
        ticks = alt.Axis(values=list(range(1, int(most) + 1)), format="d", grid=False)
        scale = alt.Scale(domain=[0.6, most + 0.4], nice=False, zero=False)
        return alt.X(f"{field}:Q", title="depth of the task", axis=ticks, scale=scale)
    axis = alt.Axis(labelExpr="format(datum.value, '~s')", grid=False, tickCount=6, labelFlush=False)
    scale = alt.Scale(domain=[0, max(1.0, 1.04 * most)], nice=False)
    title = "calls in training until then (messages sampled)"
    return alt.X(f"{field}:Q", title=title, axis=axis, scale=scale)


def _y(rows: Sequence[Row]) -> Any:
    import altair as alt

    most = max(max(row["accuracy"], row["high"] or 0.0) for row in rows)
    scale = alt.Scale(domain=[0, min(1.0, max(0.05, most))], nice=True)
    return alt.Y("accuracy:Q", title="accuracy", axis=alt.Axis(format=".0%", tickCount=5), scale=scale)


def _note(text: str, look: _Look) -> Any:
    """One quiet line of what has no panel."""
    import altair as alt

    from neuromas.report.charts.palette import SOFT

    note = alt.Chart(inline([{"text": plain(text, 90)}])).mark_text(align="left", fontSize=11, color=SOFT)
    return note.encode(text=alt.Text("text:N"), x=alt.XValue(0)).properties(
        width=look.size.width or _WIDTH, height=14
    )


def _said(row: Row, look: _Look) -> str:
    """What the title of a mark says."""
    where = f"depth {row['depth']}" if look.depth else f"{row['calls']:,.0f} calls"
    ends = "" if row["low"] is None else f" [{100 * row['low']:.1f}, {100 * row['high']:.1f}]"
    return f"{row['line']} ({plain(row['arm'])}), {row['of']}: {100 * row['accuracy']:.1f} %{ends} at {where}"
