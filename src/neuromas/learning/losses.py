"""The REINFORCE loss of one micro-batch, for all nodes at once.

The log-probability of an episode is a sum over nodes, so the gradient for a node needs only its own
tokens and the shared advantage; adapters of different nodes never mix.
"""

from __future__ import annotations

from collections.abc import Sequence
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
    *,
    entropy: tuple[float, Tensor] | None = None,
    divergences: Sequence[tuple[float, Tensor]] = (),
    before: tuple[Tensor, float] | None = None,
    whole: bool = False,
) -> Tensor:
    """``- sum_t scale * (A log pi_t + c_H H_t - c_KL KL_t)`` over S tokens; a scalar.

    ``logprobs`` (S,) carry gradients, ``keys`` (S,) name each token's message. ``entropy`` and
    ``divergences`` are (coefficient, per-token values (S,)). The sum over micro-batches is the loss of
    the batch, so gradients accumulate exactly.

    ``before`` is given for a further pass over a batch: the log-probabilities (S,) under the policy that
    was stepped from, and the clip c. Then ``A log pi_t`` becomes PPO's ``min(r_t A, clip(r_t, 1-c, 1+c) A)``
    with ``r_t = pi_t / pi_before_t`` (Schulman et al., arXiv:1707.06347, eq. 7). A ratio is of one token and
    of the node that wrote it, so nodes are clipped independently of each other. With ``whole`` it is that
    of a whole message, the product over its tokens, all of which must be among the S; each then has an equal
    share of the message's gain, whose gradient at ratio 1 is the same.
    """
    advantage = weights.advantage[keys]
    if before is None:
        gain = advantage * logprobs
    else:
        moved = logprobs - before[0]
        if whole:
            blank = torch.zeros_like(weights.advantage)
            moved = blank.index_add(0, keys, moved)[keys]
            advantage = advantage / blank.index_add(0, keys, torch.ones_like(logprobs))[keys]
        ratio = torch.exp(moved)
        clipped = ratio.clamp(1.0 - before[1], 1.0 + before[1])
        gain = torch.minimum(ratio * advantage, clipped * advantage)
    if entropy is not None:
        gain = gain + entropy[0] * entropy[1]
    for coefficient, values in divergences:
        gain = gain - coefficient * values
    return -(weights.scale[keys] * gain).sum()


def dpo_loss(chosen: Tensor, rejected: Tensor, beta: float) -> Tensor:
    """``-log sigmoid(beta * (chosen - rejected))`` (P,), of P pairs (Rafailov et al., arXiv:2305.18290).

    ``chosen`` and ``rejected`` (P,) are log-ratios in nats, ``log pi(y) - log pi_ref(y)``, each summed over
    the tokens of its message.
    """
    return -torch.nn.functional.logsigmoid(beta * (chosen - rejected))


def sampled_kl(before: Tensor, after: Tensor) -> Tensor:
    """An estimate of KL(before || after) in nats for each of S tokens that were drawn from ``before``.

    ``r - 1 - log r`` with r = p_after / p_before: never negative, and unbiased (Schulman, "Approximating KL
    divergence", 2020). Both arguments (S,) are natural-log probabilities of the drawn tokens.
    """
    difference = after - before
    return torch.expm1(difference) - difference


def clip_factor(norm: float, limit: float) -> float:
    """Factor that brings a gradient of this norm to at most ``limit`` (0: no limit)."""
    return 1.0 if limit <= 0.0 or norm <= limit else limit / norm


def gradient_norm(gradient: Tensor | None) -> float:
    """Euclidean norm; 0 for a parameter that took no part."""
    return 0.0 if gradient is None else float(torch.linalg.vector_norm(gradient))
