"""Topologies from and to networkx and files."""

from __future__ import annotations

import json

import networkx
import pytest
from hypothesis import given
from topologies import random_topologies

from neuromas.errors import TopologyError
from neuromas.graphs import from_networkx, load_topology, to_networkx
from neuromas.topology import Topology

DIAMOND = Topology.build(
    ["a", "b", "c", "out"],
    [("a", "b"), ("a", "c"), ("b", "out", 32), ("c", "out"), ("a", "out")],
    {"a": "all", "b": "none", "c": "none", "out": "all"},
)
DIAMOND_TOML = """
question = {a = "all", b = "none", c = "none", out = "all"}
edges = [["a", "b"], ["a", "c"], ["b", "out", 32], ["c", "out"], ["a", "out"]]
"""


def test_networkx_carries_question_and_budget():
    graph = to_networkx(DIAMOND)
    assert list(graph) == ["a", "b", "c", "out"]
    assert graph.nodes["b"]["question"] == "none"
    assert [graph.nodes[name]["layer"] for name in graph] == [1, 2, 2, 3]
    assert graph.edges["b", "out"] == {"budget": 32}
    assert graph.edges["a", "b"] == {}
    assert networkx.is_directed_acyclic_graph(graph)


@given(random_topologies())
def test_networkx_round_trips(topology):
    assert from_networkx(to_networkx(topology)) == topology


def test_a_graph_of_others_needs_no_attributes():
    assert from_networkx(networkx.path_graph(3, create_using=networkx.DiGraph)) == Topology.build(
        ["0", "1", "2"], [("0", "1"), ("1", "2")]
    )


@pytest.mark.parametrize(
    ("graph", "says"),
    [
        (networkx.DiGraph([("a", "b"), ("b", "a")]), "cycle through a, b"),
        (networkx.DiGraph([("a", "b"), ("a", "c")]), "2 nodes nobody reads: b, c"),
        (networkx.DiGraph([("a", "a")]), "reads itself"),
        (networkx.DiGraph([(1, "1")]), "'1' is listed twice"),
        (networkx.DiGraph(), "at least one node"),
        (networkx.Graph([("a", "b")]), "not Graph"),
        (networkx.MultiDiGraph([("a", "b"), ("a", "b")]), "not MultiDiGraph"),
    ],
)
def test_graphs_that_are_no_network(graph, says):
    with pytest.raises(TopologyError, match=says):
        from_networkx(graph)


def test_a_bad_budget_attribute_is_named():
    graph = networkx.DiGraph()
    graph.add_edge("a", "b", budget="many")
    with pytest.raises(TopologyError, match="budget 'many'"):
        from_networkx(graph)


def test_widths_need_no_file():
    assert load_topology("2-2-1") == Topology.parse("2-2-1")
    assert load_topology("2-2-1", question="first") == Topology.parse("2-2-1", "first")
    with pytest.raises(TopologyError, match="ends in 2 nodes"):
        load_topology("1-2")


def test_toml_and_json_say_the_same(tmp_path):
    toml, plain = tmp_path / "net.toml", tmp_path / "net.json"
    toml.write_text(DIAMOND_TOML)
    plain.write_text(json.dumps(DIAMOND.to_dict()))
    assert load_topology(toml) == load_topology(str(plain)) == DIAMOND


def test_names_default_to_first_appearance_and_nodes_set_the_order(tmp_path):
    path = tmp_path / "net.toml"
    path.write_text('edges = [["b", "out"], ["a", "out"]]')
    assert [node.name for node in load_topology(path).nodes] == ["b", "a", "out"]
    path.write_text('nodes = ["a", "b", "out"]\nedges = [["b", "out"], ["a", "out"]]')
    assert [node.name for node in load_topology(path).nodes] == ["a", "b", "out"]
    path.write_text('nodes = ["only"]\nedges = []')
    assert str(load_topology(path)) == "1"


def test_the_argument_overrides_the_file(tmp_path):
    path = tmp_path / "net.toml"
    path.write_text('question = "first"\nedges = [["a", "out"], ["b", "out"]]')
    assert [node.question for node in load_topology(path).nodes] == ["all", "all", "none"]
    assert [node.question for node in load_topology(path, "split").nodes] == ["1/2", "2/2", "stem"]


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.toml", "edges = [", "is not valid TOML"),
        ("a.json", "{", "is not valid JSON"),
        ("a.json", "[" * 100_000, "is not valid JSON"),
        ("a.json", b"\xff\xfe", "is not valid JSON"),
        ("a.json", "[]", "holds no table"),
        ("a.toml", "", "needs 'edges'"),
        ("a.toml", 'edges = ["ab"]', "needs 'edges'"),
        ("a.toml", 'edge = [["a", "b"]]', "unknown key 'edge'; did you mean 'edges'?"),
        ("a.toml", "edges = []", "at least one node"),
        ("a.toml", 'edges = [["a", "b"]]\nnodes = "ab"', "'nodes' is not a list"),
        ("a.toml", 'edges = [["a", "b"]]\nnodes = [1, 2]', "node 1 is neither"),
        ("a.toml", 'edges = [["a", "b"]]\nquestion = 3', "question 3 is neither"),
        ("a.toml", 'edges = [["a", "b"]]\nquestion = "frist"', "did you mean 'first'?"),
        ("a.toml", 'edges = [["a", "b", "c", "d"]]', "is not [source, target]"),
        ("a.toml", 'edges = [["a", "b"], ["b", "a"]]', "cycle through a, b"),
        (
            "a.json",
            '{"question": "all", "edges": [], "nodes": [{"name": "a", "question": "all"}]}',
            "says who reads the question twice",
        ),
    ],
)
def test_bad_files_say_what_and_where_on_one_line(tmp_path, name, content, says):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(TopologyError) as caught:
        load_topology(path)
    assert says in str(caught.value)
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_files_and_other_text(tmp_path):
    with pytest.raises(TopologyError, match=r"none\.toml: cannot be read: No such file"):
        load_topology(tmp_path / "none.toml")
    (tmp_path / "folder.json").mkdir()
    with pytest.raises(TopologyError, match="cannot be read"):
        load_topology(tmp_path / "folder.json")
    for text in ("dense", "", "two-two-one", "net.yaml"):
        with pytest.raises(TopologyError, match="neither layer widths"):
            load_topology(text)
