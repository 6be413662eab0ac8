"""The REINFORCE loss of one micro-batch, for all nodes at once.

The log-probability of an episode is a sum over nodes, so the gradient for a node needs only its own
tokens and the shared advantage; adapters of different nodes never mix.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Weights:
    """What every message counts, each (M,) by message key.

    ``advantage`` is its credit; ``scale`` the normalisation, 1 / (episodes * tokens), the same for
    long and short messages of a node, so that length itself earns nothing.
    """

    advantage: Tensor
    scale: Tensor


def policy_loss(
    logprobs: Tensor,
    keys: Tensor,
    weights: Weights,
    entropy: tuple[float, Tensor] | None = None,
    divergence: tuple[float, Tensor] | None = None,
) -> Tensor:
    """``- sum_t scale * (A log pi_t + c_H H_t - c_KL KL_t)`` over S tokens; a scalar.

    ``logprobs`` (S,) carry gradients, ``keys`` (S,) name each token's message. ``entropy`` and
    ``divergence`` are (coefficient, per-token values (S,)). The sum over micro-batches is the loss of
    the batch, so gradients accumulate exactly.
    """
    gain = weights.advantage[keys] * logprobs
    if entropy is not None:
        gain = gain + entropy[0] * entropy[1]
    if divergence is not None:
        gain = gain - divergence[0] * divergence[1]
    return -(weights.scale[keys] * gain).sum()


def clip_factor(norm: float, limit: float) -> float:
    """Factor that brings a gradient of this norm to at most ``limit`` (0: no limit)."""
    return 1.0 if limit <= 0.0 or norm <= limit else limit / norm


def gradient_norm(gradient: Tensor | None) -> float:
    """Euclidean norm; 0 for a parameter that took no part."""
    return 0.0 if gradient is None else float(torch.linalg.vector_norm(gradient))
