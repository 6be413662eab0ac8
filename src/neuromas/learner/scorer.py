"""Log-probabilities of sampled messages, with gradients for the adapters that wrote them.

Whatever messages share (position, question, what they read, their own first tokens) is forwarded once
(see ``models.prefix_tree``), and logits are formed only where a sampled token is predicted. Exact in fp32.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from neuromas.learner.distributions import distributions
from neuromas.learner.logprob import chosen_logprobs
from neuromas.models.adapters import AdapterBank
from neuromas.models.backbone import Backbone
from neuromas.models.prefix_tree import (
    PrefixTree,
    TreeBatch,
    TreePlan,
    batch_by_length,
    build_trees,
    pad_trees,
)


@dataclass(frozen=True, slots=True)
class Message:
    """One sampled message to score. ``key`` tells the caller which one it was."""

    key: int
    adapter: int
    prefix: tuple[int, ...]
    suffix: tuple[int, ...]
    ids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Row:
    """One row to forward: a tree of tokens and the messages found on its paths.

    ``columns[i]`` are the columns of the tokens that predict ``messages[i].ids``, one for each.
    """

    tree: PrefixTree
    messages: tuple[Message, ...]
    columns: tuple[tuple[int, ...], ...]

    @property
    def adapter(self) -> int:
        """The adapter that wrote all messages of the row."""
        return self.tree.adapter

    @property
    def length(self) -> int:
        """Tokens forwarded for this row (a message's last token is predicted, not read)."""
        return self.tree.length


@dataclass(frozen=True, slots=True)
class TokenScores:
    """Scores of S sampled tokens: natural-log probability and entropy in nats, both (S,) fp32.

    ``keys`` (S,) names each token's message, ``places`` (S,) its place in it. ``references`` has one (S,)
    for each reference that was asked for: KL(policy || reference).
    """

    keys: Tensor
    places: Tensor
    logprobs: Tensor
    entropy: Tensor
    references: tuple[Tensor, ...] = ()


def pack(messages: Sequence[Message]) -> list[Row]:
    """Gather messages into rows in which every shared beginning stands once."""
    trees, places = build_trees([(m.adapter, m.prefix + m.suffix + m.ids[:-1]) for m in messages])
    found: list[list[int]] = [[] for _ in trees]
    for number, (row, _) in enumerate(places):
        found[row].append(number)
    return [
        Row(
            tree,
            tuple(messages[i] for i in members),
            tuple(tuple(places[i][1][-len(messages[i].ids) :]) for i in members),
        )
        for tree, members in zip(trees, found, strict=True)
    ]


def microbatches(rows: Sequence[Row], tokens: int) -> Iterator[list[Row]]:
    """Rows of similar length together, each batch at most ``tokens`` padded tokens (or one row)."""
    for batch in batch_by_length([row.tree for row in rows], tokens):
        yield [rows[i] for i in batch]


@dataclass(frozen=True, slots=True)
class _Targets:
    """Where logits are needed: U distinct places, and for each of S tokens its place, target and key.

    Tokens of one place share their temperature; where temperatures differ, so do the places.
    """

    row: Tensor  # (U,)
    column: Tensor  # (U,)
    place: Tensor  # (S,), ascending
    target: Tensor  # (S,)
    key: Tensor  # (S,)
    position: Tensor  # (S,), in its message


def _targets(rows: Sequence[Row], temperature: Tensor, device: torch.device) -> _Targets:
    """Sampled tokens sorted by the place that predicts them; one place may predict several."""
    level = torch.unique(temperature.cpu(), return_inverse=True)[1].tolist()  # equal where temperatures are
    tokens = sorted(
        (r, column, level[message.key], target, message.key, position)
        for r, row in enumerate(rows)
        for message, columns in zip(row.messages, row.columns, strict=True)
        for position, (column, target) in enumerate(zip(columns, message.ids, strict=True))
    )
    table = torch.tensor(tokens, dtype=torch.long).to(device)
    where, place = torch.unique_consecutive(table[:, :3], dim=0, return_inverse=True)
    return _Targets(where[:, 0], where[:, 1], place, table[:, 3], table[:, 4], table[:, 5])


def score(
    backbone: Backbone,
    bank: AdapterBank,
    rows: Sequence[Row],
    temperature: Tensor,
    *,
    entropy_gradient: bool = False,
    references: Sequence[AdapterBank | None] = (),
    of: AdapterBank | None = None,
) -> TokenScores:
    """Score one micro-batch. ``temperature`` (M,) is that of each message key, all positive.

    With ``of``, a copy that the bank holds, its factors score in place of the bank's own.
    Gradients flow to the adapters of ``rows`` alone; through the entropy only if asked for. The same tokens
    are also scored, without gradient, by every bank of ``references`` (None: the backbone without adapters).
    """
    targets = _targets(rows, temperature, backbone.device)
    trees = pad_trees([row.tree for row in rows], backbone.device)
    by_token = temperature.to(backbone.device)[targets.key]  # (S,)
    adapters = [row.adapter for row in rows]
    with bank.select(adapters, backbone.dtype, of):
        logits = _logits(backbone, trees, targets)
    if not entropy_gradient and not references:
        chosen, entropy = chosen_logprobs(logits, targets.place, targets.target, by_token)
        return TokenScores(targets.key, targets.position, chosen, entropy)
    bases = []
    for reference in references:
        rows_there = None if reference is None else adapters
        with torch.no_grad(), bank.select(rows_there, backbone.dtype, reference):
            bases.append(_logits(backbone, trees, targets))
    chosen, entropy, divergences = distributions(logits, bases, targets.place, targets.target, by_token)
    return TokenScores(targets.key, targets.position, chosen, entropy, divergences)


def _logits(backbone: Backbone, trees: TreeBatch, targets: _Targets) -> Tensor:
    """Logits at the places asked for, (U, V) in the model's dtype, with the adapters selected."""
    hidden = backbone.hidden(trees.ids, trees.position, TreePlan(trees))
    return backbone.logits(hidden[targets.row, targets.column])
