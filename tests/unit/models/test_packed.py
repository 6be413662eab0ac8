"""Packed frozen layers: the same products, the same gradients, nothing else changed."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from neuromas.models.adapters import AdapterBank, LoraSpec
from neuromas.models.packed import PackedLinear, can_pack, pack_linears

packing = pytest.mark.skipif(not can_pack(), reason="this CPU or torch has no packed bf16 products")


def _model(dtype: torch.dtype = torch.bfloat16) -> nn.Sequential:
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Linear(64, 96), nn.ReLU(), nn.Linear(96, 32, bias=False))
    return layers.to(dtype).requires_grad_(False)


@packing
@pytest.mark.parametrize("shape", [(1, 64), (16, 64), (3, 5, 64), (300, 64)])
def test_products_are_those_of_the_plain_layer(shape):
    plain, packed = _model(), _model()
    assert pack_linears(packed) == 2
    x = torch.randn(shape, dtype=torch.bfloat16)
    with torch.inference_mode():
        expected, found = plain(x), packed(x)
    assert found.shape == expected.shape
    torch.testing.assert_close(found, expected, rtol=2e-2, atol=2e-2)


@packing
def test_gradients_are_those_of_the_plain_layer():
    plain, packed = _model(), _model()
    pack_linears(packed)
    found = []
    for model in (plain, packed):
        x = torch.linspace(-1, 1, 640).view(10, 64).bfloat16().requires_grad_()
        model(x).float().square().sum().backward()
        found.append(x.grad)
    assert torch.equal(found[0], found[1])


@packing
def test_a_packed_model_has_the_same_state_and_takes_adapters():
    plain, packed = _model(), _model()
    pack_linears(packed)
    assert plain.state_dict().keys() == packed.state_dict().keys()
    assert pack_linears(packed) == 0  # once is enough
    bank = AdapterBank(packed, LoraSpec(rank=2, targets=("2",)), 1, 0)
    assert [slot.path for slot in bank.slots] == ["2"]


@pytest.mark.parametrize("why", ["fp32", "trainable"])
def test_what_is_not_frozen_bf16_stays_as_it_is(why):
    model = _model(torch.float32 if why == "fp32" else torch.bfloat16)
    model.requires_grad_(why == "trainable")
    assert pack_linears(model) == 0
    assert not any(isinstance(module, PackedLinear) for module in model)


def test_a_machine_without_the_kernel_keeps_plain_layers(monkeypatch):
    monkeypatch.setattr("neuromas.models.packed.can_pack", lambda: False)
    assert pack_linears(_model()) == 0
