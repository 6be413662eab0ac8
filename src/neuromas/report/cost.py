"""What a question costs and what is right of the answers, as a picture: a dot for every way to answer."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from neuromas.report.chart import COLOURS, escaped, shortened, style

Row = Mapping[str, Any]
_LEFT, _TOP, _WIDTH, _HEIGHT, _LEGEND, _LINE = 60.0, 30.0, 460.0, 380.0, 220.0, 18.0


def cost_svg(points: Sequence[Row], name: str = "costs") -> str:
    """A self-contained SVG document: accuracy over FLOPs a question, on a scale of powers of ten.

    A point is one of ``results``; those that cost nothing stand at the left edge, those whose cost or
    accuracy is not known are left out, oracles are rings. Colours are in the order of the points.
    """
    shown = [point for point in points if _known(point)]
    costs = [math.log10(point["flops_a_question"]) for point in shown if point["flops_a_question"]]
    low, high = math.floor(min(costs, default=0.0)), math.ceil(max(costs, default=1.0))
    height = _TOP + max(_HEIGHT, _LINE * len(shown)) + 56.0
    width = _LEFT + _WIDTH + 30.0 + _LEGEND
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" class="nmas" role="img" width="{width:g}" '
        f'height="{height:g}" viewBox="0 0 {width:g} {height:g}">',
        f"<title>{escaped(name)}: accuracy over FLOPs a question</title>",
        f"<style>{style()}</style>",
        f'<rect class="nmas-ground" width="{width:g}" height="{height:g}"/>',
        *_axes(low, max(high, low + 1)),
    ]
    for row, point in enumerate(shown):
        x = _x(point["flops_a_question"], low, max(high, low + 1))
        parts += _dot(point, x, row)
    return "\n".join([*parts, "</svg>"]) + "\n"


def _known(point: Row) -> bool:
    return point.get("accuracy") is not None and point.get("flops_a_question") is not None


def _x(flops: float, low: int, high: int) -> float:
    """Where a cost stands; what costs nothing has the left edge."""
    share = (math.log10(flops) - low) / (high - low) if flops else 0.0
    return _LEFT + _WIDTH * share


def _y(accuracy: float) -> float:
    return _TOP + _HEIGHT * (1.0 - accuracy)


def _axes(low: int, high: int) -> list[str]:
    """Grid and numbers: fifths of accuracy, powers of ten of cost."""
    parts = []
    for i in range(6):
        y = _y(i / 5)
        parts.append(f'<path class="grid" d="M{_LEFT:g} {y:g}H{_LEFT + _WIDTH:g}"/>')
        parts.append(
            f'<text class="small" x="{_LEFT - 8:g}" y="{y + 4:g}" text-anchor="end">{20 * i} %</text>'
        )
    for power in range(low, high + 1):
        x = _x(10.0**power, low, high)
        parts.append(f'<path class="grid" d="M{x:g} {_TOP:g}V{_y(0):g}"/>')
        parts.append(
            f'<text class="small" x="{x:g}" y="{_y(0) + 16:g}" text-anchor="middle">1e{power}</text>'
        )
    middle = _LEFT + _WIDTH / 2
    parts.append(
        f'<text class="small" x="{middle:g}" y="{_y(0) + 36:g}" text-anchor="middle">FLOPs a question</text>'
    )
    return [*parts, f'<text class="small" x="8" y="{_TOP - 12:g}">accuracy</text>']


def _dot(point: Row, x: float, row: int) -> list[str]:
    """A way to answer, with its line of the legend: a number in the picture and beside it."""
    kind, y = f"arm{row % len(COLOURS)}", _y(point["accuracy"])
    label = f"{point['arm']}:{point['stage']}" if point["stage"] > 1 else str(point["arm"])
    bound = ", oracle bound" if point.get("oracle") else ""
    fill = ' fill-opacity="0"' if bound else ""
    note = f"<title>{escaped(label)}: {100 * point['accuracy']:.1f} %{bound}</title>"
    left, top = _LEFT + _WIDTH + 30.0, _TOP + 8.0 + _LINE * row
    text = escaped(shortened(f"{row + 1} {label}{bound}", 30))
    return [
        f'<circle class="mean {kind}" cx="{x:.1f}" cy="{y:.1f}" r="4"{fill}>{note}</circle>',
        f'<text class="small" x="{x + 6:.1f}" y="{y - 4:.1f}">{row + 1}</text>',
        f'<circle class="mean {kind}" cx="{left:g}" cy="{top:g}" r="4"{fill}/>',
        f'<text class="small" x="{left + 14:g}" y="{top + 4:g}">{text}</text>',
    ]
