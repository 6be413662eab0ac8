"""Topologies from and to networkx and files."""

from __future__ import annotations

import json
import os
import warnings

import networkx
import pytest
from hypothesis import given
from topologies import random_topologies

from neuromas.core.errors import TopologyError
from neuromas.topology.files import from_networkx, load_topology, save_topology, to_networkx
from neuromas.topology.graph import Topology
from neuromas.topology.shapes import build_shape

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


@pytest.mark.parametrize("text", ["tree:2,3", " chain:4", "4-4-1+sparse:0.5,7+residual", "2-2-1+sparse:.5"])
def test_shapes_need_no_file_either(text):
    assert load_topology(text) == build_shape(text)
    assert load_topology(text, "split") == build_shape(text, "split")


def test_a_file_goes_before_a_shape_of_the_same_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save_topology(DIAMOND, "2-1+skip.toml")
    assert load_topology("2-1+skip.toml") == DIAMOND


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


@pytest.mark.parametrize("suffix", [".toml", ".json", ".graphml"])
@given(topology=random_topologies())
def test_what_is_saved_is_loaded_again(tmp_path_factory, suffix, topology):
    path = tmp_path_factory.mktemp("saved") / f"net{suffix}"
    save_topology(topology, path)
    assert load_topology(path) == topology, "with questions, budgets and the order of the nodes"
    assert [file.name for file in path.parent.iterdir()] == [path.name], "nothing half-written beside it"
    if "1/3" not in {node.question for node in topology.nodes}:
        assert [n.name for n in load_topology(path, "first").nodes] == [n.name for n in topology.nodes]


@pytest.mark.parametrize("suffix", [".toml", ".json", ".graphml"])
def test_the_argument_overrides_every_kind_of_file(tmp_path, suffix):
    save_topology(DIAMOND, tmp_path / f"net{suffix}")
    modes = [node.question for node in load_topology(tmp_path / f"net{suffix}", "first").nodes]
    assert modes == ["all", "none", "none", "none"]


def test_saving_replaces_whole_files_or_says_why_not(tmp_path):
    path = tmp_path / "net.json"
    path.write_text("old")
    save_topology(DIAMOND, path)
    assert load_topology(path) == DIAMOND
    with pytest.raises(TopologyError, match=r"name a \.toml, \.json, \.graphml file"):
        save_topology(DIAMOND, tmp_path / "net.yaml")
    with pytest.raises(TopologyError, match="does not exist"):
        save_topology(DIAMOND, tmp_path / "none" / "net.json")


HEAD = '<graphml xmlns="http://graphml.graphdrawing.org/xmlns">'
EDGE = '<edge source="a" target="b"/>'
GRAPH = f'<graph edgedefault="directed"><node id="a"/><node id="b"/>{EDGE}</graph>'


def test_graphml_of_other_programs(tmp_path):
    path = tmp_path / "net.graphml"
    path.write_text(
        f"""<?xml version="1.0"?>{HEAD}
        <key id="q" for="node" attr.name="question" attr.type="string"><default>none</default></key>
        <key id="t" for="edge" attr.name="budget" attr.type="int"><default>8</default></key>
        <key id="w" for="edge" attr.name="weight"/>
        <graph edgedefault="directed">
          <node id="a"><port name="p"/><data key="q">all</data></node><node id="b"/><node id="out"/>
          <edge id="e1" source="a" target="b"><data key="w">0.5</data></edge>
          <edge id="e2" source="b" target="out"><data key="t">32</data></edge>
        </graph></graphml>"""
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        topology = load_topology(path)
    assert topology == Topology.build(
        ["a", "b", "out"], [("a", "b", 8), ("b", "out", 32)], {"a": "all", "b": "none", "out": "none"}
    ), "defaults of keys hold, unknown data is passed over"
    path.write_text(f"{HEAD}{GRAPH}</graphml>", encoding="utf-16")
    assert str(load_topology(path)) == "1-1"


BOMB = '<!DOCTYPE g [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">]>'
READER = '<!DOCTYPE g [<!ENTITY x SYSTEM "file:///etc/hostname">]>'


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (f"{BOMB}{HEAD}{GRAPH}</graphml>", "has a DOCTYPE"),
        (f"{READER}{HEAD}{GRAPH}</graphml>", "has a DOCTYPE"),
        (f"{BOMB}{HEAD}{GRAPH}</graphml>".encode("utf-16"), "has a DOCTYPE"),
        (f"<!-- {'x' * 100_000} -->\n<!DOCTYPE g>{HEAD}{GRAPH}</graphml>", "has a DOCTYPE"),
        (f"{HEAD}{GRAPH}<!-- {'x' * 10_000_000} --></graphml>", "is larger than 10 MB"),
        (f"{HEAD}&x;{GRAPH}</graphml>", "is not valid GraphML: undefined entity"),
        ("", "is not valid GraphML"),
        ("<a>", "is not valid GraphML"),
        (b"\xff\xfe\x00", "is not valid GraphML"),
        ("<?xml version='1.0' encoding='none-such'?><a/>", "is not valid GraphML"),
        ("<a/>", "is not valid GraphML"),
        (HEAD + "</graphml>", "is not valid GraphML"),
        ("<a>" * 200_000, "is not valid GraphML"),
        (f"{HEAD}{GRAPH.replace('directed', 'undirected')}</graphml>", "not Graph"),
        (f"{HEAD}{GRAPH.replace(EDGE, EDGE + EDGE)}</graphml>", "not MultiDiGraph"),
        (f"{HEAD}{GRAPH.replace(EDGE, '')}</graphml>", "2 nodes nobody reads"),
        (HEAD + GRAPH.replace('target="b"', 'target="bb"') + "</graphml>", "edge 'bb'; did you mean 'b'?"),
        (HEAD + GRAPH.replace('target="b"', "") + "</graphml>", "node in an edge None"),
        (f"{HEAD}<graph edgedefault='directed'><hyperedge/></graph></graphml>", "hyperedges"),
        (f"{HEAD}<key id='k' attr.name='budget' attr.type='none'/>{GRAPH}</graphml>", "is not valid GraphML"),
        (
            f"{HEAD}<key id='k' for='edge' attr.name='budget' attr.type='double'/>"
            + GRAPH.replace("/></graph>", "><data key='k'>2.5</data></edge></graph>")
            + "</graphml>",
            "budget 2.5 is not a number of tokens",
        ),
        (
            HEAD + "<graph edgedefault='directed'>" + "<node id='g' yfiles.foldertype='group'>" * 3000,
            "is not valid GraphML",
        ),
        (
            HEAD
            + "<graph edgedefault='directed'>"
            + "<node id='g' yfiles.foldertype='group'><graph>" * 3000
            + "</graph></node>" * 3000
            + "</graph></graphml>",
            "is not valid GraphML",
        ),
    ],
)
def test_hostile_and_broken_graphml_is_one_line(tmp_path, content, says):
    path = tmp_path / "net.graphml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(TopologyError) as caught:
        load_topology(path)
    assert says in str(caught.value)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_other_files_are_not_read_without_end_either(tmp_path):
    path = tmp_path / "net.json"
    path.write_text(" " * 10_000_001)
    with pytest.raises(TopologyError, match="is larger than 10 MB"):
        load_topology(path)


