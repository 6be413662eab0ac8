"""Many tests at once."""

from __future__ import annotations

from collections.abc import Sequence


def holm(p_values: Sequence[float], of: int | None = None) -> tuple[float, ...]:
    """Holm's step-down adjusted p-values, in the order given (Holm, Scand. J. Statistics 6, 1979).

    With the m p-values sorted ascending, adjusted p of rank i is max over j ≤ i of
    min(1, (m - j + 1) p of rank j). Rejecting where it is ≤ alpha keeps the chance of any false
    rejection ≤ alpha, whatever the dependence. With ``of`` m is that many tests, of which some were not made
    yet (as if their p were 1): no adjusted value rises once they are. Raises ValueError on a value outside
    [0, 1], or an ``of`` below the number of values.
    """
    count = len(p_values) if of is None else of
    if count < len(p_values):
        raise ValueError(f"{len(p_values)} p-values of {count} tests")
    for index, p in enumerate(p_values):
        if not 0.0 <= p <= 1.0:
            raise ValueError(f"p-value {index} is {p!r}, not in [0, 1]")
    order = sorted(range(len(p_values)), key=lambda index: p_values[index])
    adjusted = [0.0] * len(p_values)
    running = 0.0
    for rank, index in enumerate(order):
        running = max(running, min(1.0, (count - rank) * p_values[index]))
        adjusted[index] = running
    return tuple(adjusted)
