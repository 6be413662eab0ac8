"""Which position a node is told, apart from which it has; and rows of nodes by name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from neuromas.core.errors import ConfigError, shown, unknown
from neuromas.topology.graph import Topology


def speakers(topology: Topology) -> tuple[str, ...]:
    """The names of the nodes that somebody reads: all but the output node's, in topological order."""
    return tuple(node.name for node in topology.nodes[:-1])


def speaker_rows(topology: Topology, names: Sequence[str]) -> tuple[int, ...]:
    """The rows of these nodes, ascending, each once.

    Raises ConfigError for no name, one that is not there, and the output node's, which speaks to nobody.
    """
    valid = speakers(topology)
    output = topology.nodes[topology.sink].name
    if not valid:
        raise ConfigError(f"the network has one node, {output!r}, whose message nobody reads: none to alter")
    if not names:
        raise ConfigError(f"no node is named (valid: {', '.join(valid)})")
    for name in names:
        if name == output:
            where = f"node {shown(name)} is the output node, whose message nobody reads"
            raise ConfigError(f"{where} (valid: {', '.join(valid)})")
        if name not in valid:
            raise ConfigError(unknown("node", name, valid))
    return tuple(row for row, name in enumerate(valid) if name in names)


def swapped(topology: Topology) -> Topology:
    """The same graph; every node is told the position of the next node of its layer, the last the first's.

    Readers know the writers of messages by what these are told. A node alone in its layer keeps its own.
    """
    nodes = list(topology.nodes)
    for layer in topology.layers():
        for row, other in zip(layer, (*layer[1:], layer[0]), strict=True):
            if row != other:
                nodes[row] = replace(nodes[row], shown_position=topology.place(other))
    return Topology(tuple(nodes), topology.edges)
