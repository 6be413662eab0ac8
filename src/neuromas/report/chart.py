"""An experiment as pictures: accuracy over the calls that training took, and over depth; a panel a task."""

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
COLOURS = (  # on light and on dark ground
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
    """From calls (or depth) and accuracy to the page."""

    most: float
    accuracy: float
    top: float
    depth: bool = False

    def x(self, value: float) -> float:
        return _LEFT + _WIDTH * value / self.most

    def of(self, point: Row) -> float:
        """Where a point stands."""
        return self.x(point["depth"] if self.depth else point["spent"]["calls"])

    def y(self, accuracy: float) -> float:
        return self.top + _HEIGHT * (1.0 - accuracy / self.accuracy)


def experiment_svg(found: Row, name: str = "experiment") -> str:
    """The ``points`` of ``results`` as a self-contained SVG document, legible on light and dark ground.

    Every system is a line through the means over seeds of its arms' stages, from the untrained network on;
    small dots are seeds, moved aside a little so that arms that paid the same do not hide each other. An
    arm's network asked again, by votes or altered, is a diamond. There is a panel for every task and level.
    """
    listed = [{**point, "line": point.get("system") or point["arm"]} for point in found["points"]]
    panels = [(f"{p['task']}, {p['level']}" if p.get("level") else p["task"], p) for p in listed]
    return _document(panels, f"{name}: test accuracy over the calls of training", depth=False)


def depth_svg(found: Row, name: str = "experiment") -> str:
    """Accuracy over depth for every system of ``results``: its last arm and stage at each depth.

    Empty if the stages have no depth, see ``[[stages]]``.
    """
    last: dict[tuple[str, str, int], Row] = {}
    for point in found["points"]:
        if point.get("depth") is not None and not _aside(point):
            last[point["task"], point["system"], point["depth"]] = {**point, "line": point["system"]}
    panels = [(point["task"], point) for point in last.values()]
    return _document(panels, f"{name}: test accuracy over depth", depth=True) if panels else ""


def _document(listed: Sequence[tuple[str, Row]], title: str, depth: bool) -> str:
    """The panels below each other; ``listed`` are points with the panel they stand in."""
    arms = list(dict.fromkeys(point["line"] for _, point in listed))
    tasks = list(dict.fromkeys(task for task, _ in listed))
    panel = _TOP + max(_HEIGHT, _LINE * len(arms)) + _FOOT
    width, height = _LEFT + _WIDTH + 30.0 + _LEGEND, panel * max(1, len(tasks))
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" class="nmas" role="img" width="{width:g}" '
        f'height="{height:g}" viewBox="0 0 {width:g} {height:g}">',
        f"<title>{escaped(title)}</title>",
        f"<style>{style()}</style>",
        f'<rect class="nmas-ground" width="{width:g}" height="{height:g}"/>',
    ]
    for number, task in enumerate(tasks):
        mine = [point for there, point in listed if there == task]
        parts += _panel(task, mine, arms, panel * number + _TOP, depth)
    return "\n".join([*parts, "</svg>"]) + "\n"


def style() -> str:
    """Colours of arms on both grounds; beyond eight arms they repeat, with dashes."""
    sides = []
    for side in (0, 1):
        lines = [f".nmas .arm{i}{{stroke:{pair[side]};fill:{pair[side]}}}" for i, pair in enumerate(COLOURS)]
        sides.append("\n".join([*lines, ".nmas .way{fill:none}", ".nmas .seed{stroke:none}"]))
    return f"{_STYLE}{sides[0]}\n@media (prefers-color-scheme:dark){{\n{_DARK}{sides[1]}}}\n"


def _aside(point: Row) -> bool:
    """Whether a point is a network asked again."""
    return bool(point["votes"] or point.get("asked"))


def _panel(task: str, known: Sequence[Row], arms: Sequence[str], top: float, depth: bool) -> list[str]:
    """Axes, lines and legend of one task; colours are those of ``arms``, of which it has some."""
    points = [point for point in known if point["accuracy"] is not None]
    parts = [f'<text class="title" x="{_LEFT:g}" y="{top - 18:g}">{escaped(shortened(task, 60))}</text>']
    if not points:
        return [*parts, f'<text x="{_LEFT:g}" y="{top + 20:g}">no cell of this task is finished</text>']
    scale, step, rise = _scale(points, top, depth)
    parts += _axes(scale, step, rise)
    here = [arm for arm in arms if any(point["line"] == arm for point in known)]
    for place, arm in enumerate(here):
        mine = [point for point in points if point["line"] == arm]
        aside = _SPREAD * (place - (len(here) - 1) / 2)
        row = arms.index(arm)
        parts += _arm(mine, row, scale, aside) if mine else []
        parts += _entry(arm, mine, (row, place), top)
    return parts


