"""Attention written once for every backbone, steered by a plan instead of by masks and caches.

Transformers hands each layer's queries, keys and values (rotary positions already applied) to
``attend``; the plan that travels with the forward call decides what they see. Two plans exist:
``TreePlan`` for prompts and for training (sequences that share beginnings are one tree) and the
sampler's ``CachePlan``. Attention is written as matrix products: on CPUs the backward of the fused
kernel costs several times more.
"""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import Tensor

from neuromas.core.errors import ModelError

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
    """Softmax over the last axis after adding ``bias`` (0 or -inf) to ``scores`` in place.

    In the scores' own dtype: the kernel sums in fp32 inside, and 0 and -inf are exact in any dtype, so
    an fp32 copy would cost memory traffic and change nothing but the last rounding.
    """
    return torch.softmax(scores.add_(bias), dim=-1)
