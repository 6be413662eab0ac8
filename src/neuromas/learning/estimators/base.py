"""What an estimator is, and what several of them share."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Protocol, runtime_checkable

Rewards = Sequence[Sequence[float | None]]
Advantages = tuple[tuple[float, ...], ...]
_SAME = 1e-12


@runtime_checkable
class Estimator(Protocol):
    """From the rewards of one node in one batch to its advantages; pure, so it may be asked twice.

    Derive from it, or bring all four names. Fields of a derived dataclass are its options: those named like
    a key of ``[train]`` get that key's value, others come from ``train.baseline_options``.

    ``needs_group`` asks for at least two samples of every problem. ``shift_invariant`` promises that a
    constant added to all rewards of a batch changes nothing in a fresh state.
    """

    needs_group: bool = False
    shift_invariant: bool = False

    def init(self) -> Any:
        """What is remembered before the first batch: ``None``, or what JSON can hold.

        Every node has a state of its own, kept in checkpoints and handed on when the network grows.
        """
        return None

    def advantages(self, rewards_PG: Rewards, state: Any) -> tuple[Advantages, Any]:
        """Advantages (P, G) of rewards (P, G), problems by samples, and the state after this batch.

        A reward is ``None`` where the node had no part in the episode: it enters no mean, and its advantage
        is 0. Groups need not be equally long.
        """
        ...


class Pooled(Estimator):
    """An estimator that compares the rewards of all nodes: a group holds each node's for all samples.

    It is asked once a batch, with the nodes' groups of a problem one after the other, and keeps no state.
    """

    pooled = True


def less(rewards_PG: Rewards, baseline: float) -> Advantages:
    """R - b with one number b for the whole batch."""
    return tuple(tuple(0.0 if r is None else r - baseline for r in group) for group in rewards_PG)


def mean(rewards_PG: Rewards) -> float | None:
    """Mean of all rewards of a batch; None if there are none."""
    known = [r for group in rewards_PG for r in group if r is not None]
    return math.fsum(known) / len(known) if known else None


def agree(group: Sequence[float | None]) -> bool:
    """Whether a group's rewards are equal up to rounding, so that comparing them says nothing."""
    known = [r for r in group if r is not None]
    return not known or max(known) - min(known) <= _SAME


def compared(
    rewards_PG: Rewards, formula: Callable[[Sequence[float]], Callable[[float], float]]
) -> Advantages:
    """Advantages within each problem: ``formula(known rewards)`` gives the advantage of one of them.

    A group with fewer than two rewards, or whose rewards agree, has nothing to compare and gets exactly 0.
    """
    return tuple(_of_group(group, formula) for group in rewards_PG)


def _of_group(
    group: Sequence[float | None], formula: Callable[[Sequence[float]], Callable[[float], float]]
) -> tuple[float, ...]:
    known = [r for r in group if r is not None]
    if len(known) < 2 or agree(known):
        return tuple(0.0 for _ in group)
    advantage = formula(known)
    return tuple(0.0 if r is None else advantage(r) for r in group)
