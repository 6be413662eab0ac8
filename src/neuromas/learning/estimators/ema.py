"""A running mean of earlier batches as baseline."""

from __future__ import annotations

from dataclasses import dataclass

from neuromas.learning.estimators.base import Advantages, Estimator, Rewards, less, mean


@dataclass(frozen=True)
class Ema(Estimator):
    """A = R - b, then b <- d b + (1 - d) mean(R): reinforcement comparison (Sutton 1984; Williams 1992).

    b is the node's running mean before this batch, so never of its own sample, and ``ema_decay`` is d. The
    first batch has no past and uses its own mean.
    """

    ema_decay: float = 0.9

    shift_invariant = True  # in its first batch; later ones remember where rewards were

    def advantages(self, rewards_PG: Rewards, state: float | None) -> tuple[Advantages, float | None]:
        """Rewards (P, G) less the running mean, and the running mean after them."""
        now = mean(rewards_PG)
        baseline = (now or 0.0) if state is None else state
        if now is None or state is None:
            return less(rewards_PG, baseline), state if now is None else now
        return less(rewards_PG, baseline), self.ema_decay * state + (1.0 - self.ema_decay) * now
