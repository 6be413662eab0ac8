"""Values of states: what a critic's estimates make of rewards, and what a critic is taught.

No model is here: numbers in, numbers out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

_SAME = 1e-12


def gae(
    rewards: Sequence[float], values: Sequence[float], gamma: float, lam: float
) -> tuple[list[float], list[float]]:
    """Advantages (T,) of T decisions in a row, and what their values should have been (T,).

    ``delta_t = r_t + gamma V_{t+1} - V_t`` with ``V_T = 0`` after the last one, and
    ``A_t = delta_t + gamma lam A_{t+1}`` (Schulman et al., arXiv:1506.02438, eq. 16); the value's target is
    ``A_t + V_t``. With ``lam = 0`` the advantage is delta and the target ``r_t + gamma V_{t+1}``. Raises
    ValueError if there are not as many values as rewards.
    """
    advantages, later, value_after = list[float](), 0.0, 0.0
    for reward, value in zip(reversed(rewards), reversed(values), strict=True):
        later = reward + gamma * value_after - value + gamma * lam * later
        value_after = value
        advantages.append(later)
    advantages.reverse()
    return advantages, [a + v for a, v in zip(advantages, values, strict=True)]


def normalised(advantages: Sequence[float]) -> list[float]:
    """Less their mean, divided by their standard deviation (that of the batch itself); 0 if all agree."""
    if not advantages:
        return []
    mean = math.fsum(advantages) / len(advantages)
    spread = math.sqrt(math.fsum((a - mean) ** 2 for a in advantages) / len(advantages))
    return [0.0 if spread <= _SAME else (a - mean) / spread for a in advantages]


def explained_variance(values: Sequence[float], targets: Sequence[float]) -> float | None:
    """1 - var(target - value) / var(target): 1 for a perfect critic, 0 for a constant; None if var is 0."""
    if not targets:
        return None
    errors = [t - v for t, v in zip(targets, values, strict=True)]
    whole = _variance(targets)
    return None if whole <= _SAME else 1.0 - _variance(errors) / whole


def _variance(numbers: Sequence[float]) -> float:
    mean = math.fsum(numbers) / len(numbers)
    return math.fsum((one - mean) ** 2 for one in numbers) / len(numbers)


def value_loss(values: Tensor, before: Tensor, targets: Tensor, huber: float, clip: float) -> Tensor:
    """Mean loss of N values against their targets, all (N,); a scalar.

    Squared error / 2 up to an error of ``huber`` and linear beyond it (Huber 1964; 0: squared throughout).
    With ``clip`` > 0 it is the larger one of that of the value and that of the value kept within ``clip`` of
    what it was ``before`` the update, so that no update gains by moving a value further.
    """
    loss = _error(values - targets, huber)
    if clip > 0.0:
        kept = before + (values - before).clamp(-clip, clip)
        loss = torch.maximum(loss, _error(kept - targets, huber))
    return loss.mean()


def _error(difference: Tensor, huber: float) -> Tensor:
    """(N,) squared or Huber errors."""
    square = 0.5 * difference**2
    if huber <= 0.0:
        return square
    size = difference.abs()
    return torch.where(size <= huber, square, huber * (size - 0.5 * huber))
