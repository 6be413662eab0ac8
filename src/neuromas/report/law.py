"""The law of products as a picture: accuracy over the product of local accuracies, a dot a cell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from neuromas.report.chart import COLOURS, escaped, shortened, style

Row = Mapping[str, Any]
_LEFT, _TOP, _SIDE, _LEGEND, _LINE = 60.0, 30.0, 420.0, 220.0, 22.0


def law_svg(points: Sequence[Row], name: str = "law") -> str:
    """A self-contained SVG document; on the dashed diagonal lies what follows the law.

    A point has ``group`` (one colour each), ``predicted`` and ``accuracy`` in [0, 1], and optionally ``low``
    and ``high`` of the accuracy and ``name``, which is its tooltip.
    """
    groups = list(dict.fromkeys(str(point["group"]) for point in points))
    width = _LEFT + _SIDE + 30.0 + _LEGEND
    height = _TOP + max(_SIDE, _LINE * len(groups)) + 56.0
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" class="nmas" role="img" width="{width:g}" '
        f'height="{height:g}" viewBox="0 0 {width:g} {height:g}">',
        f"<title>{escaped(name)}: accuracy over the product of local accuracies</title>",
        f"<style>{style()}</style>",
        f'<rect class="nmas-ground" width="{width:g}" height="{height:g}"/>',
        *_axes(),
    ]
    for point in points:
        parts += _point(point, groups.index(str(point["group"])) % len(COLOURS))
    for row, group in enumerate(groups):
        x, y = _LEFT + _SIDE + 30.0, _TOP + 8.0 + _LINE * row
        parts.append(f'<circle class="mean arm{row % len(COLOURS)}" cx="{x:g}" cy="{y:g}" r="4"/>')
        parts.append(f'<text x="{x + 14:g}" y="{y + 4:g}">{escaped(shortened(group, 28))}</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def _axes() -> list[str]:
    """Grid, numbers, the diagonal."""
    parts = []
    for i in range(6):
        x, y, text = _x(i / 5), _y(i / 5), f"{20 * i} %"
        parts.append(f'<path class="grid" d="M{_LEFT:g} {y:g}H{_LEFT + _SIDE:g}M{x:g} {_TOP:g}V{_y(0):g}"/>')
        parts.append(f'<text class="small" x="{_LEFT - 8:g}" y="{y + 4:g}" text-anchor="end">{text}</text>')
        parts.append(f'<text class="small" x="{x:g}" y="{_y(0) + 16:g}" text-anchor="middle">{text}</text>')
    parts.append(f'<path class="axis" stroke-dasharray="4 4" d="M{_x(0):g} {_y(0):g}L{_x(1):g} {_y(1):g}"/>')
    middle = _LEFT + _SIDE / 2
    label = "product of local accuracies, given right inputs"
    parts.append(f'<text class="small" x="{middle:g}" y="{_y(0) + 36:g}" text-anchor="middle">{label}</text>')
    return [*parts, f'<text class="small" x="8" y="{_TOP - 12:g}">accuracy</text>']


def _point(point: Row, colour: int) -> list[str]:
    """One cell with its interval."""
    x, y, kind = _x(point["predicted"]), _y(point["accuracy"]), f"arm{colour}"
    found = []
    if point.get("low") is not None and point.get("high") is not None:
        found.append(
            f'<path class="way {kind}" d="M{x:.1f} {_y(point["low"]):.1f}V{_y(point["high"]):.1f}"/>'
        )
    note = f"<title>{escaped(str(point['name']))}</title>" if point.get("name") else ""
    return [*found, f'<circle class="mean {kind}" cx="{x:.1f}" cy="{y:.1f}" r="4">{note}</circle>']


def _x(share: float) -> float:
    return _LEFT + _SIDE * share


def _y(share: float) -> float:
    return _TOP + _SIDE * (1.0 - share)
