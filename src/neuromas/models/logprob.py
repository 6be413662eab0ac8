"""Log-probability and entropy of tokens under large-vocabulary logits, in little memory.

Written out, ``log_softmax`` keeps several fp32 copies of (S, V) for its backward. Here the only thing
kept is the logits in the model's own dtype; probabilities are recomputed a few rows at a time.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

_ROWS = 32


class _Chosen(torch.autograd.Function):
    """(S, V) logits, (S,) targets, (S,) temperatures to (S,) log-probabilities and (S,) entropies."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, target: Tensor, heat: Tensor) -> tuple[Tensor, Tensor]:
        size = logits.new_empty(len(logits), dtype=torch.float32)
        chosen, entropy = torch.empty_like(size), torch.empty_like(size)
        for part in _parts(len(logits)):
            scaled = logits[part].float() / heat[part, None]
            size[part] = torch.logsumexp(scaled, dim=-1)
            chosen[part] = scaled.gather(1, target[part, None])[:, 0] - size[part]
            # H = log Z - E[z]
            weight = torch.exp(scaled - size[part, None])
            entropy[part] = size[part] - torch.linalg.vecdot(weight, scaled)
        ctx.save_for_backward(logits, target, heat, size)
        ctx.mark_non_differentiable(entropy)
        return chosen, entropy

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        logits, target, heat, size = ctx.saved_tensors
        out = torch.empty_like(logits)
        slope = grads[0] / heat
        for part in _parts(len(logits)):
            weight = torch.exp(logits[part].float() / heat[part, None] - size[part, None])
            weight.mul_(-slope[part, None])
            weight.scatter_add_(1, target[part, None], slope[part, None])
            out[part] = weight
        return out, None, None


def chosen_logprobs(logits: Tensor, target: Tensor, heat: Tensor) -> tuple[Tensor, Tensor]:
    """Log-probabilities (S,) with gradient, entropies (S,) in nats without; fp32.

    Of softmax(logits / heat) at ``target``; ``logits`` (S, V) in any float dtype, ``heat`` (S,) > 0.
    """
    chosen, entropy = _Chosen.apply(logits, target, heat)  # type: ignore[no-untyped-call]
    return chosen, entropy


def _parts(count: int) -> list[slice]:
    """Slices of at most ``_ROWS``."""
    return [slice(start, start + _ROWS) for start in range(0, count, _ROWS)]
