"""Panels of lines over steps, below each other: what learning curves and training health have in common."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from neuromas.report.charts.frame import Size, inline
from neuromas.report.charts.palette import ALARM, SOFT, colours, dashes

Rows = Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Look:
    """Title of a panel, how d3 writes its numbers, all lines' names, its size, whether it is the last one."""

    title: str
    form: str
    names: Sequence[str]
    size: Size
    last: bool = True
    dots: bool = False
    words: bool = True


def panel(rows: Rows, marks: Rows, what: str, look: Look) -> Any:
    """The lines of ``what``: one for every ``of``, thick where it is a mean or alone; ``marks`` are rules."""
    import altair as alt

    mine = [row for row in rows if row["what"] == what]
    base = alt.Chart(inline(mine)).encode(
        x=_steps(look, [*mine, *marks]),
        y=alt.Y(
            "value:Q", title=None, axis=alt.Axis(format=look.form, tickCount=5), scale=alt.Scale(zero=True)
        ),
        color=_colour(look.names),
        strokeDash=_dash(look.names),
        detail=alt.Detail("of:N"),
    )
    means = {row["line"] for row in mine if row["of"] == "mean"}
    thin = [row["line"] in means and row["of"] != "mean" for row in mine]
    drawn = [
        alt.Chart(inline(part)).mark_line(strokeJoin="round", **shape).encode(**base.encoding._kwds)
        for part, shape in (
            (
                [row for row, quiet in zip(mine, thin, strict=True) if quiet],
                {"strokeWidth": 1, "opacity": 0.45},
            ),
            (
                [row for row, quiet in zip(mine, thin, strict=True) if not quiet],
                {"strokeWidth": 2, "point": look.dots},
            ),
        )
        if part
    ]
    return alt.layer(
        *_marks(marks, look),
        *drawn,
        title=alt.Title(look.title, fontSize=12),
        width=look.size.width,
        height=look.size.height,
    )


def below(panels: Sequence[Any]) -> Any:
    """The panels below each other, with one legend."""
    import altair as alt

    return alt.vconcat(*panels, spacing=18, resolve=alt.Resolve(scale={"x": "shared"}))


def _steps(look: Look, rows: Rows) -> Any:
    import altair as alt

    most = max((row["step"] for row in rows), default=1.0)
    return alt.X(
        "step:Q",
        title="training step" if look.last else None,
        scale=alt.Scale(domain=[0, max(1.0, most)], nice=False),
        axis=alt.Axis(grid=False, labelExpr="format(datum.value, '~s')", tickCount=8, labelFlush=False),
    )


def _colour(names: Sequence[str]) -> Any:
    """A colour a line; a legend only where there are several."""
    import altair as alt

    scale = alt.Scale(domain=tuple(names), range=tuple(colours(names)))
    return alt.Color("line:N", scale=scale, legend=_legend(names))


def _dash(names: Sequence[str]) -> Any:
    """A dash a line."""
    import altair as alt

    scale = alt.Scale(domain=tuple(names), range=tuple(dashes(names)))
    return alt.StrokeDash("line:N", scale=scale, legend=_legend(names))


def _legend(names: Sequence[str]) -> Any:
    import altair as alt

    if len(names) < 2:
        return None
    return alt.Legend(title=None, symbolType="stroke", symbolOpacity=1, symbolStrokeWidth=2.5, symbolLimit=0)


def _marks(marks: Rows, look: Look) -> list[Any]:
    """Rules where a stage begins (dashed) or an alarm rang (full), with words in one panel.

    Where several lines have stages of their own, rules have the lines' colours.
    """
    import altair as alt

    several = len(look.names) > 1
    found = []
    for what, dash in (("stage", [3, 3]), ("alarm", [1, 0])):
        mine = [row for row in marks if row["what"] == what]
        if not mine:
            continue
        plain = alt.ColorValue(SOFT if what == "stage" else ALARM)
        base = alt.Chart(inline(mine)).encode(x=alt.X("step:Q"))
        rule = base.mark_rule(strokeDash=dash, strokeWidth=1)
        found.append(rule.encode(color=_colour(look.names) if several else plain))
        if look.words and not (several and what == "stage"):
            found += [_word(mine, step, number, plain) for number, step in enumerate(_steps_of(mine))]
    return found


def _word(marks: Rows, step: float, number: int, colour: Any) -> Any:
    """What begins at a step; neighbours stand at different heights."""
    import altair as alt

    text = ", ".join(dict.fromkeys(row["of"] for row in marks if row["step"] == step))
    row = {"step": step, "text": text, "what": marks[0]["what"]}
    down = 12 * (number % 3) + (0 if row["what"] == "stage" else 6)
    base = alt.Chart(inline([row])).mark_text(align="left", dx=4, baseline="top", fontSize=10)
    return base.encode(x=alt.X("step:Q"), y=alt.YValue(down), text=alt.Text("text:N"), color=colour)


def _steps_of(marks: Rows) -> list[float]:
    return sorted({row["step"] for row in marks})
