"""Attention written once for every backbone, steered by a plan instead of by masks and caches.

Transformers hands each layer's queries, keys and values (rotary positions already applied) to
``attend``; the plan that travels with the forward call decides what they see. Two plans exist:
``PackedPlan`` for training (one row holds a shared prompt prefix and all its samples) and the
sampler's ``CachePlan``. Attention is written as matrix products: on CPUs the backward of the fused
kernel costs several times more.
"""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import Tensor

from neuromas.errors import ModelError

IMPLEMENTATION = "neuromas"


class Plan(Protocol):
    """Decides what the queries of one forward pass see, layer by layer."""

    def attend(
        self, layer: int, qkv: tuple[Tensor, Tensor, Tensor], scale: float, window: int | None
    ) -> Tensor:
        """Queries (R, Hq, L, D), keys and values (R, Hk, L, D) to outputs (R, L, Hq, D)."""
        ...


def attend(
    module: Any, query: Tensor, key: Tensor, value: Tensor, attention_mask: Any = None, **options: Any
) -> tuple[Tensor, None]:
    """The function transformers calls in every layer; the forward call must carry ``plan=``."""
    plan: Plan | None = options.get("plan")
    if plan is None:
        raise ModelError("this model was loaded for NeuroMAS and runs only through its sampler and scorer")
    if options.get("softcap") is not None or options.get("s_aux") is not None:
        raise ModelError("backbones with soft-capped attention or attention sinks are not supported")
    scale = float(options.get("scaling") or module.head_dim**-0.5)
    out = plan.attend(module.layer_idx, (query, key, value), scale, options.get("sliding_window"))
    return out, None


def register() -> None:
    """Make ``attn_implementation="neuromas"`` known to transformers. Harmless to repeat."""
    from transformers import AttentionInterface

    AttentionInterface.register(IMPLEMENTATION, attend)


def masked_softmax(scores: Tensor, bias: Tensor) -> Tensor:
    """Softmax over the last axis in fp32 after adding ``bias`` (0 or -inf), in the scores' dtype."""
    return torch.softmax(scores.float() + bias, dim=-1).to(scores.dtype)


class PackedPlan:
    """Rows that hold a prefix and several branches; a branch sees the prefix and itself.

    ``branch`` (R, L): -1 padding, 0 prefix, 1.. branches. ``position`` (R, L): place in the unpacked
    sequence. Equal to running every branch behind its own copy of the prefix.
    """

    def __init__(self, branch: Tensor, position: Tensor) -> None:
        """Both (R, L), on the model's device."""
        same = branch[:, :, None] == branch[:, None, :]
        seen = (same | (branch[:, None, :] == 0)) & (branch[:, None, :] >= 0)
        distance = position[:, :, None] - position[:, None, :]
        seen &= distance >= 0
        # a padding query sees itself, so that no softmax is empty
        eye = torch.eye(branch.shape[1], dtype=torch.bool, device=branch.device)
        self._seen = seen | eye
        self._distance = distance
        self._biases: dict[int | None, Tensor] = {}

    def _bias(self, window: int | None) -> Tensor:
        """(R, 1, 1, L, L) additive mask, built once for each window size."""
        if window not in self._biases:
            seen = self._seen if window is None else self._seen & (self._distance < window)
            zero = torch.zeros((), device=seen.device)
            self._biases[window] = torch.where(seen, zero, -torch.inf)[:, None, None]
        return self._biases[window]

    def attend(
        self, layer: int, qkv: tuple[Tensor, Tensor, Tensor], scale: float, window: int | None
    ) -> Tensor:
        """Grouped-query attention as two matrix products. See ``Plan.attend``."""
        query, key, value = qkv
        rows, heads, length, width = query.shape
        kv_heads = key.shape[1]
        grouped = (query * scale).reshape(rows, kv_heads, (heads // kv_heads) * length, width)
        scores = grouped @ key.transpose(2, 3)
        shaped = scores.view(rows, kv_heads, heads // kv_heads, length, length)
        weights = masked_softmax(shaped, self._bias(window)).view_as(scores)
        return (weights @ value).view(rows, heads, length, width).transpose(1, 2)
