"""Leave one out: the other samples of the same problem as baseline."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from neuromas.learning.estimators.base import Advantages, Estimator, Rewards, compared


class Rloo(Estimator):
    """A_k = R_k - mean of the other samples' rewards (Kool et al. 2019; arXiv:2402.14740). Unbiased.

    A group with fewer than two rewards has no others to compare with and gets 0, as does one that agrees.
    """

    needs_group = True
    shift_invariant = True

    def advantages(self, rewards_PG: Rewards, state: None) -> tuple[Advantages, None]:
        """Advantages (P, G), group by group."""
        return compared(rewards_PG, _left_out), None


def _left_out(known: Sequence[float]) -> Callable[[float], float]:
    total, others = math.fsum(known), len(known) - 1
    return lambda r: r - (total - r) / others
