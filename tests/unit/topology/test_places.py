"""Which positions nodes are told."""

from __future__ import annotations

from neuromas.topology.graph import Topology
from neuromas.topology.places import swapped
from neuromas.topology.shapes import build_shape


def test_every_node_is_told_the_next_of_its_layer():
    told = swapped(Topology.parse("3-1"))
    assert [told.place(node).index for node in range(4)] == [2, 3, 1, 1]
    assert told.nodes[3].shown_position is None
    assert told.edges == Topology.parse("3-1").edges
    assert [node.index for node in told.nodes] == [1, 2, 3, 1], "where they stand stays"
    twice = swapped(swapped(told))
    assert [twice.place(node).index for node in range(4)] == [1, 2, 3, 1]


def test_a_place_is_told_with_its_readers():
    tree = build_shape("tree:2,2", "all")
    assert [swapped(tree).place(node).readers for node in range(4)] == [
        ("2.1",),
        ("2.2",),
        ("2.2",),
        ("2.1",),
    ]
