"""The sampler's attention plan: prompts computed once, and what each sample adds to them.

Slots are arranged as G groups of W slots; the slots of a group share one prefix. Keys and values of a
group lie in one table of columns: P of the prefix, then the slots' own tokens turn by turn, W a turn. A
mask says which slot sees which column, so that a group is one call of the fused attention. What a slot
computes and throws away are the other slots' own columns: groups are kept narrow where those are many.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

Pair = tuple[Tensor, Tensor]


@dataclass(frozen=True, slots=True)
class Columns:
    """What stands in the columns: F of them, the first P the prefix, the rest W a turn.

    ``place`` (G, F) is the position of each token, ``seen`` (G, W, F) whether a slot sees it.
    """

    prefix: int
    place: Tensor
    seen: Tensor

    def keep(self, groups: Tensor, slots: Tensor) -> tuple[Columns, Tensor]:
        """Those of ``groups`` (G',) and in each ``slots`` (G', W'), and their old numbers (G', F')."""
        count, width = slots.shape
        turns = torch.arange(self.prefix, self.place.shape[1], self.seen.shape[1], device=slots.device)
        own = (turns[:, None] + slots[:, None, :]).flatten(1)  # (G', turns * W')
        ahead = torch.arange(self.prefix, device=slots.device).expand(count, -1)
        index = torch.cat([ahead, own], dim=1)
        row = groups[:, None]
        seen = self.seen[row, slots].gather(2, index[:, None].expand(-1, width, -1))
        return Columns(self.prefix, self.place[row, index], seen), index


class CachePlan:
    """One new token of every slot attends to its group's prefix and to the slot's own tokens."""

    def __init__(self, columns: Columns, kept: Iterable[tuple[int, Pair]], turns: int) -> None:
        """``kept`` layer by layer keys and values (G, F, Hk, D); there is room for so many ``turns`` more."""
        self.columns, self._turns = columns, turns
        self.width = columns.seen.shape[1]
        groups, self._used = columns.place.shape
        room = self._used + turns * self.width
        # other slots' columns are never seen, so that own ones can be marked before they are filled
        own = torch.eye(self.width, dtype=torch.bool, device=columns.seen.device).repeat(1, turns)
        self._seen = torch.cat([columns.seen, own.expand(groups, -1, -1)], dim=2)
        self._place = torch.cat([columns.place, columns.place.new_zeros(groups, room - self._used)], dim=1)
        self._tables = {n: (_table(k, room), _table(v, room)) for n, (k, v) in kept}
        self._biases: dict[int | None, Tensor] = {}

    def extend(self, position: Tensor) -> None:
        """Announce one new token for every slot, at its ``position`` (G, W). Call before the forward pass."""
        self._place[:, self._used : self._used + self.width] = position
        self._used += self.width
        self._turns -= 1
        self._biases = {}

    def _bias(self, window: int | None, share: int, dtype: torch.dtype) -> Tensor:
        """Additive mask (G, 1, W * share, columns) for queries of W slots with ``share`` heads each."""
        if window not in self._biases:
            seen, place = self._seen[..., : self._used], self._place[:, : self._used]
            if window is not None:
                now = place[:, -self.width :, None]
                seen = seen & (now - place[:, None] < window)
            bias = torch.where(seen, 0.0, -torch.inf).to(dtype)
            self._biases[window] = bias.repeat_interleave(share, dim=1)[:, None]
        return self._biases[window]

    def attend(
        self, layer: int, qkv: tuple[Tensor, Tensor, Tensor], scale: float, window: int | None
    ) -> Tensor:
        """See ``attention.Plan``; rows are the G * W slots, one new token each."""
        query, key, value = qkv
        rows, heads, _, dim = query.shape
        groups, kv_heads = rows // self.width, key.shape[1]
        share = heads // kv_heads
        keys, values = (table[:, :, : self._used] for table in self._tables[layer])
        keys[:, :, -self.width :] = key.view(groups, self.width, kv_heads, dim).transpose(1, 2)
        values[:, :, -self.width :] = value.view(groups, self.width, kv_heads, dim).transpose(1, 2)
        asked = query.view(groups, self.width, kv_heads, share, dim).transpose(1, 2)
        out = scaled_dot_product_attention(
            asked.reshape(groups, kv_heads, self.width * share, dim),
            keys,
            values,
            attn_mask=self._bias(window, share, query.dtype),
            scale=scale,
        )
        out = out.view(groups, kv_heads, self.width, share, dim).transpose(1, 2)
        return out.reshape(rows, 1, heads, dim)

    def keep(self, groups: Tensor, slots: Tensor) -> CachePlan:
        """The plan left when only ``groups`` (G',) and in each the ``slots`` (G', W') go on."""
        now = Columns(self.columns.prefix, self._place[:, : self._used], self._seen[..., : self._used])
        columns, index = now.keep(groups, slots)
        row = groups[:, None]
        kept = ((n, (k[row, :, index], v[row, :, index])) for n, (k, v) in self._tables.items())
        return CachePlan(columns, kept, self._turns)


def _table(found: Tensor, room: int) -> Tensor:
    """(G, F, Hk, D) as the first columns of a table (G, Hk, room, D)."""
    groups, size, heads, dim = found.shape
    table = found.new_empty(groups, heads, room, dim)
    table[:, :, :size] = found.transpose(1, 2)
    return table
