"""Latin trees as arrays: complete binary trees of secret tables, and policies that replace the tables.

Places are numbered as in a heap: node v reads places 2v + 1 and 2v + 2; places 0 .. M-1 are nodes (0 is
the root), places M .. 2M are the symbols shown. So M = 2**H - 1, and the first n nodes are always a tree.
A table is a Latin square over m symbols: with one argument fixed it is a permutation of the other, hence
one wrong argument always gives a wrong result, two wrong arguments may cancel (docs/method.md, "the toy").

Axes: S systems (independent trees), B problems, M nodes, m symbols. All functions are pure; a generator
is always an argument.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def check_tree(nodes: int, symbols: int) -> None:
    """Raise ValueError unless ``nodes`` is 2**H - 1 with H >= 1 and there are at least two symbols."""
    if nodes < 1 or nodes & (nodes + 1):
        raise ValueError(f"{nodes} nodes are no complete binary tree (1, 3, 7, 15, ...)")
    if symbols < 2:
        raise ValueError(f"{symbols} symbols, at least 2 are needed")


def draw_tables(rng: np.random.Generator, systems: int, nodes: int, symbols: int) -> Ints:
    """Secret Latin squares (S, M, m, m): isotopes of addition modulo m, as the task ``hier`` draws them."""
    order = np.tile(np.arange(symbols), (systems, nodes, 3, 1))
    first, second, outer = np.moveaxis(rng.permuted(order, axis=-1), 2, 0)
    total = (first[..., :, None] + second[..., None, :]) % symbols
    flat = np.take_along_axis(outer, total.reshape(systems, nodes, -1), axis=-1)
    return flat.reshape(systems, nodes, symbols, symbols).astype(np.int64)


def true_values(tables: Ints, shown: Ints) -> Ints:
    """Right value of every place (S, B, 2M + 1), from the symbols shown (S, B, M + 1)."""
    systems, nodes = tables.shape[:2]
    values = np.empty((systems, shown.shape[1], 2 * nodes + 1), dtype=np.int64)
    values[..., nodes:] = shown
    rows = np.arange(systems)[:, None]
    for v in reversed(range(nodes)):
        values[..., v] = tables[rows, v, values[..., 2 * v + 1], values[..., 2 * v + 2]]
    return values


def noisy_policies(tables: Ints, errors: Floats) -> Floats:
    """Policies (S, M, m, m, m): node v is right on its actual inputs with probability 1 - errors[v].

    Otherwise it writes one of the m - 1 wrong symbols, each with probability errors[v] / (m - 1).
    """
    symbols = tables.shape[-1]
    right = tables[..., None] == np.arange(symbols)
    wide = np.asarray(errors, dtype=np.float64)[None, :, None, None, None]
    return np.where(right, 1.0 - wide, wide / (symbols - 1))


def root_distribution(policies: Floats, shown: Ints, forced: Mapping[int, int] | None = None) -> Floats:
    """Exact distribution (S, B, m) of the root's message; no sampling.

    Subtrees of a tree are independent given the symbols shown, so the distribution of a node's message is
    p_v(c) = sum_ab p_left(a) p_right(b) pi_v(c | a, b). ``forced`` fixes messages: node -> symbol.
    """
    systems, nodes, symbols = policies.shape[:3]
    rows, unit = np.arange(systems)[:, None], np.eye(symbols)
    below: dict[int, Floats] = {nodes + i: unit[shown[..., i]] for i in range(nodes + 1)}
    for v in reversed(range(nodes)):
        left, right = below.pop(2 * v + 1), below.pop(2 * v + 2)
        if forced is not None and v in forced:
            below[v] = np.broadcast_to(unit[forced[v]], left.shape)
        elif 2 * v + 1 >= nodes:  # both inputs are shown: look the row up
            below[v] = policies[rows, v, shown[..., 2 * v + 1 - nodes], shown[..., 2 * v + 2 - nodes]]
        else:
            below[v] = np.einsum("sba,sbc,sacd->sbd", left, right, policies[:, v], optimize=True)
    return below[0]
