"""Which position a node is told, apart from which it has."""

from __future__ import annotations

from dataclasses import replace

from neuromas.topology.graph import Topology


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
