"""Growth of topologies: what old nodes are told while gates are shut, and what the network is in the end."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from topologies import any_operators, pairs, random_topologies
from topologies import names as _names

from neuromas.core.episode import Turn
from neuromas.core.errors import TopologyError
from neuromas.core.seeds import derive
from neuromas.core.task import Problem
from neuromas.growth.match import is_layered, match
from neuromas.growth.operators import (
    Growth,
    add_edge,
    append_layer,
    at,
    grow,
    insert_layer,
    remove_edge,
    remove_node,
    widen,
)
from neuromas.prompts.build import Wording, build_prompt
from neuromas.prompts.codec import ByteCodec
from neuromas.system.rollout import Pass, _heard, _open
from neuromas.topology.graph import Topology

PROBLEM = Problem("p", "q?", "a", parts=("one", "two", "three"))


def told(topology: Topology, node: int, one: Pass, said: dict[str, str]) -> tuple[int, ...]:
    """The whole prompt of a node in an episode; ``said`` is what every node has written, by name."""
    opened = _open(topology.incoming(node), one, 7, None)
    edges = topology.incoming(node)
    messages = [
        said[topology.nodes[e.source].name] if is_open else None
        for e, is_open in zip(edges, opened, strict=True)
    ]
    prompt = build_prompt(topology, node, PROBLEM, messages, ByteCodec(), wording=Wording("plain", "x"))
    return prompt.prefix + prompt.suffix


def assert_exact(old: Topology, change: Growth, sample: int = 0) -> None:
    """With closed gates every old node has its old prompt and its old budget, whatever the others write."""
    now = {before: name for name, before in change.origin.items()}
    assert len(now) == len(old.nodes)
    said = {node.name: f"words of {node.name}" for node in old.nodes}
    here = {name: said.get(change.origin.get(name, ""), "NEW") for name in _names(change.start)}
    one = Pass(PROBLEM, sample)
    rows = {name: row for row, name in enumerate(_names(change.start))}
    for row, node in enumerate(old.nodes):
        moved = rows[now[node.name]]
        assert told(change.start, moved, one, here) == told(old, row, one, said), node.name
        for default in (1, 4, 600):
            budget = change.start.message_budget(moved, default)
            assert budget == old.message_budget(row, default), (node.name, default)
    assert (rows[now[old.nodes[-1].name]]) == change.start.sink


# -- exactness


@pytest.mark.parametrize("shape", ["1", "1-1", "2-1", "1-2-1", "2-2-1", "1-1-1-1"])
def test_every_operator_leaves_every_old_prompt_as_it_was(shape):
    for question in ("all", "first", "split"):
        old = Topology.parse(shape, question)
        for change in any_operators(old):
            assert_exact(old, change)
            assert at(change.start, change.goal, 0.0) == change.start
            assert at(change.start, change.goal, 1.0) == change.goal
            assert not any(edge.fallback or edge.gate < 1.0 for edge in change.goal.edges)


@settings(max_examples=30)
@given(random_topologies(max_nodes=6), st.data())
def test_random_networks_grow_exactly_and_again(topology, data):
    """Budgets, question 'none', shares, skip edges; three growths on end, each from the other's goal."""
    for _ in range(3):
        changes = any_operators(topology)
        change = changes[data.draw(st.integers(0, len(changes) - 1))]
        assert_exact(topology, change, sample=data.draw(st.integers(0, 9)))
        labels = [change.goal.label(row) for row in range(change.goal.sink)]
        assert len(set(labels)) == len(labels), "no two writers have one name"
        assert Topology.from_dict(change.start.to_dict()) == change.start
        topology = change.goal


