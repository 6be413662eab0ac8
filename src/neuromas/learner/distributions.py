"""Whole distributions where an objective needs them (entropy, KL), a block of places at a time.

Written out, every term keeps an fp32 copy of (S, V) for its backward: 4.6 GB for 512 places of a vocabulary of
262144. Past ``_WHOLE`` numbers a block keeps its logits alone and computes the rest again.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

_WHOLE = 1 << 25  # logits that are taken at once; 512 places of SmolLM2's vocabulary are fewer
_BLOCK = 1 << 23


def distributions(
    logits: Tensor, bases: Sequence[Tensor], place: Tensor, target: Tensor, temperature: Tensor
) -> tuple[Tensor, Tensor, tuple[Tensor, ...]]:
    """Log-probabilities, entropies and one KL(policy || base) for each of ``bases``, all (S,), in nats, fp32.

    ``logits`` and ``bases`` (U, V); token s is ``target[s]`` at ``place[s]``, which ascends. Gradients flow to
    ``logits``.
    """
    if logits.numel() <= _WHOLE:
        chosen, entropy, *divergences = _block(place, target, temperature, logits, *bases)
        return chosen, entropy, tuple(divergences)
    rows = max(1, _BLOCK // logits.shape[1])
    pieces = zip(*(one.split(rows) for one in (logits, *bases)), strict=True)
    edges = torch.arange(0, len(logits) + rows, rows, device=place.device)
    cuts = torch.searchsorted(place, edges).tolist()
    found = [
        checkpoint(
            _block,
            place[low:high] - number * rows,
            target[low:high],
            temperature[low:high],
            *piece,
            use_reentrant=False,
            preserve_rng_state=False,
        )
        for number, (piece, low, high) in enumerate(zip(pieces, cuts, cuts[1:], strict=False))
    ]
    chosen, entropy, *divergences = (torch.cat(parts) for parts in zip(*found, strict=True))
    return chosen, entropy, tuple(divergences)


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
