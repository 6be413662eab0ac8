"""Attention of long rows in pieces: memory grows with a row's length, not with its square.

A piece is a few queries and all keys up to the last of them. Its weights are computed, used and dropped; the
backward pass computes them again (as in Dao et al., arXiv:2205.14135; written out, since on CPUs the fused
kernel's backward with a mask costs several times more).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from neuromas.models.attention import masked_softmax

PIECE = 64  # queries at once


@dataclass(frozen=True, slots=True)
class Paths:
    """Who sees whom: ``end`` and ``position`` (R, L) as in ``TreeBatch``, and the layer's window."""

    end: Tensor
    position: Tensor
    window: int | None

    def bias(self, piece: slice, dtype: torch.dtype) -> Tensor:
        """Additive mask (R, 1, 1, C, piece.stop) of a piece of C queries."""
        order = torch.arange(piece.stop, device=self.end.device)
        query = order[piece, None]
        seen = (order <= query) & (query <= self.end[:, None, : piece.stop])
        if self.window is not None:
            distance = self.position[:, piece, None] - self.position[:, None, : piece.stop]
            seen &= distance < self.window
        return torch.where(seen, 0.0, -torch.inf)[:, None, None].to(dtype)


def attend_long(query: Tensor, key: Tensor, value: Tensor, paths: Paths) -> Tensor:
    """Outputs (R, Hq, L, D) of scaled queries (R, Hq, L, D), keys and values (R, Hk, L, D)."""
    out: Tensor = _Long.apply(query, key, value, paths)  # type: ignore[no-untyped-call]
    return out


class _Long(torch.autograd.Function):
    """See ``attend_long``."""

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor, paths: Paths) -> Tensor:
        ctx.save_for_backward(query, key, value)
        ctx.paths = paths
        grouped, out = _grouped(query, key), torch.empty_like(query)
        into = _grouped(out, key)
        for piece, weights in _pieces(grouped, key, paths):
            found = weights.flatten(2, 3) @ value[:, :, : piece.stop]
            into[:, :, :, piece] = found.view_as(into[:, :, :, piece])
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        query, key, value = ctx.saved_tensors
        grouped, pull = _grouped(query, key), _grouped(grads[0].contiguous(), key)
        to_query, to_key, to_value = (torch.zeros_like(one) for one in (query, key, value))
        into = _grouped(to_query, key)
        for piece, weights in _pieces(grouped, key, ctx.paths):
            flat, mine = weights.flatten(2, 3), pull[:, :, :, piece].flatten(2, 3)
            keys, values = key[:, :, : piece.stop], value[:, :, : piece.stop]
            to_value[:, :, : piece.stop] += flat.transpose(2, 3) @ mine
            slope = mine @ values.transpose(2, 3)
            slope = flat * (slope - (slope * flat).sum(dim=-1, keepdim=True))
            into[:, :, :, piece] = (slope @ keys).view_as(into[:, :, :, piece])
            to_key[:, :, : piece.stop] += slope.transpose(2, 3) @ grouped[:, :, :, piece].flatten(2, 3)
        return to_query, to_key, to_value, None


def _grouped(tensor: Tensor, key: Tensor) -> Tensor:
    """(R, Hq, L, D) as (R, Hk, Hq / Hk, L, D)."""
    return tensor.view(tensor.shape[0], key.shape[1], -1, *tensor.shape[2:])


def _pieces(grouped: Tensor, key: Tensor, paths: Paths) -> Iterator[tuple[slice, Tensor]]:
    """Pieces of queries with their weights (R, Hk, Hq / Hk, C, piece.stop)."""
    length = grouped.shape[3]
    for start in range(0, length, PIECE):
        piece = slice(start, min(start + PIECE, length))
        mine = grouped[:, :, :, piece]
        scores = mine.flatten(2, 3) @ key[:, :, : piece.stop].transpose(2, 3)
        shaped = scores.view(*mine.shape[:4], piece.stop)
        yield piece, masked_softmax(shaped, paths.bias(piece, scores.dtype))