@settings(max_examples=30)
@given(random_topologies(max_nodes=5), random_topologies(max_nodes=7), st.randoms(use_true_random=False))
def test_any_goal_that_is_accepted_is_exact(old, more, random):
    """The old graph with other edges and nodes around it, whose list of nodes is in any order."""
    names = _names(old)
    extra = [f"x{node.name}" for node in more.nodes[:-1]]
    sees = {n.name: n.question for n in old.nodes} | {name: "all" for name in extra}
    edges = {(names[e.source], names[e.target]): [] if e.budget is None else [e.budget] for e in old.edges}
    order = random.sample(names[:-1] + extra, len(names) - 1 + len(extra)) + names[-1:]
    line = [n for n in order if n in extra]
    for name in line:  # somewhere between two old nodes, or before one
        target = random.choice(names)
        above = names[: names.index(target)]
        edges[name, target] = random.choice([[], [3], [700]])
        if above:
            edges[random.choice(above), name] = random.choice([[], [3], [700]])
            gone = [pair for pair in edges if pair[1] == target and (pair[0], name) in edges]
            for pair in gone[: random.randint(0, 1)]:
                del edges[pair]
    try:
        goal = Topology.build(order, [(*pair, *rest) for pair, rest in edges.items()], sees)
    except TopologyError:
        assume(False)
    try:
        change = grow(old, goal)
    except TopologyError:
        assume(False)
    assert_exact(old, change)
    assert change.goal.edges == goal.edges


@pytest.mark.parametrize("positions", ["keep", "renumber"])
def test_growth_by_shapes_through_many_stages(positions):
    """1-1 to 2-2-1 and on: at every step exact if positions are kept, and never if they are renumbered."""
    here = Topology.parse("1-1")
    for shape in ("2-1", "2-2-1", "3-2-1", "3-2-2-1", "1-3-2-2-1", "1-3-4-2-2-1"):
        change = grow(here, Topology.parse(shape), positions)
        if positions == "keep":
            assert_exact(here, change)
        else:
            assert all(node.shown_position is None for node in change.goal.nodes)
            with pytest.raises(AssertionError):
                assert_exact(here, change)
        here = change.goal
    renumbered = grow(Topology.parse("1-1"), here, "renumber").goal
    assert [node.shown_position is None for node in renumbered.nodes] == [True] * 13


def test_a_kept_edge_beside_a_replaced_one_hides_nothing():
    """The output reads 1.1 directly and through 2.1: with 2.1's way closed it still reads both."""
    old = Topology.build("abc", [("a", "b"), ("a", "c"), ("b", "c")])
    change = append_layer(old)
    spare = [edge for edge in change.start.edges if edge.fallback]
    assert [(_names(change.start)[e.source], _names(change.start)[e.target]) for e in spare] == [("b", "c")]
    assert_exact(old, change)


def test_messages_keep_their_order_where_a_new_edge_moves_a_writer():
    """``a`` moves behind ``b``, but the reader goes on meeting it first."""
    old = Topology.build("acbxr", [("c", "b"), ("c", "x"), ("a", "r"), ("b", "r"), ("x", "r")])
    change = add_edge(old, "x", "a")
    assert _names(change.goal).index("a") > _names(change.goal).index("b")
    assert_exact(old, change)


def test_no_reader_makes_an_old_node_write_more_than_it_did():
    """New edges are capped by what their source wrote; at the end their budgets are the goal's."""
    old = Topology.build("ab", [("a", "b", 2)])
    change = grow(old, Topology.build("anb", [("a", "n", 9), ("n", "b"), ("a", "b", 5)]))
    budgets = {(e.source, e.target): e.budget for e in change.start.edges}
    assert budgets == {(0, 1): 2, (0, 2): 2, (1, 2): None}
    assert {(e.source, e.target): e.budget for e in change.goal.edges} == {(0, 1): 9, (0, 2): 5, (1, 2): None}
    free = Topology.build("ab", [("a", "b")])
    start = grow(free, Topology.build("anb", [("a", "n", 9), ("n", "b"), ("a", "b")])).start
    assert start.message_budget(0, 4) == 4, "nobody knows here that 4 is the default"


# -- gates


