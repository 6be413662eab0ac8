"""Layer-batched sampling: all nodes and samples in one batch, whatever prompts share read once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import torch
from torch import Tensor

from neuromas.engines.base import Generation, Request, Told
from neuromas.engines.local.cache import CachePlan, Columns, Pair
from neuromas.engines.local.sampling import draw, uniforms
from neuromas.models.adapters import AdapterBank
from neuromas.models.backbone import Backbone
from neuromas.models.parallel import cores, parallel_map
from neuromas.models.prefix_tree import TreePlan, batch_by_length, build_trees, pad_trees

_LEAST = 8  # requests that are worth a thread of their own
# columns of a group that belong to single slots: each is computed for all of them, which costs a CPU time;
# a narrower group keeps its prefix once more, which costs a GPU memory
_OWN_CPU, _OWN_GPU = 512, 4096
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
    *,
    told: Told | None = None,
) -> list[Generation]:
    """See ``Engine.generate`` and, for ``told``, ``Streams.stream``.

    At most ``backbone.rows`` requests are decoded side by side.
    On a CPU with several threads the batch is cut into parts, each decoded by its own; a request's text
    does not depend on the cut but for the rounding of products of other shapes.
    """
    out: list[Generation | None] = [None] * len(requests)
    order = sorted(range(len(requests)), key=lambda i: (requests[i].adapter, requests[i].prefix, i))
    stop = torch.zeros(backbone.vocabulary, dtype=torch.bool, device=backbone.device)
    stop[sorted(ends)] = True
    granted = cores(backbone.device)
    side = min(granted, max(1, len(order) // _LEAST))  # parts at the same time
    limits = replace(backbone, rows=max(1, backbone.rows // side), tokens=max(1, backbone.tokens // side))
    parts = _parts([requests[i] for i in order], limits.rows, side)

    def one(part: slice) -> list[Generation]:
        with torch.inference_mode():
            rows = order[part]
            batch = [requests[i] for i in rows]
            mine = None if told is None else lambda i, token: told(rows[i], token)
            return _Batch(limits, bank, batch, temperature, mine).run(stop)

    with parallel_map(backbone.device, len(parts), granted // side) as each:
        for part, written in zip(parts, each(one, parts), strict=True):
            for i, generation in zip(order[part], written, strict=True):
                out[i] = generation
    return [generation for generation in out if generation is not None]


def _parts(batch: Sequence[Request], rows: int, side: int) -> list[slice]:
    """Cuts sorted requests into parts of at most ``rows``; evenly if ``side`` are worked on at once.

    An even cut moves to a place nearby where another prompt begins, as each part reads its own prompts.
    """
    size = len(batch)
    if side == 1:
        return [slice(start, start + rows) for start in range(0, size, rows)]
    count = min(size, side * -(-size // (rows * side)))
    edges = [0]
    for left in range(count - 1, 0, -1):  # parts after this edge
        even = size - left * size // count
        low, high = max(edges[-1] + 1, size - left * rows), min(edges[-1] + rows, size - left)
        reach = size // (4 * count)
        starts = [
            i
            for i in range(max(low, even - reach), min(high, even + reach) + 1)
            if (batch[i].adapter, batch[i].prefix) != (batch[i - 1].adapter, batch[i - 1].prefix)
        ]
        edges.append(min(starts, key=lambda i: abs(i - even), default=min(max(low, even), high)))
    return [slice(a, b) for a, b in pairwise([*edges, size])]


def _groups(batch: Sequence[Request], columns: int) -> list[_Group]:
    """Requests by (adapter, prefix), cut so that all groups are about equally wide.

    And so narrow that what the slots of a group have of their own fits into so many ``columns``.
    """
    members: dict[tuple[int, tuple[int, ...]], list[int]] = {}
    for i, request in enumerate(batch):
        members.setdefault((request.adapter, request.prefix), []).append(i)
    sizes = sorted(len(rows) for rows in members.values())
    own = max(len(one.suffix) for one in batch) + max(one.max_new for one in batch)
    usual = sizes[len(sizes) // 2]
    pieces = -(-usual // max(1, columns // own))
    width = -(-usual // pieces)  # pieces of one size leave no slot empty
    return [
        _Group(adapter, prefix, tuple(rows[start : start + width]))
        for (adapter, prefix), rows in members.items()
        for start in range(0, len(rows), width)
    ]


class _Batch:
    """One batch while it is being decoded. Slots are (group, place); a slot may be empty."""

    def __init__(
        self,
        backbone: Backbone,
        bank: AdapterBank,
        batch: Sequence[Request],
        temperature: float,
        told: Told | None,
    ) -> None:
        self.backbone, self.bank, self.batch, self.temperature = backbone, bank, batch, temperature
        self.told = told
        self.groups = _groups(batch, _OWN_CPU if backbone.device.type == "cpu" else _OWN_GPU)
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
        hidden, position, plan = self._read()
        step = 0
        while True:
            ids, alive = self._sample(hidden, step, stop)
            if not bool(alive.any()):
                break
            step += 1
            alive, ids, position, plan = self._shrink(alive, ids, position, plan)
            plan.extend(position)
            hidden = self._forward(ids.reshape(-1, 1), position.reshape(-1, 1), plan)[:, 0]
            position = position + 1
        rows = zip(self.ids, self.logprobs, self.ended, strict=True)
        return [Generation(tuple(i), tuple(p), e) for i, p, e in rows]

    def _read(self) -> tuple[Tensor, Tensor, CachePlan]:
        """Read all prompts, each shared beginning once.

        Returns last hidden states (G * W, d), the position (G, W) of each slot's next token, and the plan.
        """
        read = _Prompts(self.backbone, self.bank, self.batch)
        device = self.backbone.device
        count, width = self.slots.shape
        lengths = torch.tensor([len(group.prefix) for group in self.groups])
        longest = int(lengths.max())
        request = self.slots.clamp(min=0)  # an empty slot mimics request 0 and is never read
        size = torch.tensor([len(one.suffix) for one in self.batch])[request]
        turn = torch.arange(max(len(one.suffix) for one in self.batch))
        first = [group.members[0] for group in self.groups]
        start = torch.tensor([len(one.prefix) for one in self.batch])[request].view(-1)
        ahead = read.columns(first, torch.zeros_like(lengths), longest)
        own = read.columns(request.view(-1).tolist(), start, len(turn)).view(count, width, -1)
        index = torch.cat([ahead, own.transpose(1, 2).flatten(1)], dim=1)
        place = torch.cat(
            [
                torch.arange(longest).expand(count, -1),
                (lengths[:, None] + turn).repeat_interleave(width, dim=1),
            ],
            dim=1,
        )
        shared = torch.arange(longest) < lengths[:, None]
        valid = (turn < size[..., None]) & (self.slots >= 0)[..., None]  # (G, W, turns)
        mine = valid[..., None] & torch.eye(width, dtype=torch.bool)[:, None]  # (G, W, turns, W)
        seen = torch.cat([shared[:, None].expand(-1, width, -1), mine.flatten(2)], dim=2)
        columns = Columns(longest, place.to(device), seen.to(device))
        # one layer at a time, which is dropped as soon as it is gathered
        layers = ((n, *read.kept.pop(n)) for n in list(read.kept))
        kept = ((n, (k[index], v[index])) for n, k, v in layers)
        position = (lengths[:, None] + size).to(device)
        plan = CachePlan(columns, kept, int(self.limit.max()))
        return read.last[request.view(-1).to(device)], position, plan

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
            goes_on = self.told is None or self.told(i, token)
            alive[slot] = goes_on and not end and len(self.ids[i]) < int(self.limit[i])
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


class _Prompts:
    """All prompts of a batch, read in one or a few forward passes.

    ``kept[layer]`` holds keys and values (T, Hk, D) of the T tokens forwarded, ``last`` (B, d) every
    request's hidden state at the end of its prompt.
    """

    def __init__(self, backbone: Backbone, bank: AdapterBank, batch: Sequence[Request]) -> None:
        rows, self._places = build_trees([(one.adapter, one.prefix + one.suffix) for one in batch])
        self._offset = [0] * len(rows)
        parts: list[dict[int, Pair]] = []
        hidden, start = [], 0
        for members in batch_by_length(rows, backbone.tokens):
            trees = pad_trees([rows[i] for i in members], backbone.device)
            plan = TreePlan(trees, keep=True)
            with bank.select([rows[i].adapter for i in members], backbone.dtype):
                hidden.append(backbone.hidden(trees.ids, trees.position, plan).flatten(0, 1))
            parts.append({n: (_flat(k), _flat(v)) for n, (k, v) in plan.kept.items()})
            for line, i in enumerate(members):
                self._offset[i] = start + line * trees.ids.shape[1]
            start += trees.ids.numel()
        self.kept = {n: _join([part.pop(n) for part in parts]) for n in list(parts[0])}
        ends = [self._offset[row] + path[-1] for row, path in self._places]
        self.last = torch.cat(hidden)[torch.tensor(ends, device=backbone.device)]

    def columns(self, requests: Sequence[int], start: Tensor, width: int) -> Tensor:
        """Indices (len(requests), width) into ``kept`` of each prompt's tokens from ``start`` on.

        Beyond the prompt's end any token stands in; a mask hides it.
        """
        device = self.last.device
        table = torch.zeros(len(requests), width, dtype=torch.long)
        for line, (request, first) in enumerate(zip(requests, start.tolist(), strict=True)):
            row, path = self._places[request]
            chosen = path[first : first + width]
            table[line, : len(chosen)] = self._offset[row] + torch.tensor(chosen, dtype=torch.long)
        return table.to(device)


def _flat(tensor: Tensor) -> Tensor:
    """(R, H, L, D) to (R * L, H, D)."""
    return tensor.transpose(1, 2).flatten(0, 1)


def _join(pairs: Sequence[Pair]) -> Pair:
    """One layer's keys and values of all forward passes."""
    if len(pairs) == 1:
        return pairs[0]
    return torch.cat([keys for keys, _ in pairs]), torch.cat([values for _, values in pairs])
