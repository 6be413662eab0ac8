"""PPO's clip of a token's ratio and of a whole message's, by hand."""

from __future__ import annotations

import math

import pytest
import torch

from neuromas.learning.losses import Weights, policy_loss

KEYS = torch.tensor([1, 0, 1])
WEIGHTS = Weights(torch.tensor([2.0, -1.0]), torch.tensor([0.5, 0.25]))


def test_a_ratio_of_tokens_and_one_of_messages():
    now, before = torch.tensor([-1.0, -2.0, -3.0]), torch.tensor([-1.2, -2.0, -2.5])
    # message 0 has not moved: 0.5 * 2. Of message 1 e^0.2 > 1.2 is worse unclipped, e^-0.5 clips at 0.8
    tokens = -(0.5 * 2.0 + 0.25 * (-math.exp(0.2) - 0.8))
    assert float(policy_loss(now, KEYS, WEIGHTS, before=(before, 0.2))) == pytest.approx(tokens)
    # the whole of message 1: e^(0.2 - 0.5) clips at 0.8
    whole = -(0.5 * 2.0 + 0.25 * -0.8)
    assert float(policy_loss(now, KEYS, WEIGHTS, before=(before, 0.2), whole=True)) == pytest.approx(whole)
    near = -(0.5 * 2.0 + 0.25 * -math.exp(-0.3))
    assert float(policy_loss(now, KEYS, WEIGHTS, before=(before, 0.4), whole=True)) == pytest.approx(near)


def test_at_ratio_one_all_gradients_agree():
    gradients = []
    for further, whole in ((False, False), (True, False), (True, True)):
        now = torch.tensor([-1.0, -2.0, -3.0], requires_grad=True)
        before = (now.detach(), 0.2) if further else None
        policy_loss(now, KEYS, WEIGHTS, before=before, whole=whole).backward()
        gradients.append(now.grad)
    torch.testing.assert_close(gradients[0], torch.tensor([0.25, -1.0, 0.25]))
    assert torch.equal(gradients[0], gradients[1])
    torch.testing.assert_close(gradients[0], gradients[2])


def test_a_clipped_message_has_no_gradient():
    now = torch.tensor([-1.0, -2.0, -3.0], requires_grad=True)
    before = torch.tensor([-1.0, -2.0, -2.5])
    policy_loss(now, KEYS, WEIGHTS, before=(before, 0.2), whole=True).backward()
    assert now.grad.tolist() == pytest.approx([0.0, -1.0, 0.0])
