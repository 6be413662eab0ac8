"""Distributions taken in blocks are those taken at once, bit for bit, in a fraction of the memory."""

from __future__ import annotations

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from neuromas.learner import distributions as module


def given(places=9, size=50, tokens=14):
    generator = torch.Generator().manual_seed(0)
    logits, base = (torch.randn(places, size, generator=generator) for _ in range(2))
    place = torch.cat([torch.arange(places), torch.tensor([0, 3, 3, 3, 8])]).sort().values
    target = torch.randint(0, size, (tokens,), generator=generator)
    by_place = torch.rand(places, generator=generator) + 0.5
    return logits.requires_grad_(), [base, -base], place, target, by_place[place]


def learned():
    logits, bases, place, target, temperature = given()
    chosen, entropy, kls = module.distributions(logits, bases, place, target, temperature)
    weight = torch.linspace(-1, 1, len(place))
    total = (weight * (chosen + 0.1 * entropy)).sum() + 0.2 * kls[0].sum() - 0.3 * kls[1].sum()
    return chosen, entropy, *kls, *torch.autograd.grad(total, logits)


@pytest.mark.parametrize("block", [1, 100, 150, 449])
def test_blocks_are_the_whole(block, monkeypatch):
    expected = learned()
    monkeypatch.setattr(module, "_WHOLE", 0)
    monkeypatch.setattr(module, "_BLOCK", block)
    for found, wanted in zip(learned(), expected, strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-6, atol=1e-7)


def test_no_block_keeps_more_than_its_logits(monkeypatch):
    """fp32 tensors of a block's size are made and dropped; none of all places is."""
    monkeypatch.setattr(module, "_WHOLE", 0)
    monkeypatch.setattr(module, "_BLOCK", 100)
    made = []

    class Sizes(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            out = func(*args, **(kwargs or {}))
            made.extend(one.numel() for one in [out] if isinstance(one, torch.Tensor))
            return out

    logits, bases, place, target, temperature = given()
    with Sizes():
        module.distributions(logits, bases, place, target, temperature)
    assert max(made) <= 4 * 100  # the third place predicts four tokens