def _scale(points: Sequence[Row], top: float, depth: bool) -> tuple[_Scale, float, float]:
    """A scale that holds every seed, and the steps of its two axes."""
    seeds = [seed for point in points for seed in point["seeds"]]
    calls = max(1.0, *(seed["spent"]["calls"] for seed in seeds))
    values = [seed[name] for seed in seeds for name in ("accuracy", "untrained")]
    accuracy = max(0.05, *(value for value in values if value is not None))
    step, rise = _nice(calls / 5), _nice(accuracy / 5)
    if depth:
        calls, step = max(point["depth"] for point in points), 1.0
    limits = step * math.ceil(calls / step - 1e-9), min(1.0, rise * math.ceil(accuracy / rise - 1e-9))
    return _Scale(*limits, top, depth), step, rise


def _axes(scale: _Scale, step: float, rise: float) -> list[str]:
    """Grid lines with their numbers, and what the axes are."""
    right, bottom = _LEFT + _WIDTH, scale.top + _HEIGHT
    parts = []
    for i in range(round(scale.accuracy / rise) + 1):
        y = scale.y(min(scale.accuracy, i * rise))
        parts.append(f'<path class="grid" d="M{_LEFT:g} {y:g}H{right:g}"/>')
        label = f"{100 * i * rise:.3g} %"
        parts.append(f'<text class="small" x="{_LEFT - 8:g}" y="{y + 4:g}" text-anchor="end">{label}</text>')
    for i in range(round(scale.most / step) + 1):
        x = scale.x(i * step)
        parts.append(f'<path class="grid" d="M{x:g} {scale.top:g}V{bottom:g}"/>')
        parts.append(
            f'<text class="small" x="{x:g}" y="{bottom + 16:g}" '
            f'text-anchor="middle">{_count(i * step)}</text>'
        )
    parts.append(f'<path class="axis" d="M{_LEFT:g} {bottom:g}H{right:g}"/>')
    middle = _LEFT + _WIDTH / 2
    text = "depth of the task" if scale.depth else "calls in training until then (messages sampled)"
    parts.append(f'<text class="small" x="{middle:g}" y="{bottom + 36:g}" text-anchor="middle">{text}</text>')
    parts.append(f'<text class="small" x="8" y="{scale.top - 18:g}">accuracy</text>')
    return parts


def _arm(points: Sequence[Row], row: int, scale: _Scale, aside: float) -> list[str]:
    """One arm: its line, its means, its seeds."""
    kind = f"arm{row % len(COLOURS)}"
    means = [(scale.of(point), scale.y(point["accuracy"])) for point in points]
    parts = []
    first = points[0]["seeds"] if points[0]["stage"] == 1 and not scale.depth else []
    untrained = [seed["untrained"] for seed in first if seed["untrained"] is not None]
    start = [(scale.x(0.0), scale.y(sum(untrained) / len(untrained)))] if untrained else []
    again = _aside(points[0])
    if not again and len(start + means) > 1:
        way = "L".join(f"{x:.1f} {y:.1f}" for x, y in start + means)
        parts.append(f'<path class="way {kind}"{_dash(row)} d="M{way}"/>')
    for point, (x, _) in zip(points, means, strict=True):
        for seed in point["seeds"]:
            if seed["accuracy"] is not None:
                y = scale.y(seed["accuracy"])
                parts.append(f'<circle class="seed {kind}" cx="{x + aside:.1f}" cy="{y:.1f}" r="3"/>')
    return parts + [_mark(x, y, kind, again) for x, y in means]


def _entry(arm: str, points: Sequence[Row], place: tuple[int, int], top: float) -> list[str]:
    """One line of the legend; ``place`` is the number of its colour and of the line."""
    row = place[0]
    x, y = _LEFT + _WIDTH + 30.0, top + 8.0 + _LINE * place[1]
    kind = f"arm{row % len(COLOURS)}"
    votes, again = (points[0]["votes"], _aside(points[0])) if points else (None, False)
    line = "" if again else f'<path class="way {kind}"{_dash(row)} d="M{x:g} {y:g}h26"/>'
    note = f" ({votes} votes)" if votes else "" if points else " (nothing yet)"
    text = escaped(shortened(arm, _LETTERS - len(note)) + note)
    return [
        f"{line}{_mark(x + 13, y, kind, again)}"
        f'<text x="{x + 34:g}" y="{y + 4:g}">{text}<title>{escaped(arm)}</title></text>'
    ]


def _mark(x: float, y: float, kind: str, votes: bool) -> str:
    """A mean: a dot, or a diamond for votes."""
    if votes:
        return f'<path class="mean {kind}" d="M{x:.1f} {y - 6:.1f}l6 6-6 6-6-6z"/>'
    return f'<circle class="mean {kind}" cx="{x:.1f}" cy="{y:.1f}" r="4"/>'


def _dash(row: int) -> str:
    """Nothing for the first round of colours, dashes from then on."""
    turn = row // len(COLOURS)
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


def shortened(text: str, letters: int) -> str:
    """At most so many letters."""
    return text if len(text) <= letters else text[: letters - 1] + "…"


def escaped(text: str) -> str:
    """Text that can be neither markup nor a control character."""
    return escape(visible(text))
