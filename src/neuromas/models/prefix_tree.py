"""Token sequences that share beginnings, laid out so that every shared token is forwarded once.

A row is a tree of tokens in depth-first order. ``end[i]`` is the last token below token ``i``; token
``q`` may see token ``k`` exactly if ``k <= q <= end[k]``, that is, if ``k`` lies on its path. Position
headers, questions, messages and the common beginnings of samples are all shared this way, and the
result equals running every sequence on its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from neuromas.models.attention import masked_softmax

# Attention within a row costs its length squared: past SOFT a row ends where a sequence shares little with
# the one before, past HARD it ends anywhere. One long sequence may exceed both alone.
SOFT, HARD = 128, 320


@dataclass(slots=True)
class TrieRow:
    """One row while it is built: tokens, their positions and the ends of their subtrees, all (L,)."""

    adapter: int
    tokens: list[int] = field(default_factory=list)
    positions: list[int] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)

    @property
    def length(self) -> int:
        """Tokens forwarded for this row."""
        return len(self.tokens)


Sequences = Sequence[tuple[int, tuple[int, ...]]]
Place = tuple[int, list[int]]


def plant(sequences: Sequences) -> tuple[list[TrieRow], list[Place]]:
    """Rows that hold all (adapter, tokens) sequences, and for each its row and its tokens' columns.

    Sorted sequences visit the tree depth first, so the beginning shared with the previous sequence is
    the longest shared with any before it.
    """
    rows: list[TrieRow] = []
    places: list[Place] = [(0, [])] * len(sequences)
    path: list[int] = []
    before: tuple[int, ...] = ()
    for number in sorted(range(len(sequences)), key=lambda i: sequences[i]):
        adapter, tokens = sequences[number]
        shared = _shared(before, tokens)
        fresh = not rows or rows[-1].adapter != adapter
        limit = SOFT if 2 * shared < len(tokens) else HARD
        if fresh or rows[-1].length + len(tokens) - shared > max(limit, len(tokens)):
            rows.append(TrieRow(adapter))
            path, shared = [], 0
        row = rows[-1]
        start = row.length
        path = path[:shared] + list(range(start, start + len(tokens) - shared))
        row.tokens += tokens[shared:]
        row.positions += range(shared, len(tokens))
        row.ends += [0] * (len(tokens) - shared)
        for column in path:  # every token on the path now reaches at least to here
            row.ends[column] = row.length - 1
        places[number] = (len(rows) - 1, path)
        before = tokens
    return rows, places


def _shared(one: tuple[int, ...], other: tuple[int, ...]) -> int:
    """Length of the common beginning."""
    if one == other[: len(one)]:
        return len(one)
    return next(i for i, (a, b) in enumerate(zip(one, (*other, None), strict=False)) if a != b)


def bundles(rows: Sequence[TrieRow], tokens: int) -> Iterator[list[int]]:
    """Indices of rows of similar length, each bundle at most ``tokens`` padded tokens (or one row).

    Within a bundle rows are ordered by adapter.
    """
    bundle: list[int] = []
    for index in sorted(range(len(rows)), key=lambda i: -rows[i].length):
        if bundle and (len(bundle) + 1) * rows[bundle[0]].length > tokens:
            yield sorted(bundle, key=lambda i: (rows[i].adapter, i))
            bundle = []
        bundle.append(index)
    if bundle:
        yield sorted(bundle, key=lambda i: (rows[i].adapter, i))


@dataclass(frozen=True, slots=True)
class Canvas:
    """Rows as tensors (R, L), padded on the right; a padding token sees itself alone."""

    ids: Tensor
    position: Tensor
    end: Tensor


def paint(rows: Sequence[TrieRow], device: torch.device) -> Canvas:
    """Pad rows to the longest."""
    width = max(row.length for row in rows)
    blank = list(range(width))
    ids = [row.tokens + [0] * (width - row.length) for row in rows]
    position = [row.positions + [0] * (width - row.length) for row in rows]
    end = [row.ends + blank[row.length :] for row in rows]
    tensors = (torch.tensor(values, device=device) for values in (ids, position, end))
    return Canvas(*tensors)


class TriePlan:
    """Attention along the paths of a canvas. With ``keep`` every layer's keys and values are kept."""

    def __init__(self, canvas: Canvas, keep: bool = False) -> None:
        """See ``attention.Plan``."""
        self.kept: dict[int, tuple[Tensor, Tensor]] = {}
        self._keep = keep
        self._position = canvas.position
        order = torch.arange(canvas.end.shape[1], device=canvas.end.device)
        query = order[None, :, None]
        self._seen = (order[None, None, :] <= query) & (query <= canvas.end[:, None, :])
        self._biases: dict[int | None, Tensor] = {}

    def _bias(self, window: int | None, dtype: torch.dtype) -> Tensor:
        """(R, 1, 1, L, L) additive mask, built once for each window size."""
        if window not in self._biases:
            seen = self._seen
            if window is not None:
                distance = self._position[:, :, None] - self._position[:, None, :]
                seen = seen & (distance < window)
            self._biases[window] = torch.where(seen, 0.0, -torch.inf)[:, None, None].to(dtype)
        return self._biases[window]

    def attend(
        self, layer: int, qkv: tuple[Tensor, Tensor, Tensor], scale: float, window: int | None
    ) -> Tensor:
        """Grouped-query attention as two matrix products. See ``Plan.attend``."""
        query, key, value = qkv
        if self._keep:
            self.kept[layer] = (key, value)
        rows, heads, length, width = query.shape
        kv_heads = key.shape[1]
        grouped = (query * scale).reshape(rows, kv_heads, (heads // kv_heads) * length, width)
        scores = grouped @ key.transpose(2, 3)
        shaped = scores.view(rows, kv_heads, heads // kv_heads, length, length)
        weights = masked_softmax(shaped, self._bias(window, scores.dtype)).view_as(scores)
        return (weights @ value).view(rows, heads, length, width).transpose(1, 2)
