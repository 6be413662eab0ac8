"""The sampler's attention plan: prompts computed once, and what each sample adds to them.

Slots are arranged as G groups of W slots; the slots of a group share one prefix. Keys and values of
the prefix are kept once per group, so that W samples read them in one matrix product.
"""

from __future__ import annotations

import torch
from torch import Tensor

from neuromas.models.attention import masked_softmax

Pair = tuple[Tensor, Tensor]


class CachePlan:
    """New tokens of every slot attend to their group's prefix and to the slot's own tokens."""

    def __init__(self, prefix: dict[int, Pair], lengths: Tensor, width: int, capacity: int) -> None:
        """``prefix`` per layer (G, Hk, P, D) twice; ``lengths`` (G,); W slots of ``capacity`` tokens."""
        self.prefix = prefix
        self.lengths = lengths
        self.width = width
        self.capacity = capacity
        self.used = 0
        self._own: dict[int, Pair] = {}
        device = lengths.device
        # which own positions hold a token (suffixes differ in length), and at which position it stands
        self.valid = torch.zeros(lengths.shape[0], width, capacity, dtype=torch.bool, device=device)
        self.position = torch.zeros(lengths.shape[0], width, capacity, dtype=torch.long, device=device)
        self._fresh = 0
        self._biases: dict[int | None, Tensor] = {}

    def fill(self, layer: int, key: Tensor, value: Tensor) -> None:
        """Put known keys and values (G, Hk, W, T, D) of the T tokens announced last into a layer."""
        groups, heads, _, fresh, dim = key.shape
        shape = (groups, heads, self.width, self.capacity, dim)
        own = (key.new_empty(shape), value.new_empty(shape))
        own[0][:, :, :, self.used - fresh : self.used] = key
        own[1][:, :, :, self.used - fresh : self.used] = value
        self._own[layer] = own

    def extend(self, valid: Tensor, position: Tensor) -> None:
        """Announce T new tokens for every slot: both (G, W, T). Call before the forward pass."""
        count = valid.shape[-1]
        self.valid[:, :, self.used : self.used + count] = valid
        self.position[:, :, self.used : self.used + count] = position
        self._fresh = count
        self.used += count
        self._biases = {}

    def _bias(self, window: int | None, dtype: torch.dtype) -> Tensor:
        """Additive mask (G, 1, W, 1, T, P + used): prefix columns first, then the slot's own."""
        if window in self._biases:
            return self._biases[window]
        size = next(iter(self.prefix.values()))[0].shape[2]
        device = self.valid.device
        place = torch.arange(size, device=device)
        query = self.position[:, :, self.used - self._fresh : self.used]
        ahead = (place < self.lengths[:, None])[:, None, None, :].expand(*query.shape, size)
        order = torch.arange(self.used, device=device)
        causal = order[None, :] <= order[self.used - self._fresh :, None]
        own = self.valid[:, :, None, : self.used] & causal
        # a padding token sees itself, so that no softmax is empty
        own = own | (order[None, :] == order[self.used - self._fresh :, None])
        if window is not None:
            ahead = ahead & (query[..., None] - place < window)
            own = own & (query[..., None] - self.position[:, :, None, : self.used] < window)
        seen = torch.cat([ahead, own], dim=-1)[:, None, :, None]
        self._biases[window] = torch.where(seen, 0.0, -torch.inf).to(dtype)
        return self._biases[window]

    def attend(
        self, layer: int, qkv: tuple[Tensor, Tensor, Tensor], scale: float, window: int | None
    ) -> Tensor:
        """See ``attention.Plan``; rows are the G * W slots, T new tokens each."""
        query, key, value = qkv
        rows, heads, fresh, dim = query.shape
        groups, kv_heads = rows // self.width, key.shape[1]
        share = heads // kv_heads
        if layer not in self._own:
            shape = (groups, kv_heads, self.width, self.capacity, dim)
            self._own[layer] = (key.new_empty(shape), key.new_empty(shape))
        own_key, own_value = self._own[layer]
        new = slice(self.used - fresh, self.used)
        own_key[:, :, :, new] = key.view(groups, self.width, kv_heads, fresh, dim).transpose(1, 2)
        own_value[:, :, :, new] = value.view(groups, self.width, kv_heads, fresh, dim).transpose(1, 2)
        own_key, own_value = own_key[:, :, :, : self.used], own_value[:, :, :, : self.used]
        pre_key, pre_value = self.prefix[layer]
        split = pre_key.shape[2]
        asked = (query * scale).view(groups, self.width, kv_heads, share, fresh, dim).transpose(1, 2)
        asked = asked.reshape(groups, kv_heads, self.width * share * fresh, dim)
        before = (asked @ pre_key.transpose(2, 3)).view(groups, kv_heads, self.width, share, fresh, split)
        alone = asked.view(groups, kv_heads, self.width, share * fresh, dim)
        after = (alone @ own_key.transpose(3, 4)).view(groups, kv_heads, self.width, share, fresh, self.used)
        weights = masked_softmax(torch.cat([before, after], dim=-1), self._bias(window, before.dtype))
        ahead = weights[..., :split].reshape(groups, kv_heads, self.width * share * fresh, split)
        rest = weights[..., split:].reshape(groups, kv_heads, self.width, share * fresh, self.used)
        out = (ahead @ pre_value).view(groups, kv_heads, self.width, share, fresh, dim)
        out = out + (rest @ own_value).view_as(out)
        return out.permute(0, 2, 4, 1, 3, 5).reshape(rows, fresh, heads, dim)

    def keep(self, groups: Tensor, slots: Tensor) -> CachePlan:
        """The plan left when only ``groups`` (G',) and in each the ``slots`` (G', W') go on."""
        prefix = {layer: (k[groups], v[groups]) for layer, (k, v) in self.prefix.items()}
        plan = CachePlan(prefix, self.lengths[groups], slots.shape[1], self.capacity)
        plan.used = self.used
        row = groups[:, None]
        plan.valid, plan.position = self.valid[row, slots], self.position[row, slots]
        for layer, (k, v) in self._own.items():
            plan._own[layer] = (
                k[row, :, slots].transpose(1, 2).contiguous(),
                v[row, :, slots].transpose(1, 2).contiguous(),
            )
        return plan
