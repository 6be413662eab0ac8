"""Attention in pieces is attention in one: outputs, gradients, trees, windows; and its memory is linear."""

from __future__ import annotations

import pytest
import torch

from neuromas.models import long_rows, prefix_tree
from neuromas.models.prefix_tree import TreePlan, build_trees, pad_trees


def batch():
    """Two trees that branch, of different lengths, the second padded."""
    one = [tuple(range(40)), (*range(20), *range(90, 110)), (*range(20), *range(90, 95), 7, 8)]
    trees, _ = build_trees([(0, tokens) for tokens in one] + [(1, tuple(range(30)))])
    assert len(trees) == 2
    return pad_trees(trees, torch.device("cpu"))


def attended(hard, window, piece, monkeypatch):
    given = batch()
    monkeypatch.setattr(prefix_tree, "HARD_LENGTH", hard)
    monkeypatch.setattr(long_rows, "PIECE", piece)
    rows, length = given.ids.shape
    generator = torch.Generator().manual_seed(0)
    shapes = ((rows, 6, length, 8), (rows, 2, length, 8), (rows, 2, length, 8))
    qkv = tuple(torch.randn(shape, generator=generator).requires_grad_() for shape in shapes)
    out = TreePlan(given).attend(0, qkv, 0.3, window)
    pull = torch.randn(out.shape, generator=generator)
    return out, torch.autograd.grad((out * pull).sum(), qkv)


@pytest.mark.parametrize("window", [None, 9])
@pytest.mark.parametrize("piece", [1, 7, 64, 500])
def test_pieces_are_the_whole(window, piece, monkeypatch):
    out, grads = attended(10_000, window, piece, monkeypatch)
    ours, found = attended(5, window, piece, monkeypatch)
    torch.testing.assert_close(ours, out, rtol=1e-5, atol=1e-6)
    for one, other in zip(found, grads, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def test_nothing_of_the_rows_square_is_made_or_kept():
    """Numbers in the largest tensor that an operation makes: linear in the length."""
    from torch.utils._python_dispatch import TorchDispatchMode

    class Largest(TorchDispatchMode):
        most = 0

        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            out = func(*args, **(kwargs or {}))
            if isinstance(out, torch.Tensor):
                Largest.most = max(Largest.most, out.numel())
            return out

    found = []
    for length in (640, 1280):
        trees, _ = build_trees([(0, tuple(range(length)))])
        qkv = tuple(torch.randn(1, heads, length, 4, requires_grad=True) for heads in (4, 2, 2))
        Largest.most = 0
        with Largest():
            plan = TreePlan(pad_trees(trees, torch.device("cpu")))
            plan.attend(0, qkv, 0.5, None).sum().backward()
        found.append(Largest.most)
    assert found[1] <= 2 * found[0]
    assert found[1] == 4 * long_rows.PIECE * 1280
