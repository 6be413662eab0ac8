"""Forward, scoring, sampling and an update on a device that is no CPU: no tensor is left on the wrong one."""

from __future__ import annotations

import pytest
import torch
from fake_card import OnCard, fake_card
from test_gpu import requests, resident

from neuromas.engines.local.engine import LocalEngine
from neuromas.learner.gradient import Objective, accumulate
from neuromas.learner.scorer import Message
from neuromas.learning.losses import Weights
from neuromas.models import prefix_tree

ENDS = frozenset({256})


def messages():
    spoken = LocalEngine(resident("cpu")).generate(requests(), 1.0, ENDS)
    return [
        Message(i, r.adapter, r.prefix, r.suffix, g.ids)
        for i, (r, g) in enumerate(zip(requests(), spoken, strict=True))
    ]


def learned(device, objective):
    """Sums and gradients of one update on the device, on the CPU."""
    given, made = messages(), resident(device)
    weights = Weights(torch.linspace(-1, 1, len(given)), torch.full((len(given),), 0.1))
    found = accumulate(made, given, weights, 1.0, objective)
    return made, found, [parameter.grad.cpu() for parameter in made.bank.parameters]


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_messages_are_those_of_the_cpu(temperature):
    expected = LocalEngine(resident("cpu")).generate(requests(), temperature, ENDS)
    with fake_card():
        made = resident("card:0")
        found = LocalEngine(made).generate(requests(), temperature, ENDS)
    assert isinstance(made.backbone.model.lm_head.weight, OnCard)
    assert [one.ids for one in found] == [one.ids for one in expected]
    for one, other in zip(found, expected, strict=True):
        assert one.logprobs == pytest.approx(other.logprobs, abs=1e-4)


@pytest.mark.parametrize("objective", [Objective(), Objective(entropy=0.1, kl=0.1)], ids=["plain", "kl"])
def test_gradients_are_those_of_the_cpu(objective):
    _, expected, there = learned("cpu", objective)
    with fake_card():
        made, found, here = learned("card:0", objective)
    assert all(isinstance(parameter, OnCard) for parameter in made.bank.parameters)
    assert found.loss == pytest.approx(expected.loss, abs=1e-5)
    for one, other in zip(here, there, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def test_a_tensor_left_on_the_cpu_is_found(monkeypatch):
    """The same run with one tensor not moved: what a card would refuse is refused here."""
    monkeypatch.setattr(prefix_tree.TreePlan, "_bias", _unmoved)
    with fake_card(), pytest.raises(RuntimeError, match="same device"):
        learned("card:0", Objective())


def _unmoved(self, window, dtype):
    length = self._batch.end.shape[1]
    return torch.zeros(length, length, dtype=dtype)
