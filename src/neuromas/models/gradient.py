"""The gradient of one update: micro-batches side by side, summed in one order.

Each micro-batch is computed by one thread from its cut to its gradient, and the cut, the arithmetic and the
order of the sum do not depend on how many threads there are: an update is the same bit for bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from neuromas.learning.losses import Weights, policy_loss
from neuromas.models.parallel import crew
from neuromas.models.resident import ResidentPolicy
from neuromas.models.scorer import Message, Row, microbatches, pack, score


@dataclass(frozen=True, slots=True)
class Objective:
    """What is learned beside the advantage: coefficients of entropy and of KL to the backbone."""

    entropy: float = 0.0
    kl: float = 0.0


@dataclass(slots=True)
class Learned:
    """Sums over the messages of an update; by message key the sums over its tokens, both (M,)."""

    loss: float
    entropy: Tensor
    logprobs: Tensor
    tokens: int


def accumulate(
    policy: ResidentPolicy,
    messages: Sequence[Message],
    weights: Weights,
    temperature: float,
    objective: Objective,
) -> Learned:
    """Set ``grad`` of every adapter that takes part (None of the others)."""
    device, bank = policy.backbone.device, policy.bank
    weights = Weights(weights.advantage.to(device), weights.scale.to(device))
    # small batches leave the CPU's caches less often, and one in each core's hands takes no more memory
    share = 4 if device.type == "cpu" else 2
    batches = list(microbatches(pack(messages), policy.backbone.tokens // share))
    batches.sort(key=_size, reverse=True)  # the longest first, so that the cores finish together
    learned = Learned(0.0, torch.zeros(len(messages)), torch.zeros(len(messages)), 0)
    gradients: dict[int, Tensor] = {}

    def one(batch: Sequence[Row]) -> tuple[dict[int, Tensor], Learned]:
        return _differentiate(policy, batch, weights, temperature, objective)

    with crew(device, len(batches)) as each:
        for found, part in each(one, batches):
            for row, gradient in found.items():
                gradients[row] = gradients[row].add_(gradient) if row in gradients else gradient
            learned.loss += part.loss
            learned.entropy += part.entropy
            learned.logprobs += part.logprobs
            learned.tokens += part.tokens
    for row, parameter in enumerate(bank.parameters):
        parameter.grad = gradients.get(row)
    return learned


def _size(batch: Sequence[Row]) -> int:
    """Padded tokens of a micro-batch."""
    return len(batch) * max(row.length for row in batch)


def _differentiate(
    policy: ResidentPolicy,
    batch: Sequence[Row],
    weights: Weights,
    temperature: float,
    objective: Objective,
) -> tuple[dict[int, Tensor], Learned]:
    """Gradients by adapter, and the sums, of one micro-batch."""
    heat = torch.full((len(weights.scale),), temperature)
    scores = score(
        policy.backbone,
        policy.bank,
        batch,
        heat,
        entropy_gradient=objective.entropy > 0.0,
        reference=objective.kl > 0.0,
    )
    loss = policy_loss(
        scores.logprobs,
        scores.keys,
        weights,
        entropy=(objective.entropy, scores.entropy) if objective.entropy > 0.0 else None,
        divergence=(objective.kl, scores.reference) if scores.reference is not None else None,
    )
    rows = sorted({row.adapter for row in batch})
    gradients = torch.autograd.grad(loss, [policy.bank.parameters[row] for row in rows])
    keys, blank = scores.keys.cpu(), torch.zeros(len(weights.scale))
    logprobs, entropy = (
        blank.index_add(0, keys, found.detach().float().cpu()) for found in (scores.logprobs, scores.entropy)
    )
    sums = Learned(float(loss.detach()), entropy, logprobs, sum(row.length for row in batch))
    return dict(zip(rows, gradients, strict=True)), sums
