"""Tables of a page, and figures and texts for their cells."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Sequence
from typing import Any


def row(cells: Iterable[object]) -> str:
    """One line of a table."""
    return f"| {' | '.join(map(str, cells))} |"


def table(heads: Sequence[object], rows: Iterable[Iterable[object]]) -> list[str]:
    """The lines of a table."""
    return [row(heads), "|---" * len(heads) + "|", *map(row, rows)]


def share(value: float) -> str:
    """``12.5``: a share in percent."""
    return f"{100 * value:.1f}"


def points(value: float) -> str:
    """``+12.5``: a difference of shares in points."""
    return f"{100 * value:+.1f}"


def span(shares: Iterable[float]) -> str:
    """``3.7–5.6``: the lowest and the highest in percent."""
    ordered = sorted(shares)
    return f"{share(ordered[0])}–{share(ordered[-1])}"


def accuracy(entry: dict[str, Any]) -> str:
    """``50.0 [40.4, 59.6]``: an accuracy and its interval in percent."""
    low, high = entry["interval"]["low"], entry["interval"]["high"]
    return f"{share(entry['accuracy'])} [{share(low)}, {share(high)}]"


def said(text: str, longest: int = 60) -> str:
    """What a model or a file says, for a cell of a page: one line, no markup of its own."""
    return re.sub(r"([\\`*_|\[\]])", r"\\\1", html.escape(" ".join(text.split())[:longest], quote=False))
