"""Log-probability and entropy of tokens under large-vocabulary logits, in little memory.

Written out, ``log_softmax`` keeps several fp32 copies of (S, V) for its backward. Here the only thing
kept is the logits in the model's own dtype; probabilities are recomputed a few rows at a time.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

_ROWS = 32


class _Chosen(torch.autograd.Function):
    """Logits of U places, and S tokens predicted there; see ``chosen_logprobs``."""

    @staticmethod
    def forward(
        ctx: Any, logits: Tensor, place: Tensor, target: Tensor, temperature: Tensor
    ) -> tuple[Tensor, Tensor]:
        chosen = logits.new_empty(len(place), dtype=torch.float32)
        entropy, size = torch.empty_like(chosen), torch.empty_like(chosen)
        for part, tokens, local, by_place in _parts(logits, place, temperature):
            scaled = logits[part].float() / by_place[:, None]
            total = torch.logsumexp(scaled, dim=-1)
            weight = torch.exp(scaled - total[:, None])
            spread = total - torch.linalg.vecdot(weight, scaled)  # H = log Z - E[z]
            size[tokens], entropy[tokens] = total[local], spread[local]
            chosen[tokens] = scaled[local, target[tokens]] - total[local]
        ctx.save_for_backward(logits, place, target, temperature, size)
        ctx.mark_non_differentiable(entropy)
        return chosen, entropy

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None, None]:
        logits, place, target, temperature, size = ctx.saved_tensors
        out = torch.empty_like(logits)
        slope = grads[0] / temperature
        for part, tokens, local, by_place in _parts(logits, place, temperature):
            count = part.stop - part.start
            total = size.new_zeros(count)
            total[local] = size[tokens]
            pull = size.new_zeros(count).index_add_(0, local, slope[tokens])
            weight = torch.exp(logits[part].float() / by_place[:, None] - total[:, None]).mul_(-pull[:, None])
            weight.index_put_((local, target[tokens]), slope[tokens], accumulate=True)
            out[part] = weight
        return out, None, None, None


def chosen_logprobs(
    logits: Tensor, place: Tensor, target: Tensor, temperature: Tensor
) -> tuple[Tensor, Tensor]:
    """Log-probabilities (S,) with gradient, entropies (S,) without; in nats, fp32.

    ``logits`` (U, V) in any float dtype; token s is ``target[s]`` under softmax(logits[place[s]] /
    temperature[s]). ``place`` (S,) ascends and names every place; tokens of one place share their
    temperature, which is positive.
    """
    chosen, entropy = _Chosen.apply(logits, place, target, temperature)  # type: ignore[no-untyped-call]
    return chosen, entropy


def _parts(
    logits: Tensor, place: Tensor, temperature: Tensor
) -> Iterator[tuple[slice, slice, Tensor, Tensor]]:
    """A few places at a time: their slice, their tokens' slice, place within it, temperature by place."""
    starts = list(range(0, len(logits), _ROWS))
    edges = torch.searchsorted(place, torch.tensor([*starts, len(logits)], device=place.device)).tolist()
    for start, low, high in zip(starts, edges, edges[1:], strict=False):
        part = slice(start, min(start + _ROWS, len(logits)))
        local = place[low:high] - start
        by_place = temperature.new_ones(part.stop - part.start)
        by_place[local] = temperature[low:high]
        yield part, slice(low, high), local, by_place
