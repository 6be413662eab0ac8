"""The sampler's attention plan: prompts computed once, and what the branches of each add to them.

Branches are beginnings of messages that differ; they are the rows of a forward pass. The branches of a
group share one prefix. Keys and values of a group lie in one table of columns: what was read of its prompts,
then as many columns a turn as the group with most branches has. A mask says which branch sees which column,
so that all groups are one call of the fused attention; only there are groups with fewer branches padded.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

Pair = tuple[Tensor, Tensor]


@dataclass(frozen=True, slots=True)
class Columns:
    """What stands in the F columns of G groups, and what R branches see of their group's.

    ``place`` (G, F) is the position of each token, ``seen`` (R, F) whether a branch sees it, ``group`` (R,)
    the group of each branch, in order.
    """

    place: Tensor
    seen: Tensor
    group: Tensor


class CachePlan:
    """One new token of every branch attends to what the branch has seen so far."""

    def __init__(self, columns: Columns, kept: Iterable[tuple[int, Pair]], room: int) -> None:
        """``kept`` layer by layer keys and values (G, F, Hk, D); there is room for so many more columns."""
        self.columns = columns
        self._tables = {n: (_table(k, room), _table(v, room)) for n, (k, v) in kept}
        self._width = 0
        self._position = columns.group  # of each branch's last token, once there is one
        self._lines: Tensor | None = None  # of each branch among G * W padded ones, if any is padded
        self._biases: dict[int | None, Tensor] = {}

    def branch(self, parents: Tensor, within: Tensor, position: Tensor) -> None:
        """Announce the coming tokens, each of a branch that goes on from one of before.

        ``parents`` (R',) are numbers of those, ``within`` (R',) a branch's number in its group, ``position``
        (R',) where its token stands. Call before the forward pass.
        """
        was = self.columns
        group, (count, used) = was.group[parents], was.place.shape
        self._width = width = int(within.max()) + 1
        self._position = position
        self._lines = None if len(group) == count * width else group * width + within
        seen = torch.cat([was.seen[parents], was.seen.new_zeros(len(group), width)], dim=1)
        seen[torch.arange(len(group), device=group.device), used + within] = True
        place = torch.cat([was.place, was.place.new_zeros(count, width)], dim=1)
        place[group, used + within] = position
        self.columns = Columns(place, seen, group)
        self._biases = {}

    def _bias(self, window: int | None, share: int, dtype: torch.dtype) -> Tensor:
        """Additive mask (G, 1, W * share, F) for queries of W branches with ``share`` heads each."""
        if window not in self._biases:
            now = self.columns
            seen = now.seen
            if window is not None:
                seen = seen & (self._position[:, None] - now.place[now.group] < window)
            bias = self._padded(torch.where(seen, 0.0, -torch.inf).to(dtype))
            bias = bias.view(now.place.shape[0], self._width, -1)
            self._biases[window] = bias.repeat_interleave(share, dim=1)[:, None]
        return self._biases[window]

    def _padded(self, rows: Tensor) -> Tensor:
        """(R, ...) as (G * W, ...), zero where a group has no such branch."""
        if self._lines is None:
            return rows
        room = rows.new_zeros(self.columns.place.shape[0] * self._width, *rows.shape[1:])
        return room.index_copy_(0, self._lines, rows)

    def attend(
        self, layer: int, qkv: tuple[Tensor, Tensor, Tensor], scale: float, window: int | None
    ) -> Tensor:
        """See ``attention.Plan``; rows are the R branches, one new token each."""
        query, key, value = qkv
        _, heads, _, dim = query.shape
        groups, used = self.columns.place.shape
        width, kv_heads = self._width, key.shape[1]
        share = heads // kv_heads
        keys, values = (table[:, :, :used] for table in self._tables[layer])
        for table, new in ((keys, key), (values, value)):
            own = self._padded(new[:, :, 0]).view(groups, width, kv_heads, dim)
            table[:, :, -width:] = own.transpose(1, 2)
        asked = self._padded(query[:, :, 0]).view(groups, width, kv_heads, share, dim).transpose(1, 2)
        out = scaled_dot_product_attention(
            asked.reshape(groups, kv_heads, width * share, dim),
            keys,
            values,
            attn_mask=self._bias(window, share, query.dtype),
            scale=scale,
        )
        out = out.view(groups, kv_heads, width, share, dim).transpose(1, 2)
        out = out.reshape(groups * width, 1, heads, dim)
        return out if self._lines is None else out[self._lines]

    def divided(self, parents: Tensor, most: int) -> list[int]:
        """New groups, by number, for branches that go on from ``parents`` (R',), in order.

        A branch computes what others of its group see and it does not. Groups are halved until that is no
        more than so many columns, or a single branch.
        """
        seen, old = self.columns.seen[parents].cpu(), self.columns.group[parents].tolist()
        starts = [i for i in range(len(old)) if not i or old[i] != old[i - 1]]
        waiting = list(zip(starts, [*starts[1:], len(old)], strict=True))[::-1]
        lines: list[int] = []
        while waiting:
            first, end = waiting.pop()
            part = seen[first:end]
            if end - first == 1 or int(part.any(dim=0).sum() - part.all(dim=0).sum()) <= most:
                lines += [lines[-1] + 1 if lines else 0] * (end - first)
            else:
                middle = (first + end) // 2
                waiting += [(middle, end), (first, middle)]
        return lines

    def keep(self, parents: Tensor, group: Tensor, room: int) -> CachePlan:
        """The plan left when only branches of ``parents`` (R',) go on, in new groups ``group`` (R',).

        Columns that nobody sees any more are left out; where a group needs fewer than others, some stay.
        """
        was, last = self.columns, int(group[-1]) + 1
        seen, old = was.seen[parents], was.group[parents]
        source = old.new_zeros(last).scatter_(0, group, old)
        used = torch.zeros(last, seen.shape[1], dtype=torch.int, device=seen.device)
        used.index_add_(0, group, seen.int())
        most = int((used > 0).sum(dim=1).max())
        index = torch.sort(used == 0, dim=1, stable=True).indices[:, :most]  # (G', F')
        row = source[:, None]
        columns = Columns(was.place[row, index], seen.gather(1, index[group]), group)
        kept = ((n, (k[row, :, index], v[row, :, index])) for n, (k, v) in self._tables.items())
        return CachePlan(columns, kept, room)


def spread(members: Sequence[int]) -> list[int]:
    """The number of each branch within its group, for branches whose ``members`` (groups) are in order."""
    within: list[int] = []
    for i, group in enumerate(members):
        within.append(within[-1] + 1 if i and members[i - 1] == group else 0)
    return within


def _table(found: Tensor, room: int) -> Tensor:
    """(G, F, Hk, D) as the first columns of a table (G, Hk, F + room, D)."""
    groups, size, heads, dim = found.shape
    table = found.new_empty(groups, heads, size + room, dim)
    table[:, :, :size] = found.transpose(1, 2)
    return table
