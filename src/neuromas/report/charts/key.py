"""What lines look like, and the key beside a panel that says it.

Vega-Lite makes a legend a channel: a line's dash, its mark and whether it has any would stand in three lists.
Here a line has one row: its dash, its mark, its name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from neuromas.report.charts.frame import inline
from neuromas.report.charts.palette import INK, colours, dashes, shapes

ROW = 17  # pixels of a row of the key
_LETTER = 5.6  # pixels of an average letter at this size
_TEXT = 38  # where names begin


@dataclass(frozen=True, slots=True)
class Key:
    """Lines in the order of their colours, and how each is shown; the same in all panels of a chart.

    ``names`` are names as shown, ``hollow`` ones have empty marks and no line.
    """

    names: Sequence[str]
    hollow: frozenset[str] = frozenset()

    def colour(self, **more: Any) -> Any:
        """The channel of colours, by the field ``line``."""
        import altair as alt

        scale = alt.Scale(domain=tuple(self.names), range=tuple(colours(self.names)))
        return alt.Color("line:N", scale=scale, legend=None, **more)

    def dash(self) -> Any:
        """The channel of dashes."""
        import altair as alt

        scale = alt.Scale(domain=tuple(self.names), range=tuple(dashes(self.names)))
        return alt.StrokeDash("line:N", scale=scale, legend=None)

    def shape(self) -> Any:
        """The channel of shapes."""
        import altair as alt

        scale = alt.Scale(domain=tuple(self.names), range=tuple(shapes(self.names)))
        return alt.Shape("line:N", scale=scale, legend=None)

    def beside(
        self, panel: Any, listed: Sequence[str], notes: Mapping[str, str], parts: str = "line mark"
    ) -> Any:
        """A panel with the rows of the ``listed`` lines to its right; the panel alone where there is none.

        ``notes`` say more of some in their row, ``parts`` are what the panel has of a line.
        """
        import altair as alt

        if not listed:
            return panel
        return alt.hconcat(panel, self._rows(listed, notes, parts), spacing=22)

    def _rows(self, listed: Sequence[str], notes: Mapping[str, str], parts: str) -> Any:
        import altair as alt

        rows: list[dict[str, Any]] = [
            {"line": name, "row": place, "text": f"{name}{notes.get(name, '')}"}
            for place, name in enumerate(listed)
        ]
        y = alt.Y("row:Q", axis=None, scale=alt.Scale(domain=[len(rows) - 0.5, -0.5], nice=False, zero=False))
        solid = [row for row in rows if row["line"] not in self.hollow]
        empty = [row for row in rows if row["line"] in self.hollow]

        def base(some: Sequence[Mapping[str, Any]]) -> Any:
            return alt.Chart(inline(some)).encode(y=y, color=self.colour())

        text = base(rows).mark_text(align="left", baseline="middle", fontSize=11)
        layers = [text.encode(x=alt.XValue(_TEXT), text=alt.Text("text:N"), color=alt.ColorValue(INK))]
        if "line" in parts:
            rule = base(solid).mark_rule(strokeWidth=2)
            layers.append(rule.encode(x=alt.XValue(4), x2=alt.X2Value(32), strokeDash=self.dash()))
        for some, filled in ((solid, True), (empty, False)):
            if some and "mark" in parts:
                point = base(some).mark_point(filled=filled, size=60, opacity=1)
                layers.append(point.encode(x=alt.XValue(18), shape=self.shape()))
        letters = max(len(row["text"]) for row in rows)
        return alt.layer(*layers, width=round(_TEXT + _LETTER * letters), height=ROW * len(rows))
