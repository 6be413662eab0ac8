"""Exact draws from a softmax over a large vocabulary."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

_BLOCK = 256
_CACHED_ROWS = 32


def uniforms(seeds: Sequence[int], count: int) -> Tensor:
    """(len(seeds), count) numbers in [0, 1), row i a function of ``seeds[i]`` alone. float64, CPU."""
    rows = [np.random.Generator(np.random.Philox(key=seed)).random(count) for seed in seeds]
    return torch.from_numpy(np.stack(rows)) if rows else torch.empty(0, count, dtype=torch.float64)


def draw(
    logits: Tensor, temperature: float, uniform: Tensor, rows: Sequence[int] | None = None
) -> tuple[Tensor, Tensor]:
    """Sample ids (N,) and their log-probabilities (N,) from softmax(logits / temperature).

    ``logits`` (R, V), ``uniform`` (N,) in [0, 1), and ``rows`` (N,), never falling, the row of logits each
    is a draw from; without it there is one of every row. Inverse of the cumulative distribution in two
    stages: first the block of 256 tokens, then the token within it; no top-k, no top-p.
    ``temperature`` 0 takes the largest logit, with log-probability 0.
    """
    device = logits.device
    row = torch.arange(len(logits)) if rows is None else torch.tensor(rows)
    if temperature == 0.0:
        ids = logits.argmax(dim=-1)[row.to(device)]
        return ids, torch.zeros(ids.shape, device=device)
    # a few rows at a time stay in a CPU core's cache; a GPU takes them all at once
    size = _CACHED_ROWS if device.type == "cpu" else max(1, len(logits))
    starts = torch.arange(0, len(logits), size)
    drawn = torch.searchsorted(row, starts).tolist()
    pieces = [
        _invert(
            logits[start : start + size], temperature, uniform[a:b].to(device), (row[a:b] - start).to(device)
        )
        for start, a, b in zip(starts.tolist(), drawn, [*drawn[1:], len(row)], strict=True)
    ]
    return torch.cat([ids for ids, _ in pieces]), torch.cat([logprobs for _, logprobs in pieces])


def _invert(logits: Tensor, temperature: float, uniform: Tensor, row: Tensor) -> tuple[Tensor, Tensor]:
    """``draw`` for rows that are handled together."""
    rows, size = logits.shape
    weight = logits.to(torch.float32)  # a copy wherever the next lines write, unless already fp32
    weight = (weight - weight.amax(dim=-1, keepdim=True)).div_(temperature).exp_()
    if size % _BLOCK:
        weight = torch.nn.functional.pad(weight, (0, _BLOCK - size % _BLOCK))
    blocks = weight.view(rows, -1, _BLOCK)
    upto = blocks.sum(dim=-1).to(torch.float64).cumsum(dim=-1)[row]
    total = upto[:, -1:]
    point = uniform[:, None] * total
    block = torch.searchsorted(upto, point, right=True).clamp_(max=upto.shape[1] - 1)
    start = torch.where(block > 0, upto.gather(1, (block - 1).clamp(min=0)), torch.zeros_like(point))
    inside = blocks[row, block[:, 0]].to(torch.float64)
    token = torch.searchsorted(inside.cumsum(dim=-1), point - start, right=True).clamp_(max=_BLOCK - 1)
    # rounding may point at a token of zero weight; the block's likeliest token is then as near as any
    chosen = inside.gather(1, token)
    token = torch.where(chosen > 0, token, inside.argmax(dim=-1, keepdim=True))
    chosen = inside.gather(1, token)
    return (block * _BLOCK + token)[:, 0], (chosen.log() - total.log())[:, 0].float()
