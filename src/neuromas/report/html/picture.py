"""A network laid out for the page: boxes and curves with numbers, which the template draws and escapes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from neuromas.report.draw import as_text, headline
from neuromas.report.html.parts import Box, Curve, Drawing
from neuromas.report.influence import Drawn
from neuromas.report.layout import BOX_HEIGHT, QUESTION, Hop, Layout, arrange
from neuromas.topology.graph import Topology

ANSWER = -2  # row of the box behind the output node
MOST_NODES, MOST_CURVES = 80, 500  # above either the page has the summary of the terminal instead
_THIN, _THICK = 1.2, 5.0


@dataclass(frozen=True, slots=True)
class Measured:
    """What is written on a network, by row: a line in the box, a longer one for readers of titles.

    ``tokens`` (mean length of a node's message) set the width of its curves, ``shares`` in [0, 1] a bar;
    ``needed`` are drops of accuracy with the message altered.
    """

    notes: Mapping[int, str]
    titles: Mapping[int, str]
    tokens: Mapping[int, float]
    shares: Mapping[int, float]
    needed: Drawn | None = None


NOTHING = Measured({}, {}, {}, {})


def drawing(topology: Topology, measured: Measured = NOTHING) -> Drawing:
    """The network from left to right, layer by layer."""
    title = headline(topology)
    if len(topology.nodes) > MOST_NODES or len(topology.edges) > MOST_CURVES:
        return Drawing(title, (0.0, 0.0, 0.0, 0.0), instead=as_text(topology))
    layout = arrange(topology)
    end = layout.columns[-1][1]
    right, top, bottom = end + 136.0, layout.top - 40.0, layout.bottom + 16.0
    most = max(measured.tokens.values(), default=0.0)
    out = Hop(topology.sink, (end, 0.0), (end + 56.0, 0.0), ANSWER)
    curves = tuple(_curve(hop, measured.tokens, most) for hop in (*layout.hops, out))
    heads = tuple(
        (f"layer {topology.nodes[rows[0]].layer}", sum(column) / 2, layout.top - 16.0)
        for rows, column in zip(topology.layers(), layout.columns[1:], strict=True)
    )
    return Drawing(
        title,
        (-16.0, top, right + 32.0, bottom - top),
        (*_boxes(topology, layout, measured), _box(ANSWER, "answer", (end + 56.0, right), 0.0)),
        curves,
        heads,
    )


def _boxes(topology: Topology, layout: Layout, measured: Measured) -> Sequence[Box]:
    boxes = [_box(QUESTION, "question", layout.columns[0], 0.0)]
    for rows, column in zip(topology.layers(), layout.columns[1:], strict=True):
        for row in rows:
            node, needed = topology.nodes[row], measured.needed
            drop = None if needed is None else needed.drops.get(row)
            boxes.append(
                Box(
                    *(row, node.name, column[0], layout.centre[row] - BOX_HEIGHT / 2),
                    *(column[1] - column[0], BOX_HEIGHT),
                    note=measured.notes.get(row, ""),
                    title=measured.titles.get(row, ""),
                    share=measured.shares.get(row),
                    above="" if needed is None else needed.texts.get(row, ""),
                    drop=None if drop is None else max(drop, 0.0),
                )
            )
    return boxes


def _box(row: int, name: str, column: tuple[float, float], y: float) -> Box:
    return Box(row, name, column[0], y - BOX_HEIGHT / 2, column[1] - column[0], BOX_HEIGHT)


def _curve(hop: Hop, tokens: Mapping[int, float], most: float) -> Curve:
    """One edge, level at both ends, as thick as its messages are long."""
    (x0, y0), (x1, y1) = hop.start, hop.end
    middle = (x0 + x1) / 2
    path = f"M{x0:g} {y0:g}C{middle:g} {y0:g} {middle:g} {y1:g} {x1:g} {y1:g}"
    t = 0.6 if hop.source == QUESTION else 0.3  # where the label stands: see ``draw``
    at = (x0 + (x1 - x0) * (1.5 * t * (1 - t) + t**3), y0 + (y1 - y0) * (3 * t**2 - 2 * t**3))
    long = tokens.get(hop.source, 0.0)
    width = _THIN + (_THICK - _THIN) * (long / most) ** 0.5 if most > 0 and long > 0 else _THIN
    return Curve(hop.source, hop.target, path, hop.label, at, width)
