"""A chart as a value: its specification and the numbers in it."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import wraps
from typing import Any, ParamSpec

from neuromas.report.blocks import Cell, Table
from neuromas.report.charts.palette import GROUND, INK, RULE, SOFT
from neuromas.report.terminal import visible

P = ParamSpec("P")
LETTERS = 40  # of a name in a legend or above a panel
_NO_XML = re.compile("[\ufffe\uffff]")  # what no XML document holds, beside what is hidden anyway
_READ = 4  # times as many letters of a name are looked at
_UNTABLED = " (its intervals, of version 0.1.0, can leave 0 to 100 % and are left out, as in the table)"
_CAPTION = 1000
_TITLE, _FOLD = 300, 72  # letters of a title, and of a line of it
FONT = "Liberation Sans, Arial, Helvetica, sans-serif"  # of equal widths; the first comes with vl-convert
_AXIS = {"labelColor": SOFT, "titleColor": SOFT, "tickColor": SOFT, "domainColor": SOFT, "gridColor": RULE}
_FACE = {"labelFontSize": 11, "titleFontSize": 11, "titleFontWeight": "normal"}
CONFIG: Mapping[str, Any] = {
    "background": GROUND,
    "font": FONT,
    "padding": 10,
    "view": {"stroke": None},
    "axis": {**_AXIS, **_FACE, "titlePadding": 8, "labelOverlap": "greedy"},
    "legend": {"labelColor": INK, "labelLimit": 280, "titleColor": SOFT, "symbolSize": 90, **_FACE},
    "title": {
        "color": INK,
        "subtitleColor": SOFT,
        "anchor": "start",
        "frame": "group",
        "fontSize": 14,
        "subtitleFontSize": 11,
    }
    | {"subtitlePadding": 4, "offset": 12},
    "header": {"labelColor": INK, "titleColor": SOFT},
}


@dataclass(frozen=True, slots=True)
class Size:
    """Width and height of a panel in pixels; None is a chart's own."""

    width: int | None = None
    height: int | None = None

    def filled(self, width: int, height: int) -> Size:
        """With these where none was chosen."""
        return Size(self.width or width, self.height or height)


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart made by Altair.

    ``name`` can be a file's, ``caption`` says in a sentence what is seen, ``spec`` is a Vega-Lite
    specification with its data inside, in the colours of light ground (see ``palette.DARK``). ``rows`` are
    the numbers behind the picture, a mapping of columns to plain values each.
    """

    name: str
    caption: str
    spec: Mapping[str, Any]
    rows: tuple[Mapping[str, Cell], ...] = ()

    @property
    def table(self) -> Table:
        """The numbers as a table, with every column that any row has."""
        columns = tuple(dict.fromkeys(key for row in self.rows for key in row))
        return Table(columns, tuple(tuple(row.get(key) for key in columns) for row in self.rows), self.name)


def unchecked(draw: Callable[P, Chart]) -> Callable[P, Chart]:
    """Altair without its check of every value against Vega-Lite's schema, which takes ten times as long as
    the rest; a test holds the specification of every kind to that schema."""

    @wraps(draw)
    def made(*args: P.args, **options: P.kwargs) -> Chart:
        from altair.utils.schemapi import debug_mode

        with debug_mode(False):
            return draw(*args, **options)

    return made


def inline(rows: Sequence[Mapping[str, Any]]) -> Any:
    """Data of a chart inside it, its texts made plain.

    A tuple, which Altair does not copy whenever charts are put together.
    """
    import altair as alt

    return alt.InlineData(values=tuple(dict(zip(row, map(_safe, row.values()), strict=True)) for row in rows))


def _safe(value: Any) -> Any:
    return plain(value, _TITLE) if isinstance(value, str) else value


def finished(chart: Any, name: str, caption: str, rows: Sequence[Mapping[str, Cell]] = ()) -> Chart:
    """The chart of Altair in our style, as a value. ``rows`` are what ``Chart.rows`` becomes."""
    spec = chart.to_dict(validate=False)
    spec["config"] = dict(CONFIG)
    spec["datasets"] = {key: list(values) for key, values in spec.get("datasets", {}).items()}
    return Chart(name, plain(caption, _CAPTION), spec, tuple(rows))


def as_tabled(found: Mapping[str, Any]) -> tuple[list[Mapping[str, Any]], str]:
    """The points of ``results`` with the intervals that their table has, and what a caption says of others.

    Results without scores by question (version 0.1.0) hold t intervals over seeds, which leave 0 to 100 %.
    """
    points = list(found["points"])
    if "items" in found or not any(point.get("interval") for point in points):
        return points, ""
    return [{**point, "interval": None} for point in points], _UNTABLED


def titled(chart: Chart, title: str) -> Chart:
    """The chart with a title above it, folded to its width; its caption says the title, too."""
    lines = textwrap.wrap(plain(title, _TITLE), _FOLD) or [""]
    spec = {**chart.spec, "title": {"text": lines, "fontSize": 16}}
    return replace(chart, caption=f"{plain(title, _TITLE)} – {chart.caption}", spec=spec)


def plain(text: object, letters: int = LETTERS) -> str:
    """A name as it may stand in a chart: on one line, nothing hidden, at most so many letters."""
    safe = _NO_XML.sub(lambda found: f"\\u{ord(found[0]):04x}", visible(str(text)[: _READ * letters]))
    return safe if len(safe) <= letters else f"{safe[: letters - 1]}…"


def named(names: Sequence[str], letters: int = LETTERS) -> dict[str, str]:
    """How each name is shown; names that would look alike when shortened are numbered."""
    found: dict[str, str] = {}
    for name in dict.fromkeys(names):
        text, number = plain(name, letters), 1
        while text in found.values():
            number += 1
            mark = f" ({number})"
            text = plain(name, letters - len(mark)) + mark
        found[name] = text
    return found