def test_in_between_gates_are_linear_and_edges_that_are_there_stay_open():
    change = grow(Topology.parse("2-1"), Topology.parse("2-2-1"))
    half = at(change.start, change.goal, 0.25)
    names = _names(half)
    gates = {(names[e.source], names[e.target]): (e.gate, e.fallback) for e in half.edges}
    new = set(change.new)
    for (source, target), (gate, spare) in gates.items():
        if target in new:
            assert (gate, spare) == (1.0, False), "a new node reads from the first"
        elif source in new:
            assert (gate, spare) == (0.25, False)
        else:
            assert (gate, spare) == (1.0, True)
    assert half.nodes == change.start.nodes


def test_a_gate_opens_as_often_as_it_says_and_a_spare_gives_way():
    change = append_layer(Topology.parse("2-1"), 2)
    shown = dict.fromkeys((0.0, 0.3, 1.0), 0)
    for opening in shown:
        topology = at(change.start, change.goal, opening)
        edges = topology.incoming(topology.sink)
        for sample in range(500):
            opened = _open(topology.incoming(topology.sink), Pass(PROBLEM, sample), 1, None)
            new = [o for e, o in zip(edges, opened, strict=True) if not e.fallback]
            spare = [o for e, o in zip(edges, opened, strict=True) if e.fallback]
            assert spare == [not any(new)] * len(spare), "they come back together"
            shown[opening] += sum(new)
    assert shown[0.0] == 0
    assert shown[1.0] == 1000
    assert abs(shown[0.3] - 300) < 60


def test_one_draw_decides_all_gates_of_a_message():
    """Readers of the same gate see it in the same episodes, and of a lower gate in some of those."""
    edges = [("a", "b", {"gate": 0.6}), ("a", "c", {"gate": 0.6}), ("a", "d", {"gate": 0.2})]
    ends = [(x, "e") for x in "bcd"]
    topology = Topology.build("abcde", [*edges, *ends])
    for sample in range(100):
        b, c, d = (_open(topology.incoming(row), Pass(PROBLEM, sample), 3, None)[0] for row in (1, 2, 3))
        assert b == c
        assert b or not d
        assert b == (derive(3, "gate", "p", sample, 0) < 0.6 * 2**63)


def test_who_is_heard():
    topology = at(*_transition(), 0.0)
    names = _names(topology)
    one = Pass(PROBLEM, 0)
    for row in range(len(names)):
        edges = topology.incoming(row)
        for edge, is_open in zip(edges, _open(edges, one, 1, None), strict=True):
            if is_open:
                one.read.append((edge.source, row))
        one.turns.append(Turn(row, (), (), (1,), (0.0,), "", True, 1.0, row, 0, 0))
    sink = topology.sink
    assert {names[row] for row in _heard(one, sink)} == {"1.1", "1.2", "3.1"}
    assert _heard(Pass(PROBLEM, 0), sink) == set()
    one.turns.pop()  # the output could not be asked: what it was to read is why
    assert {names[row] for row in _heard(one, sink)} == {names[s] for s, _ in one.read}


def _transition() -> tuple[Topology, Topology]:
    change = grow(Topology.parse("2-1"), Topology.parse("2-2-1"))
    return change.start, change.goal


# -- match


def brute(old: list[int], goal: list[int]) -> int | None:
    """Fewest operators: all ways to choose the goal's layers that are the old ones."""
    best = None
    for places in combinations(range(len(goal)), len(old)):
        if all(goal[k] >= w for w, k in zip(old, places, strict=True)):
            cost = len(goal) - len(old) + sum(goal[k] - w for w, k in zip(old, places, strict=True))
            best = cost if best is None else min(best, cost)
    return best


def test_the_fewest_operators_against_all_ways():
    from itertools import product

    shapes = [list(w) for n in range(4) for w in product((1, 2, 3), repeat=n)]
    for have in shapes:
        for want in shapes:
            old, goal = (Topology.parse("-".join(map(str, [*w, 1]))) for w in (have, want))
            cost = brute(have, want)
            if cost is None:
                with pytest.raises(TopologyError, match="cannot grow into"):
                    match(old, goal)
                continue
            origin, steps = match(old, goal)
            assert len(steps) == cost, (have, want, steps)
            assert sorted(origin.values()) == sorted(_names(old))
            assert origin[_names(goal)[-1]] == _names(old)[-1]


