"""Values of trees, pairs of siblings and the loss of preferences, against numbers worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch

from neuromas.learning.losses import dpo_loss
from neuromas.learning.trees import positive, sibling_pairs, tree_values

LEAVES = [1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0]  # two branches, three levels


def test_a_value_is_the_mean_of_the_children():
    assert tree_values(LEAVES, 2) == [[0.75, 0.25], [1.0, 0.5, 0.0, 0.5], LEAVES]
    assert tree_values([0.0, 1.0, 1.0], 3) == [[0.0, 1.0, 1.0]]
    nine = tree_values([1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0], 3)
    assert nine[0] == [pytest.approx(2 / 3), 0.0, pytest.approx(1 / 3)]


def test_what_has_no_reward_enters_no_mean():
    assert tree_values([1.0, None, None, None], 2) == [[1.0, None], [1.0, None, None, None]]
    assert positive([1.0, None], 0.5) == [0]
    assert sibling_pairs([1.0, None, 0.0, 1.0], 2, 0.5) == [(3, 2)]


@pytest.mark.parametrize("leaves", [[], [1.0], [1.0] * 3, [1.0] * 6, [1.0] * 12])
def test_a_tree_is_whole(leaves):
    with pytest.raises(ValueError, match="no tree of 2 branches"):
        tree_values(leaves, 2)


def test_pairs_are_of_one_parent_and_above_the_threshold():
    one, two, three = tree_values(LEAVES, 2)
    assert sibling_pairs(one, 2, 0.5) == [(0, 1)]
    assert sibling_pairs(two, 2, 0.5) == [(0, 1)]  # 0 and 0.5: neither is above
    assert sibling_pairs(three, 2, 0.5) == [(2, 3), (6, 7)]
    assert sibling_pairs(two, 2, 0.4) == [(3, 2)]  # 1 and 0.5 are both above
    assert sibling_pairs([1.0, 0.0, 1.0], 3, 0.5) == [(0, 1), (2, 1)]
    assert positive(two, 0.5) == [0]


def test_the_loss_of_a_pair():
    good = torch.tensor([0.0, 10 * math.log(3), 1.0], dtype=torch.float64)
    other = torch.tensor([0.0, 0.0, 11.0], dtype=torch.float64)
    # sigmoid of 0, ln 3 and -1: 1/2, 3/4, 1 / (1 + e)
    wanted = [math.log(2), -math.log(0.75), math.log(1 + math.e)]
    assert dpo_loss(good, other, 0.1).tolist() == pytest.approx(wanted)


def test_the_slope_of_the_loss():
    """d loss / d good = - beta * sigmoid(- beta * margin): 0.1 / 2 at no margin, 0.1 / 4 at ln 3."""
    good = torch.tensor([0.0, 10 * math.log(3)], dtype=torch.float64, requires_grad=True)
    dpo_loss(good, torch.zeros(2, dtype=torch.float64), 0.1).sum().backward()
    assert good.grad.tolist() == pytest.approx([-0.05, -0.025])
