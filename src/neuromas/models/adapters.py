"""One frozen backbone, many resident LoRA adapters, chosen per row.

All LoRA factors of one adapter lie in one flat fp32 vector, the ``Parameter`` its optimiser sees.
A forward pass names the adapter of every row; there is no "active adapter" to forget. The formula
is that of LoRA (Hu et al., arXiv:2106.09685): ``y = W x + (alpha / r) B A x``.
"""

from __future__ import annotations

import copy
import math
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from neuromas.core.errors import ModelError, unknown
from neuromas.core.seeds import derive

# rows of an adapter, on average, from which products of their own cost less than gathering factors for each
_LONG = {"cpu": 4, "cuda": 64}


@dataclass(frozen=True, slots=True)
class LoraSpec:
    """Size and place of the adapters, in PEFT's terms. ``ranks`` overrides ``rank`` adapter by adapter."""

    rank: int = 8
    alpha: float = 16.0
    targets: tuple[str, ...] = ("q_proj", "k_proj", "v_proj", "o_proj")
    ranks: tuple[int, ...] = ()

    def rank_of(self, row: int) -> int:
        """Rank of an adapter that is drawn anew."""
        return self.ranks[row] if row < len(self.ranks) else self.rank


@dataclass(frozen=True, slots=True)
class Slot:
    """One adapted linear layer: its module path and its width in and out."""

    path: str
    inputs: int
    outputs: int


class AdaptedLinear(nn.Module):
    """A frozen linear layer plus the low-rank product of the adapter each row names."""

    def __init__(self, base: nn.Linear, bank: AdapterBank, slot: int) -> None:
        """``slot`` is this layer's place in the bank's layout."""
        super().__init__()
        self.base = base
        self._bank = [bank]  # in a list, so that the bank does not become a submodule
        self._slot = slot

    def forward(self, x: Tensor) -> Tensor:
        """(R, L, inputs) to (R, L, outputs)."""
        out: Tensor = self.base(x)
        active = self._bank[0].active
        return out if active is None else active.add(out, x, self._slot)


class Active:
    """The factors one forward pass uses, gathered once and cut into views for every slot."""

    def __init__(self, bank: AdapterBank, rows: Sequence[int], dtype: torch.dtype) -> None:
        """``rows`` names the adapter of each row of the coming forward pass."""
        used = sorted(set(rows))
        self._rank = max(bank.ranks[row] for row in used)
        even = all(bank.ranks[row] == self._rank for row in used)
        vectors = [bank.parameters[row] if even else bank.padded(row, self._rank) for row in used]
        self._pieces = torch.split(torch.stack(vectors).to(dtype), bank.sizes(self._rank), dim=1)
        self._slots = bank.slots
        # where ranks differ, every B was scaled by its own alpha / r
        self._scale = bank.spec.alpha / self._rank if even else 1.0
        place = {row: i for i, row in enumerate(used)}
        index = [place[row] for row in rows]
        each, rest = divmod(len(index), len(used))
        # equal runs in order need no gathering: rows are viewed as (adapter, its rows)
        self._even = rest == 0 and index == [i for i in range(len(used)) for _ in range(each)]
        self._count = len(used)
        # nor do unequal ones that are long enough for products of their own
        long = each >= _LONG.get(bank.device.type, _LONG["cuda"]) and index == sorted(index)
        self._runs = [index.count(i) for i in range(len(used))] if long and not self._even else []
        self._index = torch.tensor(index, device=bank.device)

    def add(self, out: Tensor, x: Tensor, slot: int) -> Tensor:
        """``out + scale * B A x`` for every row, with its own adapter's factors."""
        shape = self._slots[slot]
        down = self._pieces[2 * slot].view(self._count, self._rank, shape.inputs)
        up = self._pieces[2 * slot + 1].view(self._count, shape.outputs, self._rank)
        if self._runs:
            return self._add_runs(out, x, down, up)
        if self._even:
            batch = self._count
        else:
            batch = x.shape[0]
            down, up = down.index_select(0, self._index), up.index_select(0, self._index)
        flat_x = x.reshape(batch, -1, shape.inputs)
        flat_out = out.reshape(batch, -1, shape.outputs)
        inner = torch.bmm(flat_x, down.transpose(1, 2))
        return torch.baddbmm(flat_out, inner, up.transpose(1, 2), alpha=self._scale).view_as(out)

    def _add_runs(self, out: Tensor, x: Tensor, down: Tensor, up: Tensor) -> Tensor:
        """``add`` by one product for each adapter, whose rows follow each other."""
        pieces = zip(torch.split(out, self._runs), torch.split(x, self._runs), down, up, strict=True)
        done = [
            torch.addmm(own.flatten(0, -2), given.flatten(0, -2) @ a.T, b.T, alpha=self._scale)
            for own, given, a, b in pieces
        ]
        return torch.cat(done).view_as(out)


