"""Frozen linear layers with a second copy of their weight in the order oneDNN's kernel reads it.

For few rows, as in decoding, a plain product spends much of its time on bringing the weight into that
order, each time anew. With hundreds of rows it does not matter. The copy costs the weight's size once more.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class PackedLinear(nn.Linear):
    """Takes the packed copy wherever no gradient is asked for. Made by ``pack_linears``."""

    packed: Tensor

    def forward(self, x: Tensor) -> Tensor:
        """(..., in_features) to (..., out_features)."""
        if torch.is_grad_enabled():
            return super().forward(x)
        out: Tensor = torch.ops.mkldnn._linear_pointwise(x, self.packed, self.bias, "none", [], "")
        return out


def can_pack() -> bool:
    """Whether this torch and this CPU have the kernel (bf16 in hardware)."""
    kernels = torch.ops.mkldnn
    wanted = ("_linear_pointwise", "_reorder_linear_weight", "_is_mkldnn_bf16_supported")
    return (
        torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
        and all(hasattr(kernels, name) for name in wanted)
        and bool(kernels._is_mkldnn_bf16_supported())
    )


def pack_linears(model: nn.Module) -> int:
    """Pack every frozen bf16 linear layer on the CPU in place; returns how many."""
    found = [
        module
        for module in model.modules()
        if type(module) is nn.Linear
        and type(module.weight) is nn.Parameter  # a quantised one is of a class of its own
        and module.weight.device.type == "cpu"
        and module.weight.dtype == torch.bfloat16
        and not module.weight.requires_grad
    ]
    if not found or not can_pack():
        return 0
    for module in found:
        module.__class__ = PackedLinear
        module.packed = torch.ops.mkldnn._reorder_linear_weight(module.weight.detach(), None)
    return len(found)
