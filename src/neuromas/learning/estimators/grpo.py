"""Rewards standardised within each problem's samples."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from neuromas.learning.estimators.base import Advantages, Estimator, Rewards, compared

_FLOOR = 1e-4


class Grpo(Estimator):
    """A_k = (R_k - mean) / (std + 1e-4) within a group, with the sample deviation (arXiv:2402.03300).

    Problems are weighted by their difficulty, so this is not the gradient of the mean reward. A group whose
    rewards agree gets exactly 0, not a rounding residue over the floor.
    """

    needs_group = True
    shift_invariant = True

    def advantages(self, rewards_PG: Rewards, state: None) -> tuple[Advantages, None]:
        """Advantages (P, G), group by group."""
        return compared(rewards_PG, _standardised), None


def _standardised(known: Sequence[float]) -> Callable[[float], float]:
    mean = math.fsum(known) / len(known)
    std = math.sqrt(math.fsum((r - mean) ** 2 for r in known) / (len(known) - 1))
    return lambda r: (r - mean) / (std + _FLOOR)
