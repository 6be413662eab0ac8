"""RMS normalisation with a frozen weight: the forward of the original, a cheaper backward.

Written out, autograd keeps and revisits several fp32 tensors for every normalisation.
With r = 1/sqrt(mean(x^2) + eps) and u = w * g the gradient is
``r * u - x * r^3 * mean(u * x)`` (Zhang & Sennrich, arXiv:1910.07467, differentiated by hand).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

# classes whose forward is ``weight * (x * r).to(x.dtype)`` in fp32; others (Gemma's) are left alone
_PLAIN = frozenset({"LlamaRMSNorm", "MistralRMSNorm", "Qwen2RMSNorm", "Qwen3RMSNorm"})


class _Normalise(torch.autograd.Function):
    """x (..., d), weight (d,) without gradient, eps."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, eps: float) -> Tensor:
        wide = x.to(torch.float32)
        scale = torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + eps)
        ctx.save_for_backward(x, weight, scale)
        return weight * wide.mul_(scale).to(x.dtype) if x.dtype != torch.float32 else weight * (x * scale)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        x, weight, scale = ctx.saved_tensors
        inner = grads[0] * weight.float()  # fp32 by promotion
        along = torch.linalg.vecdot(inner, x.float()).unsqueeze(-1)
        along.mul_(scale.pow(3)).div_(-x.shape[-1])
        return inner.mul_(scale).addcmul_(x.float(), along).to(x.dtype), None, None


class FrozenRMSNorm(nn.Module):
    """Takes the place of a normalisation of the ``_PLAIN`` classes."""

    def __init__(self, original: nn.Module) -> None:
        """Shares the original's weight and epsilon."""
        super().__init__()
        self.weight: Tensor = original.weight  # type: ignore[assignment]
        self._eps = float(original.variance_epsilon)  # type: ignore[arg-type]
        self._original = [original]

    def forward(self, x: Tensor) -> Tensor:
        """(..., d) to (..., d)."""
        if torch.is_grad_enabled() and x.requires_grad:
            out: Tensor = _Normalise.apply(x, self.weight, self._eps)  # type: ignore[no-untyped-call]
            return out
        original: Tensor = self._original[0](x)
        return original


def freeze_norms(model: nn.Module) -> int:
    """Replace every normalisation of a known class in place; returns how many."""
    found = [(path, module) for path, module in model.named_modules() if type(module).__name__ in _PLAIN]
    for path, module in found:
        parent, _, name = path.rpartition(".")
        setattr(model.get_submodule(parent), name, FrozenRMSNorm(module))
    return len(found)
