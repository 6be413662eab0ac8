"""A frozen backbone in fewer bits: int8 by torchao, 4-bit NormalFloat by bitsandbytes. Both are optional.

Only the linear maps of the decoder's layers are changed: embedding, head and norms stay in the model's dtype,
and so do adapters (QLoRA, arXiv:2305.14314, has the idea). Sampling and scoring multiply by the same restored
weights, so that quantising moves both alike.
"""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from neuromas.core.errors import ModelError, unknown

WAYS = ("none", "int8", "nf4")
_PACKAGES = {"int8": "torchao", "nf4": "bitsandbytes"}
_BLOCK = 64  # weights that share a scale in nf4


def quantise(model: Any, way: str) -> int:
    """Replace the decoder's linear maps in place; returns how many.

    Raises ModelError, one line, for an unknown way or one whose package is not installed.
    """
    if way not in WAYS:
        raise ModelError(unknown("model.quantise", way, WAYS))
    if way == "none":
        return 0
    decoder, head = model.get_decoder(), model.get_output_embeddings()
    found = [one for one in decoder.modules() if type(one) is nn.Linear and one is not head]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of kernels for machines that this one is not
            (_to_int8 if way == "int8" else _to_nf4)(found)
    except ImportError as error:
        raise ModelError(
            f"model.quantise = {way!r} needs the package {_PACKAGES[way]}: pip install 'neuromas[quantise]'"
        ) from error
    return len(found)


def _to_int8(found: list[nn.Linear]) -> None:
    """Weights as int8 with one scale an output, by rounding to the nearest."""
    from torchao.quantization import Int8WeightOnlyConfig, quantize_

    for module in found:
        quantize_(module, Int8WeightOnlyConfig())
        module.requires_grad_(False)


def _to_nf4(found: list[nn.Linear]) -> None:
    """Weights as 4-bit NormalFloat, one scale for ``_BLOCK`` of them."""
    from bitsandbytes.functional import dequantize_4bit, quantize_4bit

    for module in found:
        packed, state = quantize_4bit(module.weight.detach(), blocksize=_BLOCK, quant_type="nf4")
        module.__class__ = NF4Linear
        del module.weight
        module.register_buffer("packed", packed, persistent=False)
        module.state, module.restore = state, dequantize_4bit


class NF4Linear(nn.Linear):
    """Restores its weight for each product and keeps none of it for the backward. Made by ``quantise``.

    bitsandbytes' own layer reorders its weight in place when it is first called, which threads side by side
    would do to each other, and takes other kernels with gradients than without.
    """

    packed: Tensor
    state: Any
    restore: Any

    @property
    def whole(self) -> Tensor:
        """The weight (out_features, in_features) as it is multiplied by."""
        weight: Tensor = self.restore(self.packed, self.state)
        return weight

    def forward(self, x: Tensor) -> Tensor:
        """(..., in_features) to (..., out_features)."""
        if torch.is_grad_enabled() and x.requires_grad:
            out: Tensor = _Product.apply(x, self)  # type: ignore[no-untyped-call]
            return out
        return linear(x, self.whole, self.bias)


class _Product(torch.autograd.Function):
    """x (..., in) times the restored weight; the gradient of x alone."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, layer: NF4Linear) -> Tensor:
        ctx.layer = layer
        return linear(x, layer.whole, layer.bias)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        return grads[0] @ ctx.layer.whole, None
