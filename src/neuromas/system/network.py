"""A network: a topology whose nodes are adapters of one engine, with the limits they write under."""

from __future__ import annotations

from dataclasses import dataclass

from neuromas.core.errors import ConfigError, unknown
from neuromas.engines.base import Engine
from neuromas.topology.graph import Topology

SHARING = ("node", "layer", "all")


@dataclass(frozen=True, slots=True)
class Network:
    """What a rollout needs. ``assignment[node]`` is the adapter row of each node."""

    topology: Topology
    engine: Engine
    assignment: tuple[int, ...]
    style: str = "plain"
    message_tokens: int = 16
    answer_tokens: int = 16

    @property
    def ends(self) -> frozenset[int]:
        """Tokens that end a message in this prompt style."""
        codec = self.engine.codec
        return codec.line_end_ids if self.style == "plain" else codec.end_ids

    def budget(self, node: int) -> int:
        """Most tokens the node may write, its end token included."""
        if node == self.topology.sink:
            return self.answer_tokens
        return self.topology.message_budget(node, self.message_tokens)


def assign(topology: Topology, share: str) -> tuple[int, ...]:
    """Adapter row of every node: one for each node, one for each layer, or one for all."""
    if share == "node":
        return tuple(range(len(topology.nodes)))
    if share == "layer":
        return tuple(node.layer - 1 for node in topology.nodes)
    if share == "all":
        return tuple(0 for _ in topology.nodes)
    raise ConfigError(unknown("value of share", share, SHARING))