def test_of_equal_ways_the_new_layers_come_latest():
    origin, steps = match(Topology.parse("2-1"), Topology.parse("2-2-1"))
    assert origin == {"1.1": "1.1", "1.2": "1.2", "3.1": "2.1"}
    assert steps == ("insert a layer of 2 before the output",)
    assert match(Topology.parse("1-1-1"), Topology.parse("2-2-1"))[1] == ("widen layer 1", "widen layer 2")
    assert match(Topology.parse("2-1"), Topology.parse("1-2-1"))[1] == ("insert a layer of 1 as layer 1",)
    assert match(Topology.parse("2-1"), Topology.parse("2-1")) == ({n: n for n in ("1.1", "1.2", "2.1")}, ())


FILE = Topology.build(["a", "b", "out"], [("a", "b"), ("a", "out"), ("b", "out")])


@pytest.mark.parametrize(
    ("old", "goal", "says"),
    [
        ("2-2-1", "1-1-1", "2-2-1 cannot grow into 1-1-1: a trained node would be dropped"),
        ("2-3-1", "3-2-2-1", "no layer may become narrower, move past another"),
        (Topology.parse("2-1", "split"), Topology.parse("3-1", "split"), "a trained node sees '1/2' of the"),
        (FILE, "2-1", "the trained node 'a' would be dropped.*matched by name"),
        (FILE, Topology.build(["b", "out", "a"], [("b", "a"), ("out", "a")]), "hidden node 'a' would become"),
        (
            FILE,
            Topology.build(["a", "b", "out"], [("a", "b"), ("b", "out")]),
            "drop the trained edge 'a' -> 'out' and put no new node in its place",
        ),
        (
            FILE,
            Topology.build(["a", "b", "out"], [("a", "b"), ("a", "out"), ("b", "out")], {"b": "none"}),
            "node 'b' sees 'all' of the question and would see 'none'",
        ),
    ],
)
def test_why_there_is_no_way_in_one_line(old, goal, says):
    one, other = (Topology.parse(t) if isinstance(t, str) else t for t in (old, goal))
    with pytest.raises(TopologyError, match=says) as error:
        grow(one, other)
    assert "\n" not in str(error.value)


def test_the_same_shape_is_no_growth():
    here = grow(Topology.parse("1-1"), Topology.parse("2-2-1")).goal
    change = grow(here, Topology.parse("2-2-1"))
    assert change.steps == ()
    assert change.new == ()
    assert change.start == change.goal
    assert [change.goal.place(row) for row in range(5)] == [here.place(row) for row in range(5)]


def test_by_name_where_layers_are_not_dense():
    goal = Topology.build(
        ["a", "b", "n", "out"], [("a", "b"), ("a", "out"), ("b", "n"), ("n", "out"), ("a", "n")]
    )
    change = grow(FILE, goal)
    assert change.steps == ("add node n",)
    assert change.like["n"] in ("a", "b")
    assert_exact(FILE, change)
    more = Topology.build(["a", "b", "c", "out"], [("a", "c"), ("b", "c"), ("c", "out"), ("a", "b")])
    less = Topology.build(["a", "b", "c", "out"], [("a", "c"), ("b", "c"), ("c", "out"), ("b", "out")])
    assert not is_layered(less)
    with pytest.raises(TopologyError, match="drop the trained edge 'b' -> 'out'"):
        grow(less, more)


