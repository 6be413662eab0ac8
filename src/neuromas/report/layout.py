"""Where things stand in the picture of a topology: columns of layers, and rails for edges that skip some.

Coordinates are SVG pixels, x to the right and y downwards; row -1 is the question. An edge that skips
layers follows its source's rail, one lane for each skipped column, so that it never crosses a box.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from neuromas.topology.graph import Topology

QUESTION = -1
BOX_HEIGHT = 44.0
_BOX_GAP = 24.0
_LANE = 26.0  # vertical distance of rails from boxes and from each other
_CHARACTER = 8.5  # width of one character of a name
_GAP = 96.0  # between columns, at least

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Hop:
    """One curve from the right side of a column to the left side of the next, or a rail through one.

    ``source`` is the row whose message it carries; ``target`` the row that reads it, or None where it
    only passes by; ``label`` is shown on it.
    """

    source: int
    start: Point
    end: Point
    target: int | None = None
    label: str = ""


@dataclass(frozen=True, slots=True)
class Layout:
    """Left and right edge of each column (column 0 is the question's), box centres, and all curves."""

    columns: tuple[tuple[float, float], ...]
    centre: dict[int, float]
    hops: tuple[Hop, ...]
    top: float
    bottom: float


def arrange(topology: Topology) -> Layout:
    """Place the question, every node and every edge."""
    columns = _columns(topology)
    centre = {QUESTION: 0.0}
    for layer in topology.layers():
        for place, row in enumerate(layer):
            centre[row] = (place - (len(layer) - 1) / 2) * (BOX_HEIGHT + _BOX_GAP)
    lanes = _lanes(topology, centre)
    hops = _hops(topology, columns, centre, lanes)
    ys = [*centre.values(), *lanes.values()]
    return Layout(columns, centre, hops, min(ys) - BOX_HEIGHT / 2, max(ys) + BOX_HEIGHT / 2)


def readers(topology: Topology) -> dict[int, list[tuple[int, str]]]:
    """Who reads each source, with the edge's label: its token budget, or the share of the question."""
    found: dict[int, list[tuple[int, str]]] = {
        QUESTION: [
            (row, "" if node.question == "all" else node.question)
            for row, node in enumerate(topology.nodes)
            if node.question != "none"
        ]
    }
    for edge in topology.edges:
        found.setdefault(edge.source, []).append(
            (edge.target, "" if edge.budget is None else str(edge.budget))
        )
    return found


def _columns(topology: Topology) -> tuple[tuple[float, float], ...]:
    """Horizontal extent of each column; columns stand further apart where many edges meet."""
    layers = topology.layers()
    widths = [_box_width("question")]
    widths += [max(_box_width(topology.nodes[row].name) for row in layer) for layer in layers]
    heights = [1, *(len(layer) for layer in layers)]
    left = 0.0
    columns = []
    for number, width in enumerate(widths):
        columns.append((left, left + width))
        tallest = max(heights[number : number + 2])
        left += width + _GAP + min(12.0 * tallest, 240.0)
    return tuple(columns)


def _box_width(name: str) -> float:
    return max(64.0, _CHARACTER * len(name) + 26.0)


def _layer(topology: Topology, row: int) -> int:
    return 0 if row == QUESTION else topology.nodes[row].layer


def _lanes(topology: Topology, centre: dict[int, float]) -> dict[tuple[int, int], float]:
    """Height of each source's rail through each layer that some of its edges skip.

    The question runs above all boxes; another source runs above or below, whichever it is nearer to.
    The outermost source takes the outermost lane, so that rails do not cross on their way.
    """
    above: dict[int, int] = {}
    below: dict[int, int] = {}
    lanes: dict[tuple[int, int], float] = {}
    layers = topology.layers()
    heard = readers(topology)
    over_boxes = {source: source == QUESTION or centre[source] < 0 for source in heard}
    for source in sorted(heard, key=lambda row: -row if over_boxes[row] else row):
        last = max(_layer(topology, row) for row, _ in heard[source])
        over = over_boxes[source]
        for layer in range(_layer(topology, source) + 1, last):
            taken = above if over else below
            taken[layer] = taken.get(layer, 0) + 1
            edge = layers[layer - 1][0 if over else -1]
            reach = BOX_HEIGHT / 2 + _LANE * taken[layer]
            lanes[source, layer] = centre[edge] + (-reach if over else reach)
    return lanes


def _hops(
    topology: Topology,
    columns: tuple[tuple[float, float], ...],
    centre: dict[int, float],
    lanes: dict[tuple[int, int], float],
) -> tuple[Hop, ...]:
    """All curves: for each source its rail once, then a last hop into every reader."""
    hops = []
    for source, targets in readers(topology).items():
        first = _layer(topology, source)
        height = {first: centre[source]}
        last = max(_layer(topology, row) for row, _ in targets)
        height |= {layer: lanes[source, layer] for layer in range(first + 1, last)}
        for layer, following in pairwise(sorted(height)):
            left, right = columns[following]
            hops.append(Hop(source, (columns[layer][1], height[layer]), (left, height[following])))
            hops.append(Hop(source, (left, height[following]), (right, height[following])))
        for row, label in targets:
            column = _layer(topology, row)
            start = (columns[column - 1][1], height[column - 1])
            hops.append(Hop(source, start, (columns[column][0], centre[row]), row, label))
    return tuple(hops)
