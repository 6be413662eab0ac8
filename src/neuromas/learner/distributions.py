"""Whole distributions where an objective needs them (entropy, KL), a block of places at a time.

Written out, every term keeps an fp32 copy of (S, V) for its backward: 4.6 GB for 512 places of a vocabulary
of 262144. Past ``_WHOLE`` numbers a block keeps its logits alone and computes the rest again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

_WHOLE = 1 << 25  # logits that are taken at once; 512 places of SmolLM2's vocabulary are fewer
_BLOCK = 1 << 23


def distributions(
    logits: Tensor, bases: Sequence[Tensor], place: Tensor, target: Tensor, temperature: Tensor
) -> tuple[Tensor, Tensor, tuple[Tensor, ...]]:
    """Log-probabilities, entropies, and one KL(policy || base) for each of ``bases``: (S,), nats, fp32.

    ``logits`` and ``bases`` (U, V); token s is ``target[s]`` at ``place[s]``, which ascends. Gradients flow
    to ``logits``.
    """
    if logits.numel() <= _WHOLE:
        chosen, entropy, *divergences = _block(place, target, temperature, logits, *bases)
        return chosen, entropy, tuple(divergences)
    given = (place, target, temperature, logits, *bases)
    chosen, entropy, *divergences = _Blocks.apply(*given)  # type: ignore[no-untyped-call]
    return chosen, entropy, tuple(divergences)


class _Blocks(torch.autograd.Function):
    """``_block`` over parts of the places, computed again for the backward."""

    @staticmethod
    def forward(ctx: Any, *tensors: Tensor) -> tuple[Tensor, ...]:
        ctx.save_for_backward(*tensors)
        found = [_block(*part) for _, _, part in _parts(tensors)]
        return tuple(torch.cat(parts) for parts in zip(*found, strict=True))

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        logits = ctx.saved_tensors[3]
        out = torch.empty_like(logits)
        for places, tokens, (place, target, temperature, own, *bases) in _parts(ctx.saved_tensors):
            with torch.enable_grad():
                leaf = own.detach().requires_grad_()
                found = _block(place, target, temperature, leaf, *bases)
                (out[places],) = torch.autograd.grad(found, leaf, [grad[tokens] for grad in grads])
        return None, None, None, out, *(None for _ in ctx.saved_tensors[4:])


def _parts(tensors: Sequence[Tensor]) -> Iterator[tuple[slice, slice, list[Tensor]]]:
    """Places, their tokens, and the arguments of ``_block`` for them."""
    place, target, temperature, *logits = tensors
    rows = max(1, _BLOCK // logits[0].shape[1])
    starts = list(range(0, len(logits[0]), rows))
    edges = torch.tensor([*starts, len(logits[0])], device=place.device)
    cuts = torch.searchsorted(place, edges).tolist()
    for start, low, high in zip(starts, cuts, cuts[1:], strict=False):
        places, tokens = slice(start, start + rows), slice(low, high)
        own = [place[tokens] - start, target[tokens], temperature[tokens]]
        yield places, tokens, [*own, *(one[places] for one in logits)]


def _block(
    place: Tensor, target: Tensor, temperature: Tensor, logits: Tensor, *bases: Tensor
) -> tuple[Tensor, ...]:
    """``distributions`` of logits that are handled together."""
    every = torch.log_softmax(logits[place].float() / temperature[:, None], dim=-1)
    chosen = every.gather(1, target[:, None])[:, 0]
    entropy = -(every.exp() * every).sum(dim=-1)
    scaled = (base[place].float() / temperature[:, None] for base in bases)
    return chosen, entropy, *(divergence(every, torch.log_softmax(base, dim=-1)) for base in scaled)


def divergence(every: Tensor, base: Tensor) -> Tensor:
    """KL(policy || reference) (S,) of two distributions given as log-probabilities (S, V).

    ``- p + q`` sums to 0. With it the gradient is exactly 0 where the two agree, not the rounding noise of
    ``sum p = 1``, which AdamW would blow up to steps of full size.
    """
    own = every.exp()
    return (own * (every - base) - own + base.exp()).sum(dim=-1)