@pytest.mark.parametrize("suffix", [".toml", ".json", ".graphml"])
def test_gates_survive_a_file_and_kept_positions_do_not(tmp_path, suffix):
    from neuromas.growth.operators import append_layer

    grown = append_layer(Topology.parse("2-1", "split")).start
    edges = [("a", "b", {"gate": 0.25, "budget": 7}), ("a", "out", {"spare": True}), ("b", "out")]
    for number, topology in enumerate((grown, Topology.build(["a", "b", "out"], edges))):
        path = tmp_path / f"{number}{suffix}"
        save_topology(topology, path)
        again = load_topology(path)
        assert again.edges == topology.edges
        assert [n.question for n in again.nodes] == [n.question for n in topology.nodes]
        assert all(node.shown_position is None for node in again.nodes)


# -- what a stranger's file may hold

BIG = "1" * 400
DEEP = "[" * 900 + "]" * 900
KEYED = """<graphml xmlns="http://graphml.graphdrawing.org/xmlns">
<key id="k" for="{where}" attr.name="{name}" attr.type="{kind}"><default>{value}</default></key>
<graph edgedefault="directed"><data key="k">{value}</data>
<node id="a"><data key="k">{value}</data></node><node id="b"/>
<edge source="a" target="b"/></graph></graphml>"""


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.json", '{"question": {"a": "1/@BIG"}, "edges": [["a", "b"]]}'),
        ("a.json", '{"question": {"a": "1/@LONG"}, "edges": [["a", "b"]]}'),
        ("a.json", '{"edges": [["a", "b", @BIG]]}'),
        ("a.json", '{"edges": [["a", "b", @LONG]]}'),
        ("a.json", '{"edges": [["a", @DEEP]]}'),
        ("a.json", '{"nodes": @DEEP, "edges": [["a", "b"]]}'),
        ("a.json", '{"nodes": [{"name": @DEEP}], "edges": [["a", "b"]]}'),
        ("a.json", '{"question": @DEEP, "edges": [["a", "b"]]}'),
        ("a.json", '{"edges": [["a", "b", @DEEP]]}'),
        ("a.json", '{"edges": [["a", "b", {"gate": @DEEP}]]}'),
        ("a.json", '{"edges": [["a", "b", {"gate": 1e999}]]}'),
        ("a.json", '{"edges": [["\\ud800", "b"]]}'),
        ("a.toml", 'edges = [["a", "b", 0x@HEX]]'),
        ("a.toml", 'edges = [[0x@HEX, "b"]]'),
        ("a.toml", 'question = {a = 0x@HEX}\nedges = [["a", "b"]]'),
        ("a.toml", 'question = ""\nedges = [["a", "b"]]'),
        ("a.toml", 'edges = [["a", "b", 2020-01-01]]'),
        *[
            ("a.graphml", KEYED.format(where=where, name=word, kind=kind, value=value))
            for where, word in (("graph", "node_default"), ("graph", "edge_default"), ("node", "question"))
            for kind, value in (("int", BIG * 20), ("string", "x"), ("int", "inf"), ("boolean", "maybe"))
        ],
    ],
)
def test_a_strangers_file_is_refused_in_one_line(tmp_path, name, text):
    path = tmp_path / name
    for word, means in (("@DEEP", DEEP), ("@BIG", BIG), ("@LONG", BIG * 20), ("@HEX", "f" * 5000)):
        text = text.replace(word, means)
    path.write_text(text)
    with pytest.raises(TopologyError) as caught:
        load_topology(path)
    assert len(str(caught.value).splitlines()) == 1
    assert len(str(caught.value)) < 2500


def test_a_topology_is_a_regular_file(tmp_path):
    for suffix in (".toml", ".json", ".graphml"):
        os.mkfifo(tmp_path / f"pipe{suffix}")
        (tmp_path / f"zero{suffix}").symlink_to("/dev/zero")
        for name in ("pipe", "zero"):
            with pytest.raises(TopologyError, match="is not a regular file"):
                load_topology(tmp_path / f"{name}{suffix}")
