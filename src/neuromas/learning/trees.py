"""Values of a sampled tree of messages, and what is preferred in it (MALT, arXiv:2412.01928).

Every message has the same number of branches, and a level lists its messages so that the children of message
i are ``i * branches`` to ``(i + 1) * branches - 1`` of the next.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

Values = list[float | None]


def tree_values(rewards: Sequence[float | None], branches: int) -> list[Values]:
    """Values of all levels, the first one first: a leaf's is its reward, others have their children's mean.

    ``rewards`` are those of the leaves. None is a leaf without one: it enters no mean, and a message without
    any valued child has no value. Raises ValueError if there are not ``branches ** depth`` leaves.
    """
    levels = [list(rewards)]
    while len(levels[0]) > branches:
        below = levels[0]
        if len(below) % branches:
            break
        levels.insert(0, [_mean(below[i : i + branches]) for i in range(0, len(below), branches)])
    if len(levels[0]) != branches:
        raise ValueError(f"{len(rewards)} leaves are no tree of {branches} branches")
    return levels


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return math.fsum(known) / len(known) if known else None


def positive(values: Sequence[float | None], threshold: float) -> list[int]:
    """Places of the messages of a level whose value is above the threshold."""
    return [place for place, value in enumerate(values) if value is not None and value > threshold]


def sibling_pairs(values: Sequence[float | None], branches: int, threshold: float) -> list[tuple[int, int]]:
    """(preferred, other) places in a level: a positive message and one of the same parent that is not."""
    good = set(positive(values, threshold))
    pairs: list[tuple[int, int]] = []
    for first in range(0, len(values), branches):
        family = [place for place in range(first, first + branches) if values[place] is not None]
        pairs += [(one, other) for one in family if one in good for other in family if other not in good]
    return pairs
