"""Episodes played again from a node on: who writes again, what stays, and what chance it hangs on."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from topologies import random_topologies
from toys import ToyTask, lines, network, problems

from neuromas.core.task import Problem
from neuromas.engines.scripted import Call, ScriptedEngine
from neuromas.system.replay import Branch, replay
from neuromas.system.rollout import Sampling, rollout
from neuromas.system.scoring import WRONG
from neuromas.topology.files import load_topology
from neuromas.topology.graph import Topology

TASK = ToyTask()
DRAW = Sampling(1.0, 7)


class Drawing(ScriptedEngine):
    """Writes the number of the draw, so that a text tells its seed."""

    def __init__(self, context=1 << 16):
        super().__init__(lambda prompt, adapter: "", context)

    def generate(self, requests, temperature, ends):
        prompts = tuple(self.codec.decode(r.prefix + r.suffix) for r in requests)
        self.calls.append(Call(tuple(requests), prompts, temperature, ends))
        return [self._recite(f"s{r.seed % 10**9}", r.max_new, ends) for r in requests]


def played(topology, count=1, samples=1, task=TASK, asked=None, **limits):
    """A network and the episodes of its rollout."""
    net = network(Drawing(), topology, **limits)
    return net, rollout(net, task, asked or problems(count), samples, DRAW)


def told(net, turn):
    """The prompt of a turn as text."""
    return net.engine.codec.decode(turn.prefix_ids + turn.suffix_ids)


def seeds(net):
    """Those of all draws that the engine was asked for."""
    return {request.seed for call in net.engine.calls for request in call.requests}


def behind(topology, node):
    """Rows that read the node, at first or second hand."""
    found = {node}
    for edge in topology.edges:
        if edge.source in found:
            found.add(edge.target)
    return found - {node}


@settings(max_examples=50, deadline=None)
@given(random_topologies(), st.data())
def test_the_node_and_those_behind_it_write_anew_and_everything_else_stays(topology, data):
    asked = [Problem(f"p{i}", f"Question number {i}?", "", parts=("a", "b", "c"), stem="") for i in range(2)]
    net, episodes = played(topology, samples=2, asked=asked, message_tokens=600)
    node = data.draw(st.integers(0, topology.sink))
    first = seeds(net)
    net.engine.calls.clear()
    found = replay(net, TASK, [Branch(one, node, (k,)) for one in episodes for k in range(2)], DRAW)
    again = {node} | behind(topology, node)
    assert len(net.engine.calls) == len({topology.nodes[row].layer for row in again}), "a batch a layer"
    assert sum(len(call.requests) for call in net.engine.calls) == 8 * len(again)
    for place, one in enumerate(found):
        before, after = episodes[place // 2], one.episode
        assert (after.problem, after.sample, after.failure) == (before.problem, before.sample, None)
        assert one.wrote == tuple(sorted(again)) == tuple(turn.node for turn in one.written)
        for row, (old, new) in enumerate(zip(before.turns, after.turns, strict=True)):
            if row not in again:
                assert new == old, "token for token"
            edges = topology.incoming(row)
            cut = [after.turns[e.source].text[: e.budget or 600] for e in edges]
            assert [line.partition(": ")[2] for line in lines(told(net, new))] == cut
        assert told(net, after.turns[node]) == told(net, before.turns[node]), "the context is frozen"
    assert len(seeds(net)) == 8 * len(again), "every draw is another one"
    assert not seeds(net) & first


def test_alternatives_hang_on_their_path_alone():
    net, episodes = played("2-2-1", count=2, samples=2)

    def texts(*branches):
        return [[turn.text for turn in one.episode.turns] for one in replay(net, TASK, branches, DRAW)]

    one, other = Branch(episodes[0], 1, (0,)), Branch(episodes[0], 1, (1,))
    assert texts(one) == texts(one) == texts(other, one, Branch(episodes[3], 0))[1:2]
    assert texts(one) != texts(other)
    (first,) = replay(net, TASK, [one], DRAW)
    nested = [Branch(first.episode, 2, (0, k)) for k in range(2)]
    assert texts(nested[0]) != texts(nested[1])
    assert [words[:2] for words in texts(*nested)] == [texts(one)[0][:2]] * 2


def test_a_given_text_is_read_and_costs_no_call():
    net, episodes = played("1-1-1")
    net.engine.calls.clear()
    (blank, spoken) = replay(net, TASK, [Branch(episodes[0], 0, said=text) for text in ("", "seven")], DRAW)
    assert [len(call.requests) for call in net.engine.calls] == [2, 2], "nobody is asked in the first layer"
    assert blank.wrote == spoken.wrote == (1, 2)
    for one, text in ((blank, ""), (spoken, "seven")):
        turn = one.episode.turns[0]
        assert (turn.text, turn.ids, turn.logprobs) == (text, tuple(text.encode()), (0.0,) * len(text))
        assert [line.partition(": ")[2].strip() for line in lines(told(net, one.episode.turns[1]))] == [text]
    paid = ToyTask(lambda problem, text: 0.25 if text == "" else 1.0)
    net.engine.calls.clear()
    (silent,) = replay(net, paid, [Branch(episodes[0], 2, said="")], DRAW)
    assert (silent.episode.answer, silent.episode.score.value, silent.wrote) == ("", 0.25, ())
    assert net.engine.calls == []


def test_a_hidden_message_is_read_as_if_its_edges_did_not_exist():
    net, episodes = played("2-1")
    (one,) = replay(net, TASK, [Branch(episodes[0], 0, hidden=True)], DRAW)
    assert one.wrote == (2,)
    before, after = episodes[0].turns, one.episode.turns
    assert [line.partition(": ")[2] for line in lines(told(net, after[2]))] == [before[1].text]
    assert [turn.heard for turn in after] == [False, True, True]
    assert replace(after[0], heard=True) == before[0]
    assert after[1] == before[1]


def gated(gate):
    """Two writers, the first behind a gate, one output."""
    return Topology.build(["a", "b", "c"], [("a", "c", {"gate": gate}), ("b", "c")])


def test_gates_are_drawn_as_in_the_episode():
    net, episodes = played(gated(0.5), count=20, samples=2)
    shown = [len(lines(told(net, one.turns[2]))) == 2 for one in episodes]
    assert len(set(shown)) == 2
    for branch in ({}, {"said": "x"}, {"hidden": True}):
        found = replay(net, TASK, [Branch(one, 0, **branch) for one in episodes], DRAW)
        for one, was_open, before in zip(found, shown, episodes, strict=True):
            assert (2 in one.wrote) == was_open, "who was not shown the message has nothing new to read"
            assert one.episode.turns[0].heard == (was_open and not branch.get("hidden"))
            assert was_open or one.episode.turns[2] == before.turns[2]
    again = replay(net, TASK, [Branch(one, 1) for one in episodes], DRAW)
    assert [len(lines(told(net, one.episode.turns[2]))) == 2 for one in again] == shown


def test_what_stands_in_for_a_gated_message_is_read_where_that_is_hidden():
    edges = [("a", "b"), ("b", "c", {"gate": 0.999}), ("a", "c", {"fallback": True})]
    net, (episode,) = played(Topology.build(["a", "b", "c"], edges))
    assert lines(told(net, episode.turns[2]))[0].endswith(episode.turns[1].text)
    (one,) = replay(net, TASK, [Branch(episode, 1, hidden=True)], DRAW)
    assert [line.partition(": ")[2] for line in lines(told(net, one.episode.turns[2]))] == [
        episode.turns[0].text
    ]


@pytest.mark.parametrize("alike", [False, True])
def test_views_are_drawn_as_in_the_episode(alike):
    asked = [Problem(f"p{i}", f"WHOLE {i}", "", parts=("LEFT", "RIGHT"), stem="STEM") for i in range(20)]
    engine = Drawing()
    last, earlier = (network(engine, load_topology("2-1", mode)) for mode in ("all", "split"))
    net = replace(last, earlier=earlier, lifted=0.5, alike=alike, taught=1.0)
    episodes = rollout(net, TASK, asked, 2, DRAW)
    found = replay(net, TASK, [Branch(one, node) for one in episodes for node in range(3)], DRAW)
    for place, one in enumerate(found):
        before = episodes[place // 3]
        assert [turn.lifted for turn in one.episode.turns] == [turn.lifted for turn in before.turns]
        assert [turn.later is None for turn in one.episode.turns] == [
            turn.later is None for turn in before.turns
        ]
    assert len({turn.lifted for one in episodes for turn in one.turns}) == 2


def test_a_branch_that_fails_is_wrong_with_its_cause_and_one_may_reach_what_its_episode_did_not():
    room = 110
    script = {"now": "long " * 6}
    engine = ScriptedEngine(lambda prompt, adapter: script["now"], context=room)
    net = network(engine, "1-1", message_tokens=40)
    (failed,) = rollout(net, TASK, problems(1), 1, DRAW)
    assert (len(failed.turns), failed.score) == (1, WRONG)
    script["now"] = "s"
    (well,) = replay(net, TASK, [Branch(failed, 0)], DRAW)
    assert (well.episode.failure, well.wrote, well.episode.score.value) == (None, (0, 1), 1.0)
    script["now"] = "long " * 6
    (worse,) = replay(net, TASK, [Branch(well.episode, 0)], DRAW)
    assert (worse.episode.score, worse.wrote, worse.episode.answered) == (WRONG, (0,), False)
    assert worse.episode.failure.startswith("node '2.1': a prompt of ")
    assert len(worse.written) == 1


def test_adapters_may_be_shared():
    net, episodes = played("2-2-1", share="layer")
    (one,) = replay(net, TASK, [Branch(episodes[0], 0)], DRAW)
    assert [turn.adapter for turn in one.written] == [0, 1, 1, 2]


def test_the_tiny_model_writes_something_else_and_the_same_again(tiny_engine):
    net = network(tiny_engine(adapters=3), "2-1", message_tokens=6, answer_tokens=6)
    episodes = rollout(net, TASK, problems(2), 2, DRAW)
    branches = [Branch(one, 1, (k,)) for one in episodes for k in range(3)]
    found = replay(net, TASK, branches, DRAW)
    assert replay(net, TASK, branches, DRAW) == found
    (alone,) = replay(net, TASK, branches[4:5], DRAW)
    assert [t.ids for t in alone.episode.turns] == [t.ids for t in found[4].episode.turns]
    written = {one.episode.turns[1].ids for one in found} | {one.turns[1].ids for one in episodes}
    assert len(written) > 12


def test_what_cannot_be_replayed_is_refused():
    net, (episode,) = played("1-1")
    for branch, words in (
        (Branch(replace(episode, turns=episode.turns[:1]), 1), "did not speak"),
        (Branch(episode, 1, hidden=True), "cannot be hidden"),
        (Branch(episode, 0, said="x", hidden=True), "cannot be hidden"),
    ):
        with pytest.raises(ValueError, match=words):
            replay(net, TASK, [branch], DRAW)
    with pytest.raises(ValueError, match="'blank'"):
        replay(net, TASK, [Branch(episode, 0)], Sampling(1.0, 7, "blank"))
    assert replay(net, TASK, [], DRAW) == []