@pytest.mark.parametrize(
    ("act", "says"),
    [
        (lambda t: widen(t, 0), "layer 0 cannot be widened: 2-1 has hidden layers 1 to 1"),
        (lambda t: widen(t, 2), "layer 2 cannot be widened"),
        (lambda t: insert_layer(t, 2), "no layer can stand after layer 2"),
        (lambda t: insert_layer(t, 0, 0), "a new layer of 0 nodes"),
        (lambda t: add_edge(t, "1.1", "2.1"), "already reads"),
        (lambda t: add_edge(t, "2.1", "1.1"), "cycle"),
        (lambda t: add_edge(t, "1.3", "2.1"), "1.3"),
        (lambda t: widen(t, 1, "kept"), "did you mean 'keep'"),
        (lambda t: remove_node(t, "2.1"), "is the output and cannot be removed"),
        (lambda t: remove_node(t, "2.2"), "did you mean '1.2'|2.2"),
        (lambda t: remove_edge(t, "1.1", "1.2"), "there is no edge '1.1' -> '1.2'"),
        (lambda t: remove_edge(t, "1.1", "2.1"), "one output node, this graph has 2"),
        (lambda t: insert_layer(t, 0, 255), "the limit is 256"),
    ],
)
def test_what_operators_refuse(act, says):
    with pytest.raises(TopologyError, match=says):
        act(Topology.parse("2-1"))


def test_large_networks_grow_in_seconds():
    old = Topology.parse("40-40-40-1")
    change = insert_layer(old, 1, 20)
    assert len(change.start.edges) == 1600 + 40 + 800 * 2 + 1600


# -- pruning


@pytest.mark.parametrize("shape", ["1-1", "2-1", "2-2-1", "1-3-1"])
def test_growing_and_pruning_gives_back_the_old_edges_and_prompts(shape):
    old = Topology.parse(shape)
    for change in any_operators(old):
        back = change.goal
        if change.new:
            for name in change.new:
                back = remove_node(back, name).goal
        else:
            source, _, target = change.steps[0].removeprefix("add edge ").partition(" -> ")
            back = remove_edge(back, source, target).goal
        assert pairs(back) == pairs(old), change.steps
        for row, node in enumerate(old.nodes):
            assert back.place(_names(back).index(node.name)) == old.place(row)


@settings(max_examples=40)
@given(random_topologies(max_nodes=7), st.data())
def test_whatever_is_pruned_is_a_network_or_refused(topology, data):
    name = data.draw(st.sampled_from(_names(topology)))
    try:
        change = remove_node(topology, name)
    except TopologyError:
        readers = [topology.nodes[e.target] for e in topology.outgoing(_names(topology).index(name))]
        assert not readers or any(node.question == "none" for node in readers)
        return
    assert set(_names(change.goal)) == set(_names(topology)) - {name}
    assert change.goal == change.start
    assert _names(change.goal)[-1] == _names(topology)[-1]


# -- positions


def test_renumbered_nodes_are_told_where_they_stand_now():
    change = grow(Topology.parse("2-1"), Topology.parse("2-2-1"), "renumber")
    assert [change.goal.place(row) for row in range(5)] == [
        Topology.parse("2-2-1").place(r) for r in range(5)
    ]
    kept = grow(Topology.parse("2-1"), Topology.parse("2-2-1"), "keep").goal
    assert kept.place(0) == Topology.parse("2-1").place(0)
    assert kept.place(kept.sink).depth == 2
    assert kept.place(2).readers == ("2.1",), "the number by which the output goes on being known"


def test_a_newcomer_takes_no_number_that_is_taken():
    change = insert_layer(Topology.parse("2-1"), 0)
    assert [change.goal.label(row) for row in range(4)] == ["1.3", "1.1", "1.2", "2.1"]
    place = change.goal.place(0)
    assert (place.layer, place.index, place.width, place.readers) == (1, 3, 3, ("1.1", "1.2"))
    assert replace(place, readers=()) == replace(
        Topology.from_dict(change.goal.to_dict()).place(0), readers=()
    )


def test_a_network_in_the_middle_of_a_growth_says_so_instead_of_blaming_an_edge():
    change = grow(Topology.parse("1-1"), Topology.parse("1-1-1"))
    halfway = at(change.start, change.goal, 0.3)
    for shape in ("1-1-1", "1-1-1-1"):
        with pytest.raises(TopologyError, match=r"saved in the middle of a growth.*train --resume RUN"):
            grow(halfway, Topology.parse(shape))
    assert grow(change.goal, Topology.parse("1-1-1-1")).steps, "with open gates it grows"
