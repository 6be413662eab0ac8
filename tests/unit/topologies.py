"""Random legal networks for properties, shared by the tests of everything that reads a topology."""

from __future__ import annotations

from hypothesis import strategies as st

from neuromas.topology import Topology


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
