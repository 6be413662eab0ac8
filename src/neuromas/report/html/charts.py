"""Charts on the page: drawn without a style of their own, as the page has a switch between grounds."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from neuromas.report.html.kept import bearing
from neuromas.report.html.parts import Drawn, Note, Part

if TYPE_CHECKING:
    from neuromas.report.charts.frame import Chart


def drawn(make: Callable[[], Chart | None]) -> list[Part]:
    """The chart as a picture; a note where its numbers are damaged, nothing where there is none."""
    from neuromas.report.charts.drawing import svg

    missing: list[str] = []
    with bearing(missing, "this chart"):
        chart = make()
        return [] if chart is None else [Drawn(svg(chart, style=False), chart.caption, chart.name)]
    return [Note(line) for line in missing]
