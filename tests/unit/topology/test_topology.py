"""The architecture as a value: what it reads, what it refuses, and that its forms agree."""

from __future__ import annotations

import dataclasses
import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from topologies import random_topologies

from neuromas.core.errors import TopologyError
from neuromas.prompts.build import question_for
from neuromas.tasks import make_task
from neuromas.topology.files import load_topology
from neuromas.topology.graph import Edge, NodeSpec, Topology
from neuromas.topology.links import MAX_NODES


@pytest.mark.parametrize(
    ("text", "nodes", "edges", "depth"),
    # Edges of dense layers: the sum of products of neighbouring widths, e.g. 2·2 + 2·2 + 2·1 = 10.
    [("1", 1, 0, 1), ("1-1-1", 3, 2, 3), ("2-2-1", 5, 6, 3), ("2-2-2-1", 7, 10, 4), (" 3-1 ", 4, 3, 2)],
)
def test_widths_are_dense_layers(text, nodes, edges, depth):
    topology = Topology.parse(text)
    assert (len(topology.nodes), len(topology.edges), topology.depth) == (nodes, edges, depth)
    assert str(topology) == text.strip()
    assert topology.sink == nodes - 1


def test_positions_of_neuromas_5():
    topology = Topology.parse("2-2-1")
    assert [node.name for node in topology.nodes] == ["1.1", "1.2", "2.1", "2.2", "3.1"]
    assert topology.nodes[3] == NodeSpec("2.2", layer=2, index=2, width=2, question="all")
    assert topology.layers() == ((0, 1), (2, 3), (4,))
    assert topology.incoming(2) == (Edge(0, 2), Edge(1, 2))
    assert topology.outgoing(2) == (Edge(2, 4),)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "not layer widths"),
        ("2-0-1", "not layer widths"),
        ("01-1", "not layer widths"),
        ("2--1", "not layer widths"),
        ("-1", "not layer widths"),
        ("2,2,1", "not layer widths"),
        ("1\u0662-1", "not layer widths"),  # a digit, but of another script
        ("2-2", "ends in 2 nodes"),
        ("999-1", "1000 nodes, the limit is 256"),
    ],
)
def test_bad_widths_are_named(text, says):
    with pytest.raises(TopologyError, match=says):
        Topology.parse(text)


@pytest.mark.parametrize(
    ("mode", "sees"),
    [
        ("all", ["all", "all", "all"]),
        ("first", ["all", "all", "none"]),
        ("split", ["1/2", "2/2", "stem"]),
        ("layers", ["1/2", "1/2", "2/2"]),
        ("hints", ["hints", "hints", "hints"]),
    ],
)
def test_question_modes(mode, sees):
    assert [node.question for node in Topology.parse("2-1", mode).nodes] == sees


@pytest.mark.parametrize(
    ("edges", "says"),
    [
        ([("a", "b"), ("b", "a"), ("b", "c")], r"a cycle through a, b$"),
        ([("a", "b"), ("b", "c"), ("c", "b")], r"a cycle through b, c$"),
        ([("a", "b"), ("a", "c")], r"2 nodes nobody reads: b, c"),
        ([("a", "c")], r"2 nodes nobody reads: b, c"),  # b hears nothing and nobody hears it
        ([("a", "a"), ("a", "c"), ("b", "c")], r"'a' reads itself"),
        ([("a", "b"), ("b", "c"), ("a", "b", 3)], r"'a' -> 'b' is listed twice"),
        ([("a", "b", 0), ("b", "c")], r"budget 0"),
        ([("a", "b", -5), ("b", "c")], r"budget -5"),
        ([("a", "b", True), ("b", "c")], r"budget True"),
        ([("a", "b", 1.5), ("b", "c")], r"budget 1\.5"),
        ([("a", "b"), ("b", "cc")], r"unknown node in an edge 'cc'; did you mean 'c'\?"),
        ([("a",), ("b", "c")], r"\['a'\] is not \[source, target\]"),
    ],
)
def test_illegal_graphs_are_named(edges, says):
    with pytest.raises(TopologyError, match=says):
        Topology.build(["a", "b", "c"], edges)


