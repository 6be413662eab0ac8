"""Who hears a message while it is being written: the rollout's side of streaming.

A listener belongs to one pass and is told of its messages alone, from whatever thread decodes them. Passes
without one are played as if this file did not exist.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from neuromas.core.episode import Turn
from neuromas.engines.base import Engine, Generation, Request, Streams
from neuromas.system.network import Network

LEFT = "nobody waits for the answer"


@runtime_checkable
class Listener(Protocol):
    """One who waits for the messages of a pass. Its methods return at once."""

    @property
    def gone(self) -> bool:
        """Whether nobody waits any more: the pass then writes no further message."""
        ...

    def token(self, node: int, token: int) -> bool:
        """A node's next token, end token included, where the engine can tell; False: write no more."""
        ...

    def said(self, turn: Turn) -> None:
        """A node's whole message, also one whose tokens were told."""
        ...


def write(
    network: Network,
    rows: Sequence[tuple[int, Listener | None]],
    requests: Sequence[Request],
    temperature: float,
) -> list[Generation]:
    """The messages of ``requests``; a row is the node that writes and who listens to it.

    One batch, or as many as there are rules that end them.
    """
    ends = {node: network.ends(node) for node in dict.fromkeys(node for node, _ in rows)}
    found: dict[int, Generation] = {}
    for rule in dict.fromkeys(ends.values()):
        chosen = [row for row, (node, _) in enumerate(rows) if ends[node] == rule]
        batch = [requests[row] for row in chosen]
        spoken = _generate(network.engine, batch, [rows[row] for row in chosen], temperature, rule)
        found.update(zip(chosen, spoken, strict=True))
    return [found[row] for row in range(len(requests))]


def _generate(
    engine: Engine,
    batch: Sequence[Request],
    rows: Sequence[tuple[int, Listener | None]],
    temperature: float,
    ends: frozenset[int],
) -> list[Generation]:
    """One batch, with its tokens told if somebody listens and the engine can tell them."""
    if not isinstance(engine, Streams) or all(listener is None for _, listener in rows):
        return engine.generate(batch, temperature, ends)

    def told(row: int, token: int) -> bool:
        node, listener = rows[row]
        return listener is None or listener.token(node, token)

    return engine.stream(batch, temperature, ends, told)
