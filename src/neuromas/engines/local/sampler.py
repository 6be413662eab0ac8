"""Layer-batched sampling: all nodes and samples in one batch, whatever they share computed once.

Prompts are read as trees, and what samples of one prompt have written alike so far is one row: a message
takes a row of its own where it first differs. A trained node is sure of most tokens, so that its samples
are a few rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import torch
from torch import Tensor

from neuromas.engines.base import Generation, Request, Told
from neuromas.engines.local.cache import CachePlan, Columns, Pair, spread
from neuromas.engines.local.sampling import draw, uniforms
from neuromas.models.adapters import AdapterBank
from neuromas.models.backbone import Backbone
from neuromas.models.parallel import cores, parallel_map
from neuromas.models.prefix_tree import TreePlan, batch_by_length, build_trees, pad_trees

_LEAST = 8  # requests that are worth a thread of their own
# columns that belong to single branches: each is computed for all of the group, which costs a CPU time. After
# so many new ones groups are made anew; a narrower group keeps its prefix once more, which costs a GPU memory
_OWN_CPU, _OWN_GPU = 512, 4096
_LEAVE = 0.5  # so they are once no more than this share of their padded rows is needed
_CACHED_TOKENS = 512  # read at once, they stay in a CPU core's cache


@dataclass(frozen=True, slots=True)
class _Group:
    """Requests (indices into the batch) that share one adapter and one prefix, by prompt."""

    adapter: int
    prefix: tuple[int, ...]
    prompts: tuple[list[int], ...]


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
    """Requests by (adapter, prefix), cut so that all groups have about as many prompts.

    And so few that their suffixes fit into so many ``columns``. Requests of one prompt stay together.
    """
    prompts: dict[tuple[int, tuple[int, ...]], dict[tuple[int, ...], list[int]]] = {}
    for i, request in enumerate(batch):
        found = prompts.setdefault((request.adapter, request.prefix), {})
        found.setdefault(request.suffix, []).append(i)
    sizes = sorted(map(len, prompts.values()))
    usual = sizes[len(sizes) // 2]
    pieces = -(-usual // max(1, columns // max(1, *(len(one.suffix) for one in batch))))
    width = -(-usual // pieces)  # pieces of one size leave no place empty
    return [
        _Group(adapter, prefix, members[start : start + width])
        for (adapter, prefix), members in ((key, tuple(found.values())) for key, found in prompts.items())
        for start in range(0, len(members), width)
    ]


@dataclass(frozen=True, slots=True)
class _Branch:
    """A beginning that ``members`` (requests) have in common: of their prompts and of what they wrote.

    ``parent`` is the number of the branch it goes on from with ``token``, which stands at ``position``.
    """

    group: int
    parent: int
    token: int
    position: int
    members: list[int]


class _Batch:
    """One batch while it is being decoded. Branches are ordered by group."""

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
        self.own = _OWN_CPU if backbone.device.type == "cpu" else _OWN_GPU
        self.grown = 0  # columns of single branches since groups were made
        self.padded = 0  # most rows in one call of the attention since then
        self.groups = _groups(batch, self.own)
        longest = max(request.max_new for request in batch)
        self.uniforms = uniforms([request.seed for request in batch], longest)
        self.ids: list[list[int]] = [[] for _ in batch]
        self.logprobs: list[list[float]] = [[] for _ in batch]
        self.ended = [False] * len(batch)

    def run(self, stop: Tensor) -> list[Generation]:
        """Prefill, then draw until every request has ended. ``stop`` (V,) marks the end tokens."""
        branches, hidden, plan = self._read()
        step = 0
        while branches := self._sample(branches, hidden, step, stop):
            step += 1
            branches, plan = self._go_on(branches, plan)
            hidden = self._forward(branches, plan)
        rows = zip(self.ids, self.logprobs, self.ended, strict=True)
        return [Generation(tuple(i), tuple(p), e) for i, p, e in rows]

    def _read(self) -> tuple[list[_Branch], Tensor, CachePlan]:
        """Read all prompts, each shared beginning once: branches, their hidden states (R, d), the plan."""
        read = _Prompts(self.backbone, self.bank, self.batch)
        device = self.backbone.device
        branches = [
            _Branch(number, 0, -1, len(group.prefix) + len(self.batch[members[0]].suffix) - 1, members)
            for number, group in enumerate(self.groups)
            for members in group.prompts
        ]
        first = [self.batch[branch.members[0]] for branch in branches]
        sizes = torch.tensor([len(group.prefix) for group in self.groups])
        longest, most = int(sizes.max()), max(len(one.suffix) for one in first)
        group = torch.tensor([branch.group for branch in branches])
        within = spread([branch.group for branch in branches])
        width = max(within) + 1
        self.grown = (width - 1) * most
        # columns of a group: its prefix, then the suffix of one branch after another
        request = torch.zeros(len(self.groups), width, dtype=torch.long)
        valid = torch.zeros(len(self.groups), width, most, dtype=torch.bool)
        request[group, within] = torch.tensor([branch.members[0] for branch in branches])
        turn, suffix = torch.arange(most), torch.tensor([len(one.suffix) for one in first])
        valid[group, within] = turn < suffix[:, None]
        start = torch.tensor([len(one.prefix) for one in self.batch])
        begins = [group.prompts[0][0] for group in self.groups]
        ahead = read.columns(begins, torch.zeros_like(sizes), longest)
        own = read.columns(request.view(-1).tolist(), start[request].view(-1), most)
        index = torch.cat([ahead, own.view(len(self.groups), -1)], dim=1)
        shared = torch.arange(longest)
        place = torch.cat([shared.expand(len(sizes), -1), (sizes[:, None] + turn).repeat(1, width)], dim=1)
        mine = torch.nn.functional.one_hot(torch.tensor(within), width).bool()[:, :, None] & valid[group]
        seen = torch.cat([(shared < sizes[:, None])[group], mine.flatten(1)], dim=1)
        columns = Columns(place.to(device), seen.to(device), group.to(device))
        # one layer at a time, which is dropped as soon as it is gathered
        layers = ((n, *read.kept.pop(n)) for n in list(read.kept))
        kept = ((n, (k[index], v[index])) for n, k, v in layers)
        plan = CachePlan(columns, kept, self._room(branches))
        return branches, read.last[[branch.members[0] for branch in branches]], plan

    def _room(self, branches: Sequence[_Branch]) -> int:
        """Columns that a group may need until groups are made anew: one for every request and token."""
        left = [0] * len(self.groups)
        turns = 0
        for branch in branches:
            left[branch.group] += len(branch.members)
            turns = max(turns, *(self.batch[i].max_new - len(self.ids[i]) for i in branch.members))
        return min(turns * max(left), self.own + max(left))

    def _forward(self, branches: Sequence[_Branch], plan: CachePlan) -> Tensor:
        """Hidden states (R, d) after the branches' new tokens."""
        device = self.backbone.device
        ids = torch.tensor([[branch.token] for branch in branches], device=device)
        position = torch.tensor([[branch.position] for branch in branches], device=device)
        adapters = [self.groups[branch.group].adapter for branch in branches]
        with self.bank.select(adapters, self.backbone.dtype):
            return self.backbone.hidden(ids, position, plan)[:, 0]

    def _sample(self, branches: Sequence[_Branch], hidden: Tensor, step: int, stop: Tensor) -> list[_Branch]:
        """Draw one token for every living request; returns the branches that go on."""
        requests = [i for branch in branches for i in branch.members]
        rows = [row for row, branch in enumerate(branches) for _ in branch.members]
        logits = self.backbone.logits(hidden)
        ids, logprobs = draw(logits, self.temperature, self.uniforms[requests, step], rows)
        found: dict[tuple[int, int], _Branch] = {}
        drawn = zip(requests, rows, ids.tolist(), logprobs.tolist(), stop[ids].tolist(), strict=True)
        for i, row, token, logprob, end in drawn:
            self.ids[i].append(token)
            self.logprobs[i].append(logprob)
            self.ended[i] = end
            goes_on = self.told is None or self.told(i, token)
            if goes_on and not end and len(self.ids[i]) < self.batch[i].max_new:
                was = branches[row]
                new = _Branch(was.group, row, token, was.position + 1, [])
                found.setdefault((row, token), new).members.append(i)
        return list(found.values())

    def _go_on(self, branches: list[_Branch], plan: CachePlan) -> tuple[list[_Branch], CachePlan]:
        """Announce new tokens to the plan; groups are made anew where many are finished or grew much."""
        device = self.backbone.device
        parents = torch.tensor([branch.parent for branch in branches], device=device)
        within = spread([branch.group for branch in branches])
        width, living = max(within) + 1, len({branch.group for branch in branches})
        self.padded = max(self.padded, len(self.groups) * width)
        if living * width <= _LEAVE * self.padded or self.grown > self.own:
            lines = plan.divided(parents, self.own // 2)
            source = {line: branch.group for line, branch in zip(lines, branches, strict=True)}
            self.groups = [self.groups[group] for group in source.values()]
            branches = [replace(branch, group=line) for line, branch in zip(lines, branches, strict=True)]
            plan = plan.keep(parents, torch.tensor(lines, device=device), self._room(branches))
            parents = torch.arange(len(branches), device=device)
            within = spread(lines)
            width = max(within) + 1
            self.grown, self.padded = 0, len(self.groups) * width
        self.grown += width
        position = torch.tensor([branch.position for branch in branches], device=device)
        plan.branch(parents, torch.tensor(within, device=device), position)
        return branches, plan


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
        cpu = backbone.device.type == "cpu"
        at_once = min(backbone.tokens, _CACHED_TOKENS) if cpu else backbone.tokens
        for members in batch_by_length(rows, at_once):
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
