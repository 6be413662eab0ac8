"""Credit: from one shared terminal reward per episode to the advantage of every sample.

The gradient of node v is E[(R - b_v) grad log pi_v], unbiased for every baseline b_v that does not
depend on v's own message (Williams 1992). All functions take rewards (P, G), problems by samples,
``None`` where a node had no part in an episode, and return advantages of that shape, 0 for ``None``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from neuromas.core.errors import ConfigError, unknown

BASELINES = ("none", "ema", "batch_mean", "rloo", "grpo")
Rewards = Sequence[Sequence[float | None]]
Advantages = tuple[tuple[float, ...], ...]
_GRPO_FLOOR = 1e-4
_SAME = 1e-12


def advantages(kind: str, rewards_PG: Rewards, ema: float | None = None) -> Advantages:
    """Advantages under the named baseline; ``ema`` is the running mean that ``"ema"`` subtracts.

    Raises ConfigError for an unknown name.
    """
    if kind == "none":
        return constant(rewards_PG, 0.0)
    if kind == "ema":
        return constant(rewards_PG, _mean(rewards_PG) if ema is None else ema)
    if kind == "batch_mean":
        return constant(rewards_PG, _mean(rewards_PG))
    if kind == "rloo":
        return rloo(rewards_PG)
    if kind == "grpo":
        return grpo(rewards_PG)
    raise ConfigError(unknown("baseline", kind, BASELINES))


def constant(rewards_PG: Rewards, baseline: float) -> Advantages:
    """R - b with one number b for the whole batch (Williams 1992)."""
    return tuple(tuple(0.0 if r is None else r - baseline for r in group) for group in rewards_PG)


def rloo(rewards_PG: Rewards) -> Advantages:
    """R_k minus the mean of the other samples of the same problem (Kool et al. 2019; arXiv 2402.14740).

    A group with fewer than two rewards has no others to compare with and gets 0.
    """
    return tuple(_rloo_group(group) for group in rewards_PG)


def _rloo_group(group: Sequence[float | None]) -> tuple[float, ...]:
    known = [r for r in group if r is not None]
    if len(known) < 2 or _agree(known):
        return tuple(0.0 for _ in group)
    total, others = math.fsum(known), len(known) - 1
    return tuple(0.0 if r is None else r - (total - r) / others for r in group)


def grpo(rewards_PG: Rewards) -> Advantages:
    """(R - mean) / (std + 1e-4) within each problem's samples, sample std (arXiv 2402.03300).

    Groups whose rewards agree get exactly 0, not a rounding residue over the floor.
    """
    return tuple(_grpo_group(group) for group in rewards_PG)


def _grpo_group(group: Sequence[float | None]) -> tuple[float, ...]:
    known = [r for r in group if r is not None]
    if len(known) < 2 or _agree(known):
        return tuple(0.0 for _ in group)
    mean = math.fsum(known) / len(known)
    std = math.sqrt(math.fsum((r - mean) ** 2 for r in known) / (len(known) - 1))
    return tuple(0.0 if r is None else (r - mean) / (std + _GRPO_FLOOR) for r in group)


def update_ema(before: float | None, rewards_PG: Rewards, decay: float) -> float | None:
    """The running mean after this batch; it is used from the next batch on, so never on its own sample."""
    known = [r for group in rewards_PG for r in group if r is not None]
    if not known:
        return before
    mean = math.fsum(known) / len(known)
    return mean if before is None else decay * before + (1.0 - decay) * mean


def silent_groups(rewards_PG: Rewards) -> int:
    """Problems whose samples all earned the same: they carry no signal under a group baseline."""
    return sum(1 for group in rewards_PG if _agree([r for r in group if r is not None]))


def _agree(known: Sequence[float]) -> bool:
    return not known or max(known) - min(known) <= _SAME


def _mean(rewards_PG: Rewards) -> float:
    known = [r for group in rewards_PG for r in group if r is not None]
    return math.fsum(known) / len(known) if known else 0.0