@pytest.mark.parametrize(
    ("names", "says"),
    [
        ([], "at least one node"),
        (["a", "a"], "'a' is listed twice"),
        (["a b"], "node name 'a b'"),
        (["a\n"], "node name"),
        (["<b>"], "node name"),
        (["x" * 33], "node name"),
        ([f"n{i}" for i in range(MAX_NODES + 1)], "257 nodes"),
    ],
)
def test_illegal_names_are_named(names, says):
    with pytest.raises(TopologyError, match=says):
        Topology.build(names, [])


@pytest.mark.parametrize(
    ("question", "says"),
    [
        ("some", "unknown question mode 'some'"),
        ({"z": "all"}, "unknown node in question 'z'"),
        ({"a": "half"}, "question 'half'"),
        ({"a": "3/2"}, "beyond the last"),
        ({"a": "1/2\n"}, "is not 'all'"),
        ({"a": "none"}, "'a' reads neither the question nor a message"),
    ],
)
def test_illegal_questions_are_named(question, says):
    with pytest.raises(TopologyError, match=says):
        Topology.build(["a", "b"], [("a", "b")], question)


def test_skip_edges_take_the_longest_path():
    topology = Topology.build(["out", "a", "b"], [("a", "b"), ("b", "out"), ("a", "out", 8)])
    assert [(node.name, node.layer) for node in topology.nodes] == [("a", 1), ("b", 2), ("out", 3)]
    assert str(topology) == "1-1-1 with 3 edges"


def test_a_node_writes_for_its_most_patient_reader():
    topology = Topology.build(["a", "b", "c"], [("a", "b", 8), ("a", "c"), ("b", "c", 4)])
    assert topology.message_budget(0, default=16) == 16
    assert topology.message_budget(0, default=4) == 8
    assert topology.message_budget(1, default=16) == 4
    assert topology.message_budget(2, default=16) == 16  # the sink has no reader


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ({}, "'nodes' and 'edges'"),
        ({"nodes": [{"name": "a"}]}, "'edges'"),
        ({"nodes": ["a"], "edges": []}, "'nodes' and 'edges'"),
        ({"nodes": [{"name": "a"}, {"name": "b"}], "edges": ["ab"]}, "an edge is a list"),
        ({"nodes": [{"name": "a"}], "edges": 3}, "'nodes' and 'edges'"),
    ],
)
def test_data_of_another_shape_is_refused(data, says):
    with pytest.raises(TopologyError, match=says):
        Topology.from_dict(data)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"layer": 2}, "is in layer 1, 1 of 2; not in layer 2, 1 of 2"),
        ({"index": 2}, "not in layer 1, 2 of 2"),
        ({"width": 3}, "not in layer 1, 1 of 3"),
        ({"name": "1.2"}, "'1.2' is listed twice"),
    ],
)
def test_a_value_cannot_contradict_its_edges(change, says):
    topology = Topology.parse("2-1")
    nodes = (dataclasses.replace(topology.nodes[0], **change), *topology.nodes[1:])
    with pytest.raises(TopologyError, match=says):
        Topology(nodes, topology.edges)


def test_a_value_has_one_form_only():
    topology = Topology.parse("2-1")
    with pytest.raises(TopologyError, match="order of their sources"):
        Topology(topology.nodes, topology.edges[::-1])
    with pytest.raises(TopologyError, match="listed twice"):
        Topology(topology.nodes, (topology.edges[0], topology.edges[0], topology.edges[1]))
    with pytest.raises(TopologyError, match="from earlier to later"):
        Topology(topology.nodes, (Edge(2, 0), *topology.edges))


def test_the_largest_network_is_quick():
    start = time.process_time()
    topology = Topology.parse("128-127-1")
    assert len(topology.edges) == 128 * 127 + 127
    assert time.process_time() - start < 5  # 0.15 s where it was written; quadratic in edges it took 24 s