class AdapterBank:
    """The adapters of one network over one backbone.

    ``parameters[a]`` is the flat vector of adapter ``a``: for every slot in order its A (rank, in)
    and its B (out, rank), row-major. ``ranks[a]`` is its rank, ``versions[a]`` counts its updates.
    """

    def __init__(self, model: nn.Module, spec: LoraSpec, count: int, seed: int) -> None:
        """Wraps the target layers of ``model`` in place and draws ``count`` adapters.

        A is uniform as in PEFT (Kaiming, a = sqrt 5), B is zero: every node starts as the backbone.
        """
        self.spec = spec
        self.slots = _wrap(model, spec, self)
        self.device = next(model.parameters()).device
        self.parameters: list[nn.Parameter] = []
        self.ranks: list[int] = []
        self.versions: list[int] = []
        self._chosen = threading.local()
        for row in range(count):
            self.append(self.fresh(derive(seed, "adapter", row), spec.rank_of(row)))

    @property
    def active(self) -> Active | None:
        """What ``select`` chose in this thread."""
        return getattr(self._chosen, "active", None)

    def sizes(self, rank: int) -> list[int]:
        """Elements of A and B of every slot, in the order of the vector."""
        return [rank * width for slot in self.slots for width in (slot.inputs, slot.outputs)]

    def per_adapter(self, rank: int | None = None) -> int:
        """Trainable parameters of one adapter, of the usual rank unless another is given."""
        return sum(self.sizes(self.spec.rank if rank is None else rank))

    def fresh(self, seed: int, rank: int | None = None) -> Tensor:
        """A flat vector (P,) with B = 0 and A drawn from ``seed``, on the CPU."""
        rank = self.spec.rank if rank is None else rank
        generator = torch.Generator().manual_seed(seed)
        pieces = []
        for slot in self.slots:
            bound = 1.0 / math.sqrt(slot.inputs)
            draw = torch.rand(rank * slot.inputs, generator=generator)
            pieces += [(2 * draw - 1) * bound, torch.zeros(rank * slot.outputs)]
        return torch.cat(pieces)

    def append(self, vector: Tensor) -> int:
        """Add an adapter with these factors, whose number tells its rank; returns its row."""
        rank, rest = divmod(vector.numel(), self.per_adapter(1))
        if vector.dim() != 1 or rest or not rank:
            raise ModelError(
                f"an adapter has {self.per_adapter()} parameters here, or another multiple of "
                f"{self.per_adapter(1)}, not {tuple(vector.shape)}"
            )
        self.parameters.append(nn.Parameter(vector.detach().to(self.device, torch.float32).clone()))
        self.ranks.append(rank)
        self.versions.append(0)
        return len(self.parameters) - 1

    def replace(self, row: int, vector: Tensor) -> None:
        """Another adapter in the place of one: a new parameter, of the rank that its numbers tell."""
        self.append(vector)
        self.parameters[row], self.ranks[row] = self.parameters.pop(), self.ranks.pop()
        self.versions[row] += 1 + self.versions.pop()

    def padded(self, row: int, rank: int) -> Tensor:
        """The adapter's vector as one of a higher rank: zeros added, its own scale taken into B."""
        own = self.ranks[row]
        pieces = torch.split(self.parameters[row], self.sizes(own))
        scale, wider = self.spec.alpha / own, []
        for i, slot in enumerate(self.slots):
            down = nn.functional.pad(pieces[2 * i].view(own, slot.inputs), (0, 0, 0, rank - own))
            up = nn.functional.pad(pieces[2 * i + 1].view(slot.outputs, own) * scale, (0, rank - own))
            wider += [down.flatten(), up.flatten()]
        return torch.cat(wider)

    def factors(self, row: int) -> Iterator[tuple[Slot, Tensor, Tensor]]:
        """(slot, A (rank, in), B (out, rank)) of one adapter, as views of its vector."""
        rank = self.ranks[row]
        pieces = torch.split(self.parameters[row].detach(), self.sizes(rank))
        for i, slot in enumerate(self.slots):
            yield slot, pieces[2 * i].view(rank, slot.inputs), pieces[2 * i + 1].view(slot.outputs, rank)

    def holding(self, vectors: Sequence[Tensor | None]) -> AdapterBank:
        """A copy with these factors, constant; None: the adapter's present ones, as they change, constant.

        Only ``select(of=...)`` is meant to see it: the layers of the model belong to this bank.
        """
        other = copy.copy(self)
        other.parameters = [
            nn.Parameter((own.data if held is None else held.to(own)), requires_grad=False)
            for own, held in zip(self.parameters, vectors, strict=True)
        ]
        return other

    def others(self, vectors: Sequence[Tensor]) -> AdapterBank:
        """A bank of any number of other adapters (P,) over the same layers, for ``select(of=...)`` alone."""
        other = copy.copy(self)
        other.parameters, other.ranks, other.versions = [], [], []
        for vector in vectors:
            other.append(vector)
        return other

    @contextmanager
    def select(
        self, rows: Sequence[int] | None, dtype: torch.dtype, of: AdapterBank | None = None
    ) -> Iterator[None]:
        """Within the block, row ``i`` of every forward pass uses adapter ``rows[i]``; None: none.

        ``of`` is a copy of this bank whose factors are used instead. Nests: the previous choice is restored,
        not reset. It holds for this thread alone.
        """
        before = self.active
        self._chosen.active = None if rows is None else Active(of or self, rows, dtype)
        try:
            yield
        finally:
            self._chosen.active = before


def _wrap(model: nn.Module, spec: LoraSpec, bank: AdapterBank) -> tuple[Slot, ...]:
    """Replace every target linear layer by an adapted one; returns their slots in module order."""
    linears = [(path, module) for path, module in _inside(model) if isinstance(module, nn.Linear)]
    names = sorted({path.rpartition(".")[2] for path, _ in linears})
    for target in spec.targets:
        if target not in names:
            raise ModelError(unknown("adapter target", target, names))
    found = [(path, module) for path, module in linears if path.rpartition(".")[2] in spec.targets]
    slots: list[Slot] = []
    for path, module in found:
        parent, _, name = path.rpartition(".")
        setattr(model.get_submodule(parent), name, AdaptedLinear(module, bank, len(slots)))
        slots.append(Slot(path, module.in_features, module.out_features))
    return tuple(slots)


def _inside(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """The modules of the decoder by path. What turns hidden states into logits is used without adapters."""
    from transformers import PreTrainedModel

    if not isinstance(model, PreTrainedModel):
        yield from model.named_modules()
        return
    decoder, head = model.get_decoder(), model.get_output_embeddings()
    inside = set(decoder.modules()) - ({head} if head is not None else set())
    yield from ((path, module) for path, module in model.named_modules() if module in inside)
