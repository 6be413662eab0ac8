"""The mean of the batch as baseline."""

from __future__ import annotations

from neuromas.learning.estimators.base import Advantages, Estimator, Rewards, less, mean


class BatchMean(Estimator):
    """A = R - mean of all N rewards of the batch (Williams 1992 with reinforcement comparison).

    The mean holds the sample itself, which shrinks the gradient by 1 - 1/N and keeps its direction.
    """

    shift_invariant = True

    def advantages(self, rewards_PG: Rewards, state: None) -> tuple[Advantages, None]:
        """Rewards (P, G) less their mean."""
        return less(rewards_PG, mean(rewards_PG) or 0.0), None
