"""Growth by substitution: which node copies which, and the maps that are refused."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from topologies import names, random_topologies

from neuromas.config import make_config
from neuromas.core.errors import ConfigError, TopologyError
from neuromas.growth.copies import graft, step, substitute
from neuromas.growth.operators import grow
from neuromas.topology.graph import Topology
from neuromas.topology.shapes import build_shape


def copies(old: str, goal: str, chosen=None) -> dict[str, str]:
    change = substitute(build_shape(old), build_shape(goal, "split"), chosen)
    both = {**change.origin, **change.like}
    return {name: both[name] for name in names(change.goal)}


def test_a_tree_is_the_module_of_a_deeper_one():
    assert copies("tree:2,1", "tree:2,2") == {
        **{"1.1": "1.1", "1.2": "1.2", "1.3": "1.1", "1.4": "1.2"},
        **{"2.1": "2.1", "2.2": "2.1", "3.1": "2.1"},
    }
    deeper = copies("tree:2,2", "tree:2,3")
    assert len(deeper) == 15
    assert [deeper[f"1.{i}"] for i in range(1, 9)] == ["1.1", "1.2", "1.3", "1.4"] * 2
    assert [deeper[f"2.{i}"] for i in range(1, 5)] == ["2.1", "2.2", "2.1", "2.2"]
    assert [deeper["3.1"], deeper["3.2"], deeper["4.1"]] == ["3.1"] * 3


def test_one_node_is_copied_everywhere_and_a_chain_by_its_output():
    assert set(copies("1", "tree:2,2").values()) == {"1.1"}
    assert copies("1", "2-1") == {"1.1": "1.1", "1.2": "1.1", "2.1": "1.1"}
    assert copies("chain:3", "chain:4") == {"1.1": "1.1", "2.1": "2.1", "3.1": "3.1", "4.1": "3.1"}


def test_wider_trees_and_dense_layers_go_by_layers_and_in_turn():
    wide = copies("tree:3,1", "tree:3,2")
    assert len(wide) == 13
    assert [wide[f"1.{i}"] for i in range(1, 10)] == ["1.1", "1.2", "1.3"] * 3
    assert [wide[f"2.{i}"] for i in (1, 2, 3)] + [wide["3.1"]] == ["2.1"] * 4
    dense = copies("2-2-1", "4-2-1")
    assert [dense[f"1.{i}"] for i in range(1, 5)] == ["1.1", "1.2"] * 2
    assert {name: dense[name] for name in ("2.1", "2.2", "3.1")} == {n: n for n in ("2.1", "2.2", "3.1")}
    line = copies("chain:3", "chain:5")
    assert line == {"1.1": "1.1", "2.1": "2.1", "3.1": "3.1", "4.1": "3.1", "5.1": "3.1"}


def test_a_chosen_map_goes_before_the_places_of_the_rest():
    found = copies("2-1", "tree:2,2", {"1.3": "1.2", "2.2": "1.1"})
    assert found == copies("2-1", "tree:2,2") | {"1.3": "1.2", "2.2": "1.1"}


def test_what_a_substitution_says():
    change = substitute(build_shape("2-1"), build_shape("tree:2,2", "split"))
    assert change.exact
    assert change.start == change.goal == build_shape("tree:2,2", "split")
    assert change.origin == {"1.1": "1.1", "1.2": "1.2", "2.1": "2.1"}
    assert change.new == ("1.3", "1.4", "2.2", "3.1")
    assert change.steps == ("copy 1.1 to 1.1 1.3", "copy 1.2 to 1.2 1.4", "copy 2.1 to 2.1 2.2 3.1")
    same = build_shape("2-1")
    assert substitute(same, same).steps == ()
    assert substitute(same, build_shape("2-1", "split")).steps, "other views are a change"


@pytest.mark.parametrize(
    ("goal", "chosen", "says"),
    [
        ("tree:2,2", {"9.9": "1.1"}, "new node in growth.map"),
        ("tree:2,2", {"1.1": "x"}, "trained node in growth.map"),
        ("1", {}, "no new node copies the trained node '1.1'"),
        ("2-1", {"1.2": "1.1"}, "no new node copies the trained node '1.2'"),
    ],
)
def test_maps_that_are_refused(goal, chosen, says):
    with pytest.raises(TopologyError, match=says) as error:
        substitute(build_shape("2-1"), build_shape(goal), chosen)
    assert "\n" not in str(error.value)


@given(random_topologies(), random_topologies())
def test_any_network_out_of_any_other(old, goal):
    try:
        change = substitute(old, goal)
    except TopologyError as error:
        assume("no new node copies" not in str(error))
        raise
    assert change.goal == goal
    both = {**change.origin, **change.like}
    assert set(both) == set(names(goal))
    assert set(both.values()) == set(names(old))
    assert not change.origin.keys() & change.like.keys()
    assert sorted(change.origin.values()) == sorted(names(old)), "every trained node has one first copy"
    assert both[names(goal)[-1]] == names(old)[-1]
    leaves = [{node.name for node in graph.nodes if node.layer == 1} for graph in (old, goal)]
    if len(old.nodes) > 1 and len(goal.nodes) > 1:
        assert all((name in leaves[1]) == (copied in leaves[0]) for name, copied in both.items())


@given(st.integers(1, 3), st.integers(0, 3))
def test_trees_and_chains_of_every_size(children, height):
    """With one child a tree is a chain. Every layer below the output copies its own, in turn."""
    old, goal = "1" if height == 0 else f"tree:{children},{height}", f"tree:{children},{height + 1}"
    found = copies(old, goal)
    assert set(found.values()) == set(names(build_shape(old)))
    for name, copied in found.items():
        layer = int(name.partition(".")[0])
        assert int(copied.partition(".")[0]) == min(layer, height + 1)


def test_the_settings_say_which_way_a_stage_goes():
    old, goal = build_shape("2-1"), build_shape("2-2-1")
    settings = make_config({"growth": {"init": "copy", "map": {"2.1": "1.1"}}}).growth
    assert step(old, goal, settings) == substitute(old, goal, {"2.1": "1.1"})
    assert step(old, goal, make_config({}).growth) == grow(old, goal)
    with pytest.raises(ConfigError, match=r"growth.map needs growth.init = 'copy'"):
        make_config({"growth": {"map": {"2.1": "1.1"}}})


def test_a_module_takes_the_place_of_a_leaf():
    host = build_shape("2-1", "split")
    change = graft(host, "1.2")
    views = {node.name: node.question for node in change.goal.nodes}
    assert (views["1.1"], views["1.2_1.1"], views["1.2_1.2"]) == ("1/2", "3/4", "4/4")
    assert views["1.2_2.1"] == host.nodes[2].question
    ends = names(change.goal)
    edges = {(ends[e.source], ends[e.target]) for e in change.goal.edges}
    assert edges == {("1.2_1.1", "1.2_2.1"), ("1.2_1.2", "1.2_2.1"), ("1.2_2.1", "2.1"), ("1.1", "2.1")}
    both = {**change.origin, **change.like}
    assert both == {"1.1": "1.1", "2.1": "2.1"} | {f"1.2_{name}": name for name in names(host)}
    assert change.exact


@given(random_topologies(max_nodes=6), st.data())
def test_grafting_anywhere(host, data):
    leaf = data.draw(st.sampled_from([node.name for node in host.nodes if node.layer == 1]))
    change = graft(host, leaf)
    assert len(change.goal.nodes) == 2 * len(host.nodes) - 1
    assert len(change.goal.edges) == 2 * len(host.edges)
    assert set({**change.origin, **change.like}.values()) == set(names(host))


def test_a_part_of_the_network_is_a_module_and_what_is_refused():
    host = build_shape("tree:2,2", "split")
    part = Topology.build(["1.1", "1.2", "2.1"], [("1.1", "2.1"), ("1.2", "2.1")], "all")
    assert len(graft(host, "1.1", part).goal.nodes) == 9
    for at, module, says in (
        ("1.9", None, "node to graft at"),
        ("2.1", None, "reads messages"),
        ("1.1", build_shape("chain:4"), "trained node in the module"),
        ("1.4", part, "no new node copies the trained node '1.4'"),
    ):
        with pytest.raises(TopologyError, match=says):
            graft(host, at, module)
