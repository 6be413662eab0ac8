"""Log-probabilities of sampled messages, with gradients for the adapters that wrote them.

A group's shared prompt prefix is forwarded once and its samples follow it as branches of the same
row (see ``PackedPlan``); logits are formed at sampled positions only. Exact in fp32.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from neuromas.models.adapters import AdapterBank
from neuromas.models.attention import PackedPlan
from neuromas.models.backbone import Backbone
from neuromas.models.logprob import chosen_logprobs

_ROW = 768  # a packed row is not made longer than this unless one branch alone needs it


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
    """One packed row: a prefix and the messages that share it."""

    adapter: int
    prefix: tuple[int, ...]
    messages: tuple[Message, ...]

    @property
    def length(self) -> int:
        """Tokens forwarded for this row (a message's last token is predicted, not read)."""
        return len(self.prefix) + sum(len(m.suffix) + len(m.ids) - 1 for m in self.messages)


@dataclass(frozen=True, slots=True)
class TokenScores:
    """Scores of S sampled tokens: natural-log probability and entropy in nats, both (S,) fp32.

    ``keys`` (S,) names each token's message; ``reference`` (S,) is KL(policy || backbone) if asked for.
    """

    keys: Tensor
    logprobs: Tensor
    entropy: Tensor
    reference: Tensor | None


def pack(messages: Sequence[Message]) -> list[Row]:
    """Gather messages of equal adapter and prefix into rows of bounded length."""
    groups: dict[tuple[int, tuple[int, ...]], list[Message]] = {}
    for message in messages:
        groups.setdefault((message.adapter, message.prefix), []).append(message)
    rows = []
    for (adapter, prefix), members in groups.items():
        chosen: list[Message] = []
        for message in members:
            grown = Row(adapter, prefix, (*chosen, message))
            if chosen and grown.length > max(_ROW, 2 * len(prefix)):
                rows.append(Row(adapter, prefix, tuple(chosen)))
                chosen = []
            chosen.append(message)
        rows.append(Row(adapter, prefix, tuple(chosen)))
    return rows


def microbatches(rows: Sequence[Row], tokens: int) -> Iterator[list[Row]]:
    """Rows of similar length together, each batch at most ``tokens`` padded tokens (or one row).

    Within a batch rows are ordered by adapter.
    """
    batch: list[Row] = []
    for row in sorted(rows, key=lambda r: -r.length):
        if batch and (len(batch) + 1) * batch[0].length > tokens:
            yield sorted(batch, key=lambda r: r.adapter)
            batch = []
        batch.append(row)
    if batch:
        yield sorted(batch, key=lambda r: r.adapter)


@dataclass(frozen=True, slots=True)
class _Packed:
    """Tensors of one micro-batch. The last four are (S,), one entry for each sampled token."""

    ids: Tensor  # (R, L)
    branch: Tensor  # (R, L)
    position: Tensor  # (R, L)
    row: Tensor
    column: Tensor
    target: Tensor
    key: Tensor


def _layout(rows: Sequence[Row], device: torch.device) -> _Packed:
    """Lay out prefix and branches of every row, padded on the right."""
    width = max(row.length for row in rows)
    ids, branch, position = (torch.full((len(rows), width), fill) for fill in (0, -1, 0))
    where: list[tuple[int, int, int, int]] = []
    for r, row in enumerate(rows):
        start = len(row.prefix)
        ids[r, :start] = torch.tensor(row.prefix, dtype=torch.long)
        branch[r, :start] = 0
        position[r, :start] = torch.arange(start)
        cursor = start
        for number, message in enumerate(row.messages, start=1):
            tokens = message.suffix + message.ids[:-1]
            end = cursor + len(tokens)
            ids[r, cursor:end] = torch.tensor(tokens, dtype=torch.long)
            branch[r, cursor:end] = number
            position[r, cursor:end] = torch.arange(start, start + len(tokens))
            first = cursor + len(message.suffix) - 1  # predicts the first sampled token
            for t, target in enumerate(message.ids):
                column = start - 1 if t == 0 and not message.suffix else first + t
                where.append((r, column, target, message.key))
            cursor = end
    row_, column_, target_, key_ = torch.tensor(where, dtype=torch.long).to(device).unbind(1)
    return _Packed(ids.to(device), branch.to(device), position.to(device), row_, column_, target_, key_)


def score(
    backbone: Backbone,
    bank: AdapterBank,
    rows: Sequence[Row],
    temperature: Tensor,
    *,
    entropy_gradient: bool = False,
    reference: bool = False,
) -> TokenScores:
    """Score one micro-batch. ``temperature`` (M,) is that of each message key, all positive.

    Gradients flow to the adapters of ``rows`` alone; through the entropy only if asked for. With
    ``reference`` the same tokens are also scored by the backbone without adapters, without gradient.
    """
    packed = _layout(rows, backbone.device)
    heat = temperature.to(backbone.device)[packed.key]
    logits = _logits(backbone, bank, packed, [row.adapter for row in rows])
    if not entropy_gradient and not reference:
        chosen, entropy = chosen_logprobs(logits, packed.target, heat)
        return TokenScores(packed.key, chosen, entropy, None)
    every = torch.log_softmax(logits.float() / heat[:, None], dim=-1)
    chosen = every.gather(1, packed.target[:, None])[:, 0]
    entropy = -(every.exp() * every).sum(dim=-1)
    if not reference:
        return TokenScores(packed.key, chosen, entropy, None)
    with torch.no_grad():
        base = _logits(backbone, bank, packed, None).float() / heat[:, None]
    divergence = (every.exp() * (every - torch.log_softmax(base, dim=-1))).sum(dim=-1)
    return TokenScores(packed.key, chosen, entropy, divergence)


def _logits(
    backbone: Backbone, bank: AdapterBank, packed: _Packed, adapters: Sequence[int] | None
) -> Tensor:
    """Logits at the sampled positions, (S, V) in the model's dtype."""
    plan = PackedPlan(packed.branch, packed.position)
    with bank.select(adapters, backbone.dtype):
        hidden = backbone.hidden(packed.ids, packed.position, plan)
    return backbone.logits(hidden[packed.row, packed.column])
