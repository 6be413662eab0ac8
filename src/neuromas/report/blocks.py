"""What a page is made of, as frozen values: text, quotations, tables, figures. ``writers`` print them.

Strings in blocks may come from anywhere: every writer escapes what could act in its format, so that a page
need not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from neuromas.report.charts.frame import Chart
    from neuromas.statistics import Interval  # with numpy, which a list of runs does without


@dataclass(frozen=True, slots=True)
class Shown:
    """A number as people read it, with the number itself (and its interval) for machines."""

    text: str
    value: float | None
    low: float | None = None
    high: float | None = None


Cell = str | int | float | Shown | None


@dataclass(frozen=True, slots=True)
class Table:
    """Columns by name and rows of as many cells; None is a dash. ``aside`` is left out of plain text.

    Raises ValueError if a row has another number of cells than there are columns.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    title: str = ""
    aside: bool = False

    def __post_init__(self) -> None:
        for number, row in enumerate(self.rows, start=1):
            if len(row) != len(self.columns):
                raise ValueError(f"row {number} has {len(row)} cells for {len(self.columns)} columns")


@dataclass(frozen=True, slots=True)
class Text:
    """Lines of ours; what is quoted in them was made safe by ``terminal.quoted``."""

    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Quote:
    """Text of a model or of data, whole, set apart so that it cannot pass for a line of ours."""

    text: str
    heading: str = ""


@dataclass(frozen=True, slots=True)
class Figure:
    """A picture under a name that a file can have: an SVG document, or a chart.

    A chart may be a function that makes it: Altair is then loaded where the picture is drawn, and a page
    that is printed as text does without.
    """

    name: str
    picture: str | Chart | Callable[[], Chart]
    caption: str = ""

    @property
    def chart(self) -> Chart | None:
        """The chart; None of a drawing that is none."""
        if isinstance(self.picture, str):
            return None
        return self.picture() if callable(self.picture) else self.picture

    @property
    def svg(self) -> str:
        """The picture as a self-contained SVG document."""
        chart = self.chart
        if chart is None:
            return str(self.picture)
        from neuromas.report.charts.drawing import svg

        return svg(chart)


Block = Text | Quote | Table | Figure


def bounds(interval: Mapping[str, Any] | Interval | None) -> tuple[float | None, float | None]:
    """Lower and upper end; twice None where there is no interval."""
    if interval is None:
        return None, None
    if isinstance(interval, Mapping):
        return interval["low"], interval["high"]
    return interval.low, interval.high


def percent(value: float | None, interval: Mapping[str, Any] | Interval | None = None) -> str:
    """``97.5 % [94.3, 98.9]``; a dash where there is nothing to say."""
    if value is None:
        return "–"
    low, high = bounds(interval)
    text = f"{100 * value:.1f} %"
    return text if low is None or high is None else f"{text} [{100 * low:.1f}, {100 * high:.1f}]"


def points(difference: float, interval: Mapping[str, Any] | Interval | None) -> str:
    """``+3.5 points [-1.0, +8.0]``."""
    low, high = bounds(interval)
    ends = "" if low is None or high is None else f" [{100 * low:+.1f}, {100 * high:+.1f}]"
    return f"{100 * difference:+.1f} points{ends}"


def share(value: float | None, interval: Mapping[str, Any] | Interval | None = None) -> Shown:
    """A share in [0, 1] in percent, with its interval."""
    return Shown(percent(value, interval), value, *(bounds(interval) if value is not None else ()))


def difference(value: float | None, interval: Mapping[str, Any] | Interval | None = None) -> Shown:
    """A difference of shares in percentage points, with its interval."""
    if value is None:
        return Shown("–", None)
    return Shown(points(value, interval), value, *bounds(interval))


def number(value: float | None, digits: int = 1) -> Shown:
    """A number with so many digits after the point."""
    return Shown("–" if value is None else f"{value:.{digits}f}", value)
