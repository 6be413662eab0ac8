"""Layer-batched sampling: one prefill for each distinct prompt, all nodes and samples in one batch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from neuromas.models.adapters import AdapterBank
from neuromas.models.backbone import Backbone
from neuromas.models.cache import CachePlan, Pair, PrefillPlan
from neuromas.models.policy import Generation, Request
from neuromas.models.sampling import draw, uniforms

_LEAVE = 0.8  # finished rows leave once the batch can shrink below this share of its slots


@dataclass(frozen=True, slots=True)
class _Group:
    """Requests (indices into the batch) that share one adapter and one prefix."""

    adapter: int
    prefix: tuple[int, ...]
    members: tuple[int, ...]


def generate(
    backbone: Backbone,
    bank: AdapterBank,
    requests: Sequence[Request],
    temperature: float,
    ends: frozenset[int],
) -> list[Generation]:
    """See ``Policy.generate``. At most ``backbone.rows`` requests are decoded side by side."""
    out: list[Generation | None] = [None] * len(requests)
    order = sorted(range(len(requests)), key=lambda i: (requests[i].adapter, requests[i].prefix, i))
    stop = torch.zeros(backbone.vocabulary, dtype=torch.bool, device=backbone.device)
    stop[sorted(ends)] = True
    with torch.inference_mode():
        for start in range(0, len(order), backbone.rows):
            chosen = order[start : start + backbone.rows]
            batch = _level([requests[i] for i in chosen])
            for i, generation in zip(
                chosen, _Batch(backbone, bank, batch, temperature).run(stop), strict=True
            ):
                out[i] = generation
    return [generation for generation in out if generation is not None]


def _level(batch: list[Request]) -> list[Request]:
    """If any request has a suffix, all must: the others give up the last token of their prefix."""
    if not any(request.suffix for request in batch):
        return batch
    return [
        request
        if request.suffix
        else replace(request, prefix=request.prefix[:-1], suffix=request.prefix[-1:])
        for request in batch
    ]


def _groups(batch: Sequence[Request]) -> list[_Group]:
    """Requests by (adapter, prefix), cut so that all groups are about equally wide."""
    members: dict[tuple[int, tuple[int, ...]], list[int]] = {}
    for i, request in enumerate(batch):
        members.setdefault((request.adapter, request.prefix), []).append(i)
    sizes = sorted(len(rows) for rows in members.values())
    width = sizes[len(sizes) // 2]
    return [
        _Group(adapter, prefix, tuple(rows[start : start + width]))
        for (adapter, prefix), rows in members.items()
        for start in range(0, len(rows), width)
    ]


class _Batch:
    """One batch while it is being decoded. Slots are (group, place); a slot may be empty."""

    def __init__(
        self, backbone: Backbone, bank: AdapterBank, batch: Sequence[Request], temperature: float
    ) -> None:
        self.backbone, self.bank, self.batch, self.temperature = backbone, bank, batch, temperature
        self.groups = _groups(batch)
        width = max(len(group.members) for group in self.groups)
        # request of each slot, (G, W) on the CPU; -1 is an empty slot
        self.slots = torch.tensor(
            [list(group.members) + [-1] * (width - len(group.members)) for group in self.groups]
        )
        self.adapters = [group.adapter for group in self.groups]
        self.limit = torch.tensor([request.max_new for request in batch])
        self.uniforms = uniforms([request.seed for request in batch], int(self.limit.max()))
        self.ids: list[list[int]] = [[] for _ in batch]
        self.logprobs: list[list[float]] = [[] for _ in batch]
        self.ended = [False] * len(batch)

    def run(self, stop: Tensor) -> list[Generation]:
        """Prefill, then draw until every request has ended. ``stop`` (V,) marks the end tokens."""
        hidden, plan = self._read()
        position = plan.lengths[:, None] + plan.valid.sum(dim=-1)  # (G, W): where the next token stands
        step = 0
        while True:
            ids, alive = self._sample(hidden, step, stop)
            if not bool(alive.any()):
                break
            step += 1
            alive, ids, position, plan = self._shrink(alive, ids, position, plan)
            plan.extend(torch.ones_like(position, dtype=torch.bool)[..., None], position[..., None])
            hidden = self._forward(ids.reshape(-1, 1), position.reshape(-1, 1), plan)[:, 0]
            position = position + 1
        rows = zip(self.ids, self.logprobs, self.ended, strict=True)
        return [Generation(tuple(i), tuple(p), e) for i, p, e in rows]

    def _read(self) -> tuple[Tensor, CachePlan]:
        """Prefill prefixes and suffixes; returns the last hidden state of every slot (G * W, d)."""
        device = self.backbone.device
        prefixes = list(dict.fromkeys((group.adapter, group.prefix) for group in self.groups))
        kept, last = _prefill(self.backbone, self.bank, prefixes)
        place = {prefix: i for i, prefix in enumerate(prefixes)}
        index = [place[(group.adapter, group.prefix)] for group in self.groups]
        if index != list(range(len(prefixes))):
            gather = torch.tensor(index, device=device)
            kept = {layer: (k[gather], v[gather]) for layer, (k, v) in kept.items()}
            last = last[gather]
        lengths = torch.tensor([len(group.prefix) for group in self.groups], device=device)
        width = self.slots.shape[1]
        longest = max(len(request.suffix) for request in self.batch)
        plan = CachePlan(kept, lengths, width, longest + int(self.limit.max()))
        if longest == 0:
            return last.repeat_interleave(width, dim=0), plan
        ids = torch.zeros(*self.slots.shape, longest, dtype=torch.long)
        size = torch.ones_like(self.slots)
        for g, row in enumerate(self.slots.tolist()):
            for w, i in enumerate(row):
                suffix = self.batch[i].suffix if i >= 0 else (0,)
                ids[g, w, : len(suffix)] = torch.tensor(suffix)
                size[g, w] = len(suffix)
        size = size.to(device)
        offset = torch.arange(longest, device=device)
        position = lengths[:, None, None] + offset.expand(*self.slots.shape, longest)
        plan.extend(offset < size[..., None], position)
        flat = position.reshape(-1, longest)
        hidden = self._forward(ids.view(-1, longest).to(device), flat, plan)
        return hidden[torch.arange(len(hidden), device=device), size.view(-1) - 1], plan

    def _forward(self, ids: Tensor, position: Tensor, plan: CachePlan) -> Tensor:
        """Hidden states (G * W, T, d) of new tokens."""
        rows = [adapter for adapter in self.adapters for _ in range(self.slots.shape[1])]
        with self.bank.select(rows, self.backbone.dtype):
            return self.backbone.hidden(ids, position, plan)

    def _sample(self, hidden: Tensor, step: int, stop: Tensor) -> tuple[Tensor, Tensor]:
        """Draw one token for every living slot; returns ids (G, W) and who goes on (G, W, CPU)."""
        request = self.slots.view(-1)
        uniform = self.uniforms[request.clamp(min=0), step]
        ids, logprobs = draw(self.backbone.logits(hidden), self.temperature, uniform)
        ends = stop[ids].tolist()
        alive = torch.zeros(len(request), dtype=torch.bool)
        rows = zip(request.tolist(), ids.tolist(), logprobs.tolist(), ends, strict=True)
        for slot, (i, token, logprob, end) in enumerate(rows):
            if i < 0:
                continue
            self.ids[i].append(token)
            self.logprobs[i].append(logprob)
            self.ended[i] = end
            alive[slot] = not end and len(self.ids[i]) < int(self.limit[i])
        self.slots = torch.where(alive.view_as(self.slots), self.slots, -1)
        return ids.view(self.slots.shape), alive.view(self.slots.shape)

    def _shrink(
        self, alive: Tensor, ids: Tensor, position: Tensor, plan: CachePlan
    ) -> tuple[Tensor, Tensor, Tensor, CachePlan]:
        """Let finished slots leave when that makes the batch noticeably smaller."""
        busy = alive.any(dim=1)
        width = int(alive.sum(dim=1).max())
        if int(busy.sum()) * width > _LEAVE * alive.numel():
            return alive, ids, position, plan
        groups = busy.nonzero()[:, 0]
        # living slots first, in order
        slots = torch.sort(~alive[groups], dim=1, stable=True).indices[:, :width]
        self.slots = self.slots[groups[:, None], slots]
        self.adapters = [self.adapters[g] for g in groups.tolist()]
        device = ids.device
        row, col = groups.to(device), slots.to(device)
        pick = (row[:, None], col)
        return alive[groups[:, None], slots], ids[pick], position[pick], plan.keep(row, col)


def _prefill(
    backbone: Backbone, bank: AdapterBank, prefixes: Sequence[tuple[int, tuple[int, ...]]]
) -> tuple[dict[int, Pair], Tensor]:
    """Keys and values of every prefix, padded to the longest, and last hidden states (D, d)."""
    longest = max(len(prefix) for _, prefix in prefixes)
    device = backbone.device
    parts: list[dict[int, Pair]] = []
    hidden = []
    for chunk in _chunks(prefixes, max(1, backbone.tokens // longest)):
        ids = torch.zeros(len(chunk), longest, dtype=torch.long)
        for row, (_, prefix) in enumerate(chunk):
            ids[row, : len(prefix)] = torch.tensor(prefix)
        plan = PrefillPlan(longest, device)
        position = torch.arange(longest, device=device).expand(len(chunk), longest)
        with bank.select([adapter for adapter, _ in chunk], backbone.dtype):
            states = backbone.hidden(ids.to(device), position, plan)
        last = torch.tensor([len(prefix) - 1 for _, prefix in chunk], device=device)
        hidden.append(states[torch.arange(len(chunk), device=device), last])
        parts.append(plan.kept)
    if len(parts) == 1:
        return parts[0], hidden[0]
    layers = parts[0].keys()
    kept = {n: (torch.cat([p[n][0] for p in parts]), torch.cat([p[n][1] for p in parts])) for n in layers}
    return kept, torch.cat(hidden)


def _chunks(
    items: Sequence[tuple[int, tuple[int, ...]]], size: int
) -> Iterator[Sequence[tuple[int, tuple[int, ...]]]]:
    """Consecutive slices of at most ``size``."""
    for start in range(0, len(items), size):
        yield items[start : start + size]
