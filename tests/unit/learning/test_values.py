"""GAE, normalisation and the critic's loss, against numbers worked out by hand."""

from __future__ import annotations

import pytest
import torch

from neuromas.learning.values import explained_variance, gae, normalised, value_loss

REWARDS, VALUES = [0.0, 0.0, 1.0], [0.2, 0.5, 0.6]


@pytest.mark.parametrize(
    ("gamma", "lam", "advantages", "targets"),
    [
        # deltas: 0.9 * 0.5 - 0.2 = 0.25, 0.9 * 0.6 - 0.5 = 0.04, 1 - 0.6 = 0.4
        # A_2 = 0.4, A_1 = 0.04 + 0.45 * 0.4 = 0.22, A_0 = 0.25 + 0.45 * 0.22 = 0.349
        (0.9, 0.5, [0.349, 0.22, 0.4], [0.549, 0.72, 1.0]),
        (0.9, 0.0, [0.25, 0.04, 0.4], [0.45, 0.54, 1.0]),  # the deltas alone: CoLLM's
        (1.0, 1.0, [0.8, 0.5, 0.4], [1.0, 1.0, 1.0]),  # R - V: a learned baseline
        (0.0, 0.95, [-0.2, -0.5, 0.4], [0.0, 0.0, 1.0]),
    ],
)
def test_gae_by_hand(gamma, lam, advantages, targets):
    found = gae(REWARDS, VALUES, gamma, lam)
    assert found[0] == pytest.approx(advantages)
    assert found[1] == pytest.approx(targets)


def test_gae_of_rewards_on_the_way():
    # deltas: 0.1 + 0.5 * 0.4 - 0.3 = 0, 0.8 - 0.4 = 0.4; A_0 = 0 + 0.5 * 0.4
    assert gae([0.1, 0.8], [0.3, 0.4], 0.5, 1.0)[0] == pytest.approx([0.2, 0.4])


def test_gae_of_one_and_of_nothing():
    assert gae([0.75], [0.25], 0.99, 0.95) == ([0.5], [0.75])
    assert gae([], [], 0.99, 0.95) == ([], [])
    with pytest.raises(ValueError, match="longer"):
        gae([1.0], [1.0, 0.0], 0.99, 0.95)


def test_advantages_add_up_to_what_was_not_expected():
    """With gamma = 1 the deltas are a telescope: their sum is R - V_0 (advantage decomposition)."""
    deltas, _ = gae(REWARDS, VALUES, 1.0, 0.0)
    assert sum(deltas) == pytest.approx(1.0 - 0.2)


def test_normalised():
    assert normalised([1.0, 2.0, 3.0, 6.0]) == pytest.approx([-1.0690450, -0.5345225, 0.0, 1.6035675])
    assert normalised([0.3, 0.3]) == [0.0, 0.0]
    assert normalised([5.0]) == [0.0]
    assert normalised([]) == []


def test_the_critics_loss_by_hand():
    values, before = torch.tensor([0.5, 3.0]), torch.zeros(2)
    targets = torch.tensor([1.0, 0.0])
    # squared: 0.125 and 4.5; Huber's at 1: 0.125 and 3 - 0.5
    assert float(value_loss(values, before, targets, 0.0, 0.0)) == pytest.approx((0.125 + 4.5) / 2)
    assert float(value_loss(values, before, targets, 1.0, 0.0)) == pytest.approx((0.125 + 2.5) / 2)
    # kept within 0.2 of before: 0.2 misses 1 by 0.8, which is the larger error; 3 is worse than 0.2
    assert float(value_loss(values, before, targets, 1.0, 0.2)) == pytest.approx((0.32 + 2.5) / 2)


def test_no_gain_beyond_the_clip():
    values = torch.tensor([0.5], requires_grad=True)
    value_loss(values, torch.zeros(1), torch.tensor([1.0]), 0.0, 0.2).backward()
    assert float(values.grad) == 0.0
    values = torch.tensor([0.1], requires_grad=True)
    value_loss(values, torch.zeros(1), torch.tensor([1.0]), 0.0, 0.2).backward()
    assert float(values.grad) == pytest.approx(-0.9)


def test_explained_variance():
    assert explained_variance([0.0, 1.0], [0.0, 1.0]) == 1.0
    assert explained_variance([0.5, 0.5], [0.0, 1.0]) == 0.0
    assert explained_variance([1.0, 0.0], [0.0, 1.0]) == -3.0
    assert explained_variance([0.5, 0.1], [1.0, 1.0]) is None
    assert explained_variance([], []) is None
