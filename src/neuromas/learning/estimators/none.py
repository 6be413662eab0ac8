"""No baseline."""

from __future__ import annotations

from neuromas.learning.estimators.base import Advantages, Estimator, Rewards, less


class NoBaseline(Estimator):
    """A = R: the reward itself (REINFORCE; Williams 1992). Unbiased, and as noisy as can be."""

    def advantages(self, rewards_PG: Rewards, state: None) -> tuple[Advantages, None]:
        """The rewards (P, G)."""
        return less(rewards_PG, 0.0), None