@given(random_topologies())
def test_forms_round_trip(topology):
    assert Topology.from_dict(topology.to_dict()) == topology
    again = Topology.from_dict(json.loads(json.dumps(topology.to_dict())))
    assert (again, hash(again), again.digest) == (topology, hash(topology), topology.digest)


@given(random_topologies())
def test_layers_agree_with_edges(topology):
    layer = [node.layer for node in topology.nodes]
    assert layer == sorted(layer)
    assert all(layer[edge.source] < layer[edge.target] for edge in topology.edges)
    for row, node in enumerate(topology.nodes):
        below = [layer[edge.source] for edge in topology.incoming(row)]
        assert node.layer == 1 + max(below, default=0)
        assert bool(topology.outgoing(row)) == (row != topology.sink)
        assert topology.layers()[node.layer - 1][node.index - 1] == row
        assert len(topology.layers()[node.layer - 1]) == node.width


@given(random_topologies(), random_topologies())
def test_digest_and_equality_agree(one, other):
    assert (one == other) == (one.digest == other.digest)
    assert len({one, other, one}) == (1 if one == other else 2)


@given(random_topologies(max_nodes=6), st.data())
def test_a_closed_cycle_is_always_found(topology, data):
    if not topology.edges:
        return
    form = topology.to_dict()
    edge = data.draw(st.sampled_from(form["edges"]))
    with pytest.raises(TopologyError, match="cycle through"):
        Topology.from_dict({**form, "edges": [*form["edges"], [edge[1], edge[0]]]})


@given(st.text(max_size=12))
def test_any_text_is_a_network_or_a_topology_error(text):
    try:
        topology = Topology.parse(text)
    except TopologyError:
        return
    assert str(topology) == text.strip()


def test_branches_go_on_reading_what_they_were_asked_as_networks_of_their_own():
    def sees(shape):
        return [node.question for node in load_topology(shape, "branches").nodes]

    assert sees("1") == ["all"]
    assert sees("2-1") == ["1/2", "2/2", "stem"]
    assert sees("tree:2,2") == ["1/2", "1/2", "2/2", "2/2", "1/2", "2/2", "stem"]
    assert sees("tree:3,1") == ["1/3", "2/3", "3/3", "stem"]
    with pytest.raises(TopologyError, match=r"wants a tree, but node '1\.\d' is in the branches of"):
        load_topology("2-2-1", "branches")
    options = {"depth": 3, "parts": 2, "operators": "+", "ask": True}
    problem = make_task("arithmetic", options).problem("train", 0)
    network = load_topology("tree:2,2", "branches")
    asked = [question_for(network, row, problem) for row in range(7)]
    assert asked[:2] == [problem.parts[0]] * 2
    assert asked[4] == problem.parts[0] != asked[5]
    assert asked[6] == "What is A + B?"


def test_branches_of_branches_are_the_modules_of_a_larger_tree():
    def sees(shape):
        return [node.question for node in load_topology(shape, "branches2").nodes]

    assert sees("1") == ["all"]
    assert sees("tree:2,2") == ["1/4", "2/4", "3/4", "4/4", "stem", "stem", "stem"]
    below = ["1/4", "1/4", "2/4", "2/4", "3/4", "3/4", "4/4", "4/4", "1/4", "2/4", "3/4", "4/4"]
    assert sees("tree:2,3") == [*below, "stem", "stem", "stem"]
    with pytest.raises(TopologyError, match="'branches2' wants a tree of 3 layers or more"):
        load_topology("2-1", "branches2")
    problem = make_task("arithmetic", {"depth": 4, "parts": 4, "operators": "+", "ask": True})
    problem = problem.problem("train", 0)
    network = load_topology("tree:2,3", "branches2")
    asked = [question_for(network, row, problem) for row in range(15)]
    assert asked[0] == asked[1] == asked[8] == problem.parts[0]
    assert asked[7] == asked[11] == problem.parts[3]
    assert asked[12:] == ["What is A + B?"] * 3
