"""What two ways to answer may be said to have in common: budgets, and when they count as equal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, get_args

Budget = Literal["calls", "tokens", "flops", "parameters", "training"]
BUDGETS: tuple[Budget, ...] = get_args(Budget)
TOLERANCE = 0.10  # of the larger one
UNITS: Mapping[Budget, str] = {
    "calls": "calls a question",
    "tokens": "tokens a question",
    "flops": "FLOPs a question",
    "parameters": "trained parameters",
    "training": "calls of training and search",
}


def unequal(kind: Budget, first: float, second: float) -> str:
    """One line with both figures if they differ by more than ``TOLERANCE`` of the larger; else empty.

    >>> unequal("calls", 3, 5)
    '3 and 5 calls a question differ by 40 %; equal are those that differ by at most 10 %'
    """
    apart = abs(first - second)
    if apart <= TOLERANCE * max(first, second) * (1 + 1e-9):
        return ""
    share = 100 * apart / max(first, second)
    figures = " and ".join(_figure(value) for value in (first, second))
    most = f"{100 * TOLERANCE:.0f} %"
    return f"{figures} {UNITS[kind]} differ by {share:.3g} %; equal are those that differ by at most {most}"


def _figure(value: float) -> str:
    """``3``, ``2.45``, ``2,764,800``, ``1.2e+12``."""
    if value >= 1e9:
        return f"{value:.3g}"
    return f"{value:,.0f}" if value == int(value) or value >= 1000 else f"{value:.3g}"
