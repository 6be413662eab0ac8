"""Trees of messages: how many, who follows whom, and that branches are draws of their own."""

from __future__ import annotations

import pytest
from toys import ToyTask, lines, network, problems

from neuromas.core.errors import PromptError
from neuromas.engines.scripted import ScriptedEngine
from neuromas.system.rollout import Sampling
from neuromas.system.tree import trees
from neuromas.topology.shapes import build_shape

CHAIN = build_shape("1-1-1+skip", "all")


class Counting:
    """Writes g0 g1 g2, then v0 v1 ... v8, then r0 ... in the order it is asked."""

    def __init__(self):
        self.asked = [0, 0, 0]

    def __call__(self, prompt, adapter):
        self.asked[adapter] += 1
        return f"{'gvr'[adapter]}{self.asked[adapter] - 1}"


@pytest.mark.parametrize(("branches", "wanted"), [(3, [3, 9, 27]), (2, [2, 4, 8])])
def test_each_level_is_one_batch(branches, wanted):
    engine = ScriptedEngine(Counting())
    (tree,) = trees(network(engine, CHAIN), ToyTask(), problems(1), branches, Sampling(1.0, 0))
    assert [len(call.requests) for call in engine.calls] == wanted
    assert len(tree.turns) == sum(wanted)
    assert len(tree.leaves) == wanted[-1]
    assert len({request.seed for call in engine.calls for request in call.requests}) == sum(wanted)


def test_two_problems_share_the_batches():
    engine = ScriptedEngine(Counting())
    found = trees(network(engine, CHAIN), ToyTask(), problems(2), 3, Sampling(1.0, 0))
    assert [len(call.requests) for call in engine.calls] == [6, 18, 54]
    assert [{leaf.problem.id for leaf in tree.leaves} for tree in found] == [{"p0"}, {"p1"}]


def test_children_read_their_parents():
    engine = ScriptedEngine(Counting())
    (tree,) = trees(network(engine, CHAIN), ToyTask(), problems(1), 3, Sampling(1.0, 0))
    for place, leaf in enumerate(tree.leaves):
        texts = [turn.text for turn in leaf.turns]
        assert texts == [f"g{place // 9}", f"v{place // 3}", f"r{place}"]
        assert [tree.turn(level, level, place // 3 ** (2 - level)).text for level in range(3)] == texts
    for place, prompt in enumerate(engine.calls[2].prompts):
        assert [line.split(": ")[1] for line in lines(prompt)] == [f"g{place // 9}", f"v{place // 3}"]


def test_branches_are_draws_of_their_own_and_can_be_had_again(tiny_engine):
    net = network(tiny_engine(adapters=3), CHAIN, message_tokens=6, answer_tokens=6)
    found = trees(net, ToyTask(), problems(2), 2, Sampling(1.0, 5))
    again = trees(net, ToyTask(), problems(2), 2, Sampling(1.0, 5))
    assert found == again
    texts = [leaf.turns[-1].text for tree in found for leaf in tree.leaves]
    assert len(set(texts)) > len(texts) // 2
    alone = trees(net, ToyTask(), problems(1), 2, Sampling(1.0, 5))
    assert [leaf.turns[2].ids for leaf in alone[0].leaves] == [leaf.turns[2].ids for leaf in found[0].leaves]
    twice = trees(net, ToyTask(), [*problems(1), *problems(1)], 2, Sampling(1.0, 5))
    assert twice[0].leaves != twice[1].leaves


def test_what_fails_on_its_way_is_asked_no_further():
    """A message too long for its reader: that branch is wrong, with its cause, and costs nothing more."""
    texts = iter(["short", "x" * 100])
    engine = ScriptedEngine(lambda prompt, adapter: "v" if adapter else next(texts), context=260)
    net = network(engine, CHAIN, message_tokens=100, answer_tokens=4)
    (tree,) = trees(net, ToyTask(), problems(1), 2, Sampling(1.0, 0))
    assert [len(call.requests) for call in engine.calls] == [2, 2, 4]
    assert [leaf.score.value for leaf in tree.leaves] == [1.0] * 4 + [0.0] * 4
    assert all("do not fit" in leaf.failure for leaf in tree.leaves[4:])
    assert [turn.node for turn in tree.turns] == [0, 0, 1, 1, 2, 2, 2, 2]
    assert tree.turn(0, 0, 1).text == "x" * 100
    assert tree.turn(1, 1, 2) is None


def test_a_layer_writes_together():
    engine = ScriptedEngine(Counting())
    (tree,) = trees(network(engine, "2-1"), ToyTask(), problems(1), 2, Sampling(1.0, 0))
    assert [len(call.requests) for call in engine.calls] == [2 * 2, 4]
    assert [[turn.text for turn in leaf.turns] for leaf in tree.leaves] == [
        ["g0", "v0", "r0"],
        ["g0", "v0", "r1"],
        ["g1", "v1", "r2"],
        ["g1", "v1", "r3"],
    ]
    assert [turn.text for turn in tree.turns] == ["g0", "v0", "g1", "v1", "r0", "r1", "r2", "r3"]
    assert tree.turn(0, 1, 1).text == "v1"


def test_what_cannot_be_asked_at_all_is_said():
    engine = ScriptedEngine(lambda prompt, adapter: "v", context=80)
    with pytest.raises(PromptError, match="do not fit"):
        trees(network(engine, CHAIN), ToyTask(), problems(1), 2, Sampling(1.0, 0))
