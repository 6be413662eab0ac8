"""What a page is made of beside the blocks of ``report.blocks``: frozen values, one template partial each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from neuromas.report.blocks import Block


@dataclass(frozen=True, slots=True)
class Stat:
    """One figure of the headline: what it is, its value as read, and what stands below it."""

    label: str
    value: str
    detail: str = ""
    tone: str = ""


@dataclass(frozen=True, slots=True)
class Stats:
    """Figures side by side."""

    items: tuple[Stat, ...]


@dataclass(frozen=True, slots=True)
class Note:
    """A line apart: ``warn`` for what a careful reader must know, ``missing`` for what is not there."""

    text: str
    tone: str = "missing"


@dataclass(frozen=True, slots=True)
class Lead:
    """A sentence in the size of a summary."""

    text: str


@dataclass(frozen=True, slots=True)
class Code:
    """Lines to be copied as they stand."""

    text: str
    label: str = ""


@dataclass(frozen=True, slots=True)
class Pairs:
    """Names and values."""

    rows: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Drawn:
    """A chart as SVG, made by ``charts.drawing`` and therefore escaped."""

    svg: str
    caption: str
    name: str = ""


@dataclass(frozen=True, slots=True)
class Curve:
    """One edge of a drawing: rows of source and target (-1: question; None: passes by), path and label."""

    source: int
    target: int | None
    path: str
    label: str = ""
    at: tuple[float, float] = (0.0, 0.0)
    width: float = 1.6


@dataclass(frozen=True, slots=True)
class Box:
    """One box of a drawing. ``row`` is the node's, -1 the question, -2 the answer; ``share`` in [0, 1].

    ``above`` is written over it; ``drop``, in [0, 1], is a bar at its top.
    """

    row: int
    name: str
    left: float
    top: float
    width: float
    height: float
    note: str = ""
    title: str = ""
    share: float | None = None
    above: str = ""
    drop: float | None = None

    @property
    def kind(self) -> str:
        """The class of its colours."""
        return {-1: "question", -2: "answer"}.get(self.row, "node")


@dataclass(frozen=True, slots=True)
class Drawing:
    """A network laid out; lengths in SVG pixels. ``instead`` is shown where it is too large to draw."""

    title: str
    frame: tuple[float, float, float, float]
    boxes: tuple[Box, ...] = ()
    curves: tuple[Curve, ...] = ()
    heads: tuple[tuple[str, float, float], ...] = ()
    instead: str = ""


@dataclass(frozen=True, slots=True)
class Network:
    """A drawing with its caption."""

    drawing: Drawing
    caption: str


@dataclass(frozen=True, slots=True)
class Viewer:
    """The trace viewer: plain data for the script, a drawing a run, and a few items as text without it."""

    data: Mapping[str, Any]
    drawings: tuple[Drawing | None, ...]
    names: tuple[str, ...]
    facts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Generation:
    """One network of a family: its shape, what it cost until then, how it came about, and its nodes' past.

    ``nodes`` are name and where its adapter came from; ``branch`` marks a network that was grafted in.
    """

    name: str
    where: str
    cost: str
    growth: str = ""
    nodes: tuple[tuple[str, str], ...] = ()
    branch: tuple[Generation, ...] = ()
    drawing: Drawing | None = None


@dataclass(frozen=True, slots=True)
class Family:
    """All generations, oldest first."""

    generations: tuple[Generation, ...]


@dataclass(frozen=True, slots=True)
class Fold:
    """Parts behind a line that opens them. ``key`` is its id, by which a live page keeps it open.

    ``large``: the parts of one run among several.
    """

    key: str
    title: str
    parts: tuple[Part, ...]
    opened: bool = False
    large: bool = False


@dataclass(frozen=True, slots=True)
class Group:
    """Parts under a heading of their own."""

    title: str
    parts: tuple[Part, ...]


Part = Block | Stats | Note | Lead | Code | Pairs | Drawn | Network | Viewer | Family | Fold | Group


@dataclass(frozen=True, slots=True)
class Section:
    """One section of the page; ``key`` is its id."""

    key: str
    title: str
    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class Story:
    """A whole page."""

    title: str
    subtitle: str
    sections: tuple[Section, ...]
    notes: tuple[Note, ...] = ()
    made_by: str = ""
    facts: Mapping[str, str] = field(default_factory=dict)
