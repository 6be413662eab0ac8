"""Leave one out: the other samples of the same problem as baseline."""

from __future__ import annotations

import math
from collections.abc import Sequence

from neuromas.learning.estimators.base import Advantages, Estimator, Rewards, agree


class Rloo(Estimator):
    """A_k = R_k - mean of the other samples' rewards (Kool et al. 2019; arXiv:2402.14740). Unbiased.

    A group with fewer than two rewards has no others to compare with and gets 0, as does one that agrees.
    """

    needs_group = True
    shift_invariant = True

    def advantages(self, rewards_PG: Rewards, state: None) -> tuple[Advantages, None]:
        """Advantages (P, G), group by group."""
        return tuple(_of_group(group) for group in rewards_PG), None


def _of_group(group: Sequence[float | None]) -> tuple[float, ...]:
    known = [r for r in group if r is not None]
    if len(known) < 2 or agree(known):
        return tuple(0.0 for _ in group)
    total, others = math.fsum(known), len(known) - 1
    return tuple(0.0 if r is None else r - (total - r) / others for r in group)
