"""Colours of charts on light and on dark ground, and how lines are told apart without them.

The seven colours of lines differ for people with each kind of colour blindness (a test simulates them) and
stand out from their ground; lines beyond them repeat the colours with other dashes, and each has a shape.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

GROUND, INK, SOFT, RULE = "#ffffff", "#1f2933", "#52606d", "#d9dee7"  # ground, text, quiet text, grid
ALARM = "#b00020"
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#2f3b4a", "#5a3fd6", "#8f2d00")
DARK = {  # what each colour becomes on dark ground
    **{GROUND: "#14181f", INK: "#e6e9ef", SOFT: "#a9b4c4", RULE: "#2c3442", ALARM: "#ff8a80"},
    **dict(
        zip(
            COLOURS,
            ("#56b4e9", "#e69f00", "#0fb383", "#f5b3dc", "#e8ecf3", "#9580ff", "#e0563b"),
            strict=True,
        )
    ),
}
_KEPT = ("datasets", "data", "domain", "text")  # strings in them are nobody's colours
DASHES = ([1, 0], [6, 3], [2, 2], [8, 3, 2, 3])
SHAPES = ("circle", "square", "triangle-up", "diamond", "cross", "triangle-down")


def colours(names: Sequence[str]) -> list[str]:
    """A colour for every name, in their order."""
    return [COLOURS[i % len(COLOURS)] for i in range(len(names))]


def dashes(names: Sequence[str]) -> list[list[int]]:
    """A dash for every name: full lines as long as colours differ."""
    return [DASHES[i // len(COLOURS) % len(DASHES)] for i in range(len(names))]


def shapes(names: Sequence[str]) -> list[str]:
    """A shape for every name; neighbours differ, and so do names of one colour."""
    return [SHAPES[i % len(SHAPES)] for i in range(len(names))]


def dark_rules(scope: str = "") -> str:
    """CSS that turns a chart's colours into those of dark ground, one rule a line.

    ``scope`` is a selector that the chart stands in, such as ``[data-theme=dark] .chart``; a page that has a
    switch of its own draws charts without style and uses these rules.
    """
    at = f"{scope} " if scope else ""
    return "\n".join(
        f'{at}[{side}="{light}"]{{{side}:{dark}}}'
        for light, dark in DARK.items()
        for side in ("fill", "stroke")
    )


def darkened(spec: Any) -> Any:
    """A specification with the colours of dark ground; names and data stay as they are."""
    if isinstance(spec, dict):
        return {key: value if key in _KEPT else darkened(value) for key, value in spec.items()}
    if isinstance(spec, list):
        return [darkened(value) for value in spec]
    return DARK.get(spec, spec) if isinstance(spec, str) else spec
