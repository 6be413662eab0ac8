"""Token sequences that share beginnings, laid out so that every shared token is forwarded once.

A prefix tree is one row of a forward pass, its tokens in depth-first order. ``end[i]`` is the last token
below token ``i``; token ``q`` may see token ``k`` exactly if ``k <= q <= end[k]``, that is, if ``k`` lies
on its path. Position headers, questions, messages and the common beginnings of samples are all shared
this way, and the result equals running every sequence on its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from neuromas.models.attention import masked_softmax
from neuromas.models.long_rows import Paths, attend_long

# Attention within a row costs its length squared: past SOFT_LENGTH a row ends where a sequence shares
# little with the one before, past HARD_LENGTH it ends anywhere. One long sequence may exceed both alone.
SOFT_LENGTH, HARD_LENGTH = 128, 320


@dataclass(slots=True)
class PrefixTree:
    """One row of one adapter: L tokens, their positions and the ends of their subtrees."""

    adapter: int
    tokens: list[int] = field(default_factory=list)  # (L,)
    positions: list[int] = field(default_factory=list)  # (L,)
    ends: list[int] = field(default_factory=list)  # (L,)

    @property
    def length(self) -> int:
        """L, the tokens forwarded for this row."""
        return len(self.tokens)


Sequences = Sequence[tuple[int, tuple[int, ...]]]
TreePath = tuple[int, list[int]]  # number of the tree, and the columns of a sequence's tokens in it


def build_trees(sequences: Sequences) -> tuple[list[PrefixTree], list[TreePath]]:
    """Trees that hold all (adapter, tokens) sequences, and where each sequence lies in them.

    Sorted sequences visit the tree depth first, so the beginning shared with the previous sequence is
    the longest shared with any before it.
    """
    trees: list[PrefixTree] = []
    places: list[TreePath] = [(0, [])] * len(sequences)
    path: list[int] = []
    before: tuple[int, ...] = ()
    for number in sorted(range(len(sequences)), key=lambda i: sequences[i]):
        adapter, tokens = sequences[number]
        shared = _shared(before, tokens)
        fresh = not trees or trees[-1].adapter != adapter
        limit = SOFT_LENGTH if 2 * shared < len(tokens) else HARD_LENGTH
        if fresh or trees[-1].length + len(tokens) - shared > max(limit, len(tokens)):
            trees.append(PrefixTree(adapter))
            path, shared = [], 0
        tree = trees[-1]
        start = tree.length
        path = path[:shared] + list(range(start, start + len(tokens) - shared))
        tree.tokens += tokens[shared:]
        tree.positions += range(shared, len(tokens))
        tree.ends += [0] * (len(tokens) - shared)
        for column in path:  # every token on the path now reaches at least to here
            tree.ends[column] = tree.length - 1
        places[number] = (len(trees) - 1, path)
        before = tokens
    return trees, places


def _shared(one: tuple[int, ...], other: tuple[int, ...]) -> int:
    """Length of the common beginning."""
    if one == other[: len(one)]:
        return len(one)
    return next(i for i, (a, b) in enumerate(zip(one, (*other, None), strict=False)) if a != b)


def batch_by_length(trees: Sequence[PrefixTree], tokens: int) -> Iterator[list[int]]:
    """Indices of trees of similar length, each batch at most ``tokens`` padded tokens (or one tree).

    Within a batch trees are ordered by adapter.
    """
    batch: list[int] = []
    for index in sorted(range(len(trees)), key=lambda i: -trees[i].length):
        if batch and (len(batch) + 1) * trees[batch[0]].length > tokens:
            yield sorted(batch, key=lambda i: (trees[i].adapter, i))
            batch = []
        batch.append(index)
    if batch:
        yield sorted(batch, key=lambda i: (trees[i].adapter, i))


@dataclass(frozen=True, slots=True)
class TreeBatch:
    """R trees as tensors, padded on the right to L tokens; a padding token sees itself alone."""

    ids: Tensor  # (R, L)
    position: Tensor  # (R, L)
    end: Tensor  # (R, L)


def pad_trees(trees: Sequence[PrefixTree], device: torch.device) -> TreeBatch:
    """Pad trees to the longest."""
    width = max(tree.length for tree in trees)
    blank = list(range(width))
    ids = [tree.tokens + [0] * (width - tree.length) for tree in trees]
    position = [tree.positions + [0] * (width - tree.length) for tree in trees]
    end = [tree.ends + blank[tree.length :] for tree in trees]
    tensors = (torch.tensor(values, device=device) for values in (ids, position, end))
    return TreeBatch(*tensors)


class TreePlan:
    """Attention along the paths of trees. With ``keep`` every layer's keys and values are kept."""

    def __init__(self, batch: TreeBatch, keep: bool = False) -> None:
        """See ``attention.Plan``."""
        self.kept: dict[int, tuple[Tensor, Tensor]] = {}
        self._keep = keep
        self._batch = batch
        self._biases: dict[int | None, Tensor] = {}

    def _bias(self, window: int | None, dtype: torch.dtype) -> Tensor:
        """(R, 1, 1, L, L) additive mask, built once for each window size."""
        if window not in self._biases:
            whole = slice(0, self._batch.end.shape[1])
            paths = Paths(self._batch.end, self._batch.position, window)
            self._biases[window] = paths.bias(whole, dtype)
        return self._biases[window]

    def attend(
        self, layer: int, qkv: tuple[Tensor, Tensor, Tensor], scale: float, window: int | None
    ) -> Tensor:
        """Grouped-query attention as two matrix products, long rows in pieces. See ``Plan.attend``."""
        query, key, value = qkv
        if self._keep:
            self.kept[layer] = (key, value)
        rows, heads, length, width = query.shape
        if length > HARD_LENGTH:
            paths = Paths(self._batch.end, self._batch.position, window)
            return attend_long(query * scale, key, value, paths).transpose(1, 2)
        kv_heads = key.shape[1]
        grouped = (query * scale).reshape(rows, kv_heads, (heads // kv_heads) * length, width)
        scores = grouped @ key.transpose(2, 3)
        shaped = scores.view(rows, kv_heads, heads // kv_heads, length, length)
        weights = masked_softmax(shaped, self._bias(window, scores.dtype)).view_as(scores)
        return (weights @ value).view(rows, heads, length, width).transpose(1, 2)
