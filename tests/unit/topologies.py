"""Random legal networks for properties, shared by the tests of everything that reads a topology."""

from __future__ import annotations

from itertools import combinations

from hypothesis import strategies as st

from neuromas.growth.operators import Growth, add_edge, insert_layer, widen
from neuromas.topology.graph import Topology


@st.composite
def random_topologies(draw, max_nodes: int = 9) -> Topology:
    """Any acyclic graph with one sink; names shuffled, some budgets, some nodes without the question."""
    count = draw(st.integers(1, max_nodes))
    names = draw(st.permutations([f"n{i}" for i in range(count)]))
    edges: dict[tuple[str, str], int | None] = {}
    budgets = st.none() | st.integers(1, 512)
    for later in range(1, count):
        for earlier in range(later):
            if draw(st.booleans()):
                edges[names[earlier], names[later]] = draw(budgets)
    heard = {source for source, _ in edges}
    for name in names[:-1]:
        if name not in heard:  # everyone is read by somebody, the last node is the sink
            edges[name, names[-1]] = draw(budgets)
    reading = {target for _, target in edges}
    sees = {
        name: draw(st.sampled_from(["all", "1/2", "2/2", "none"] if name in reading else ["all", "1/3"]))
        for name in names
    }
    order = draw(st.permutations(names))
    return Topology.build(order, [(s, t, b) for (s, t), b in edges.items()], sees)


def any_operators(topology: Topology, positions: str = "keep") -> list[Growth]:
    """Every operator at every place, layers 1 and 2 wide."""
    found = [widen(topology, layer, positions) for layer in range(1, topology.depth)]
    for after in range(topology.depth):
        found += [insert_layer(topology, after, width, positions) for width in (1, 2)]
    there = pairs(topology)
    others = [pair for pair in combinations(names(topology), 2) if pair not in there]
    return found + [add_edge(topology, *pair, positions) for pair in others]


def pairs(topology: Topology) -> set[tuple[str, str]]:
    """Names of writer and reader of every edge."""
    found = names(topology)
    return {(found[edge.source], found[edge.target]) for edge in topology.edges}


def names(topology: Topology) -> list[str]:
    """Names of all nodes, in order."""
    return [node.name for node in topology.nodes]
