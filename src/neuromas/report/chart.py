"""An experiment as a picture: accuracy over the calls that training took, a panel a task."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from neuromas.report.terminal import visible

Row = Mapping[str, Any]
_LEFT, _WIDTH, _HEIGHT = 70.0, 520.0, 300.0  # of the plot inside its panel
_TOP, _FOOT = 44.0, 56.0  # above and below it
_LEGEND, _LINE = 250.0, 22.0  # width of the legend, height of one of its lines
_LETTERS = 28  # of a name in the legend
_SPREAD = 3.0  # arms stand so far apart where they have paid the same
_COLOURS = (  # on light and on dark ground
    ("#0b62b0", "#6db3f2"),
    ("#b35900", "#f2a65a"),
    ("#1b7f4b", "#63c98a"),
    ("#a3186e", "#ee85c4"),
    ("#5a4fcf", "#a79ff5"),
    ("#7a6300", "#dcc14a"),
    ("#00757f", "#5bd0da"),
    ("#9c1f1f", "#f28b8b"),
)
_STYLE = """
.nmas-ground{fill:#ffffff} .nmas text{fill:#1f2933;font:13px ui-sans-serif,system-ui,sans-serif}
.nmas .small{font-size:11px;fill:#52606d} .nmas .title{font-size:15px;font-weight:600}
.nmas .grid{stroke:#d9dee7;stroke-width:1} .nmas .axis{stroke:#52606d;stroke-width:1.2}
.nmas .way{fill:none;stroke-width:2} .nmas .seed{fill-opacity:.45} .nmas .mean{stroke-width:2}
"""
_DARK = """.nmas-ground{fill:#14181f} .nmas text{fill:#e6e9ef} .nmas .small{fill:#a9b4c4}
.nmas .grid{stroke:#2c3442} .nmas .axis{stroke:#a9b4c4}
"""


@dataclass(frozen=True, slots=True)
class _Scale:
    """From calls and accuracy to the page."""

    calls: float
    accuracy: float
    top: float

    def x(self, calls: float) -> float:
        return _LEFT + _WIDTH * calls / self.calls

    def y(self, accuracy: float) -> float:
        return self.top + _HEIGHT * (1.0 - accuracy / self.accuracy)


def experiment_svg(found: Row, name: str = "experiment") -> str:
    """The ``points`` of ``results`` as a self-contained SVG document, legible on light and dark ground.

    Every arm is a line through its stages' means over seeds, from the untrained network on; small dots
    are seeds, moved aside a little so that arms that paid the same do not hide each other. Votes of an
    arm's network are a diamond.
    """
    points = [point for point in found["points"] if point["accuracy"] is not None]
    arms = list(dict.fromkeys(point["arm"] for point in found["points"]))
    tasks = list(dict.fromkeys(point["task"] for point in found["points"]))
    panel = _TOP + max(_HEIGHT, _LINE * len(arms)) + _FOOT
    width, height = _LEFT + _WIDTH + 30.0 + _LEGEND, panel * max(1, len(tasks))
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" class="nmas" role="img" width="{width:g}" '
        f'height="{height:g}" viewBox="0 0 {width:g} {height:g}">',
        f"<title>{_safe(name)}: test accuracy over the calls of training</title>",
        f"<style>{_style()}</style>",
        f'<rect class="nmas-ground" width="{width:g}" height="{height:g}"/>',
    ]
    for number, task in enumerate(tasks):
        mine = [point for point in points if point["task"] == task]
        parts += _panel(task, mine, arms, panel * number + _TOP)
    return "\n".join([*parts, "</svg>"]) + "\n"


def _style() -> str:
    """Colours of arms on both grounds; beyond eight arms they repeat, with dashes."""
    sides = []
    for side in (0, 1):
        lines = [f".nmas .arm{i}{{stroke:{pair[side]};fill:{pair[side]}}}" for i, pair in enumerate(_COLOURS)]
        sides.append("\n".join([*lines, ".nmas .way{fill:none}", ".nmas .seed{stroke:none}"]))
    return f"{_STYLE}{sides[0]}\n@media (prefers-color-scheme:dark){{\n{_DARK}{sides[1]}}}\n"


def _panel(task: str, points: Sequence[Row], arms: Sequence[str], top: float) -> list[str]:
    """Axes, lines and legend of one task."""
    parts = [f'<text class="title" x="{_LEFT:g}" y="{top - 18:g}">{_safe(_cut(task, 60))}</text>']
    if not points:
        return [*parts, f'<text x="{_LEFT:g}" y="{top + 20:g}">no cell of this task is finished</text>']
    scale, step, rise = _scale(points, top)
    parts += _axes(scale, step, rise)
    for row, arm in enumerate(arms):
        mine = [point for point in points if point["arm"] == arm]
        aside = _SPREAD * (row - (len(arms) - 1) / 2)
        parts += _arm(mine, row, scale, aside) if mine else []
        parts += _entry(arm, mine, row, top)
    return parts


def _scale(points: Sequence[Row], top: float) -> tuple[_Scale, float, float]:
    """A scale that holds every seed, and the steps of its two axes."""
    seeds = [seed for point in points for seed in point["seeds"]]
    calls = max(1.0, *(seed["spent"]["calls"] for seed in seeds))
    values = [seed[name] for seed in seeds for name in ("accuracy", "untrained")]
    accuracy = max(0.05, *(value for value in values if value is not None))
    step, rise = _nice(calls / 5), _nice(accuracy / 5)
    limits = step * math.ceil(calls / step - 1e-9), min(1.0, rise * math.ceil(accuracy / rise - 1e-9))
    return _Scale(*limits, top), step, rise


def _axes(scale: _Scale, step: float, rise: float) -> list[str]:
    """Grid lines with their numbers, and what the axes are."""
    right, bottom = _LEFT + _WIDTH, scale.top + _HEIGHT
    parts = []
    for i in range(round(scale.accuracy / rise) + 1):
        y = scale.y(min(scale.accuracy, i * rise))
        parts.append(f'<path class="grid" d="M{_LEFT:g} {y:g}H{right:g}"/>')
        label = f"{100 * i * rise:.3g} %"
        parts.append(f'<text class="small" x="{_LEFT - 8:g}" y="{y + 4:g}" text-anchor="end">{label}</text>')
    for i in range(round(scale.calls / step) + 1):
        x = scale.x(i * step)
        parts.append(f'<path class="grid" d="M{x:g} {scale.top:g}V{bottom:g}"/>')
        parts.append(
            f'<text class="small" x="{x:g}" y="{bottom + 16:g}" '
            f'text-anchor="middle">{_count(i * step)}</text>'
        )
    parts.append(f'<path class="axis" d="M{_LEFT:g} {bottom:g}H{right:g}"/>')
    middle = _LEFT + _WIDTH / 2
    text = "calls in training until then (messages sampled)"
    parts.append(f'<text class="small" x="{middle:g}" y="{bottom + 36:g}" text-anchor="middle">{text}</text>')
    parts.append(f'<text class="small" x="8" y="{scale.top - 18:g}">accuracy</text>')
    return parts


def _arm(points: Sequence[Row], row: int, scale: _Scale, aside: float) -> list[str]:
    """One arm: its line, its means, its seeds."""
    kind = f"arm{row % len(_COLOURS)}"
    means = [(scale.x(point["spent"]["calls"]), scale.y(point["accuracy"])) for point in points]
    parts = []
    untrained = [seed["untrained"] for seed in points[0]["seeds"] if seed["untrained"] is not None]
    start = [(scale.x(0.0), scale.y(sum(untrained) / len(untrained)))] if untrained else []
    if not points[0]["votes"] and len(start + means) > 1:
        way = "L".join(f"{x:.1f} {y:.1f}" for x, y in start + means)
        parts.append(f'<path class="way {kind}"{_dash(row)} d="M{way}"/>')
    for point, (x, _) in zip(points, means, strict=True):
        for seed in point["seeds"]:
            if seed["accuracy"] is not None:
                y = scale.y(seed["accuracy"])
                parts.append(f'<circle class="seed {kind}" cx="{x + aside:.1f}" cy="{y:.1f}" r="3"/>')
    return parts + [_mark(x, y, kind, bool(points[0]["votes"])) for x, y in means]


def _entry(arm: str, points: Sequence[Row], row: int, top: float) -> list[str]:
    """One line of the legend."""
    x, y = _LEFT + _WIDTH + 30.0, top + 8.0 + _LINE * row
    kind = f"arm{row % len(_COLOURS)}"
    votes = points[0]["votes"] if points else None
    line = "" if votes else f'<path class="way {kind}"{_dash(row)} d="M{x:g} {y:g}h26"/>'
    note = f" ({votes} votes)" if votes else "" if points else " (nothing yet)"
    text = _safe(_cut(arm, _LETTERS - len(note)) + note)
    return [
        f"{line}{_mark(x + 13, y, kind, bool(votes))}"
        f'<text x="{x + 34:g}" y="{y + 4:g}">{text}<title>{_safe(arm)}</title></text>'
    ]


def _mark(x: float, y: float, kind: str, votes: bool) -> str:
    """A mean: a dot, or a diamond for votes."""
    if votes:
        return f'<path class="mean {kind}" d="M{x:.1f} {y - 6:.1f}l6 6-6 6-6-6z"/>'
    return f'<circle class="mean {kind}" cx="{x:.1f}" cy="{y:.1f}" r="4"/>'


def _dash(row: int) -> str:
    """Nothing for the first round of colours, dashes from then on."""
    turn = row // len(_COLOURS)
    return f' stroke-dasharray="{2 + 4 * turn} 4"' if turn else ""


def _nice(step: float) -> float:
    """The next 1, 2 or 5 times a power of ten."""
    if step <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(step))
    return next(k * power for k in (1, 2, 5, 10) if k * power >= step * (1 - 1e-9))


def _count(value: float) -> str:
    """``0``, ``250``, ``12.5 k``, ``3 M``."""
    for size, letter in ((1e6, " M"), (1e3, " k")):
        if value >= size:
            return f"{value / size:.4g}{letter}"
    return f"{value:.4g}"


def _cut(text: str, letters: int) -> str:
    """At most so many letters."""
    return text if len(text) <= letters else text[: letters - 1] + "…"


def _safe(text: str) -> str:
    """Text that can be neither markup nor a control character."""
    return escape(visible(text))
