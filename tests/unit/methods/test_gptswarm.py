"""GPTSwarm: who reads whom, what counts as the answer, and that the planted best graph is found."""

from __future__ import annotations

import json

import pytest
from toys import ToyTask, network, problems

from neuromas.core.errors import ConfigError
from neuromas.core.task import Score
from neuromas.engines.scripted import ScriptedEngine
from neuromas.methods.base import Allowance, Bench
from neuromas.methods.gptswarm import _DECIDE, _WRONG, GPTSwarm, Swarm
from neuromas.methods.running import evaluate_method, make_method


def at(script, **allowance):
    task = ToyTask(lambda problem, text: Score(float(text == "right"), text or None))
    return Bench(network(ScriptedEngine(script), "1"), task, 9, 0, Allowance(**allowance), seed=4)


def said(where):
    return [[prompt.splitlines() for prompt in call.prompts] for call in where.network.engine.calls]


def test_potential_edges_join_different_agents_and_lead_to_the_decision():
    swarm = Swarm(agents=2, steps=2)
    across = ((0, 2), (0, 3), (1, 2), (1, 3), (2, 0), (2, 1), (3, 0), (3, 1))
    assert swarm.potential == (*across, (0, 4), (1, 4), (2, 4), (3, 4))
    assert swarm.chains == ((0, 1), (2, 3))
    assert swarm.name((1, 4)) == ["1.2", "decision"]
    assert len(GPTSwarm().swarm().potential) == 90
    assert Swarm(agents=3, steps=1).chains == ()


def test_a_graph_is_played_level_by_level_and_the_unheard_are_silent():
    where = at(lambda prompt, adapter: f"m{len(prompt) % 7}")
    swarm = Swarm(agents=3, steps=2, edges=((1, 2), (3, 6), (0, 6)))  # the third agent leads nowhere
    ((episode,),) = (group.episodes for group in swarm.answer(where, problems(1)))
    assert [turn.node for turn in episode.turns] == [0, 1, 2, 3]
    first, second, third, fourth = (turn.text for turn in episode.turns)
    heard = [[line for line in lines if line.startswith(("You:", "Agent "))] for ((lines),) in said(where)]
    assert heard == [[], [f"You: {first}"], [f"Agent 1: {second}"], [f"You: {third}"]]
    assert swarm.calls(where) == 4
    assert fourth


def test_the_majority_of_those_who_are_heard_is_the_answer():
    words = iter(["right", "other", "other"])
    where = at(lambda prompt, adapter: next(words))
    swarm = Swarm(agents=3, steps=1, edges=((0, 3), (1, 3), (2, 3)))
    ((episode,),) = (group.episodes for group in swarm.answer(where, problems(1)))
    assert (episode.answer, len(episode.turns), swarm.calls(where)) == ("other", 3, 3)


def test_the_model_may_decide_and_speaks_alone_where_nobody_is_heard():
    where = at(lambda prompt, adapter: "right" if _DECIDE in prompt else "other")
    swarm = Swarm(agents=2, steps=1, decision="model", edges=((0, 2), (1, 2)))
    ((episode,),) = (group.episodes for group in swarm.answer(where, problems(1)))
    assert (episode.answer, [turn.node for turn in episode.turns]) == ("right", [0, 1, 2])
    assert swarm.calls(where) == 3
    for decision in ("vote", "model"):
        alone = Swarm(agents=2, steps=1, decision=decision)
        ((episode,),) = (group.episodes for group in alone.answer(where, problems(1)))
        assert (episode.answer, len(episode.turns), alone.calls(where)) == ("other", 1, 1)


def liars(prompt, adapter):
    """Adversaries are wrong, others right unless they read somebody who is wrong."""
    return "wrong" if _WRONG in prompt or ": wrong" in prompt else "right"


@pytest.mark.parametrize("baseline", ["moving", "none"])
def test_edges_move_towards_the_planted_graph(baseline):
    where = at(liars)
    swarm = GPTSwarm(agents=4, steps=1, adversaries=2, iterations=60, batch=8, baseline=baseline)
    search = swarm.prepare(where)
    chance = {tuple(ends): p for *ends, p in search.found["probabilities"]}
    honest, lying = ["1.1", "2.1"], ["3.1", "4.1"]
    to_decision = {node: chance[node, "decision"] for node in honest + lying}
    misled = [chance[liar, node] for liar in lying for node in honest]
    assert min(to_decision[node] for node in honest) > 0.5
    assert max(to_decision[node] for node in lying) < 0.3
    assert sum(misled) / 4 < 0.3
    first, last = search.found["rewards"][:10], search.found["rewards"][-10:]
    assert sum(first) / 10 < 0.6
    assert sum(last) / 10 > 0.85
    assert ["1.1", "decision"] in [edge[:2] for edge in search.found["edges"]]
    answers = [group.episodes[0].answer for group in search.method.answer(where, problems(3))]
    assert answers == ["right"] * 3
    assert json.loads(json.dumps(search.found)) == search.found


def test_where_all_graphs_earn_the_same_nothing_is_learned_with_a_baseline():
    for text, baseline, still in (("right", "moving", True), ("right", "none", False), ("x", "none", True)):
        swarm = GPTSwarm(agents=2, iterations=3, baseline=baseline)
        found = swarm.prepare(at(lambda prompt, adapter, text=text: text)).found
        assert all(p == 0.5 for *_, p in found["probabilities"]) == still
        assert not still or found["edges"] == [], "one half is not above one half"


def test_a_start_of_edges_and_the_bill():
    where = at(lambda prompt, adapter: "right")
    search = GPTSwarm(agents=2, steps=1, start=0.9, iterations=0).prepare(where)
    assert [p for *_, p in search.found["probabilities"]] == pytest.approx([0.9] * 4)
    assert [edge[:2] for edge in search.found["edges"]] == [
        ["1.1", "2.1"],
        ["1.1", "decision"],
        ["2.1", "decision"],
    ], "the edge back would close a cycle"
    assert search.calls == 0
    result = evaluate_method("gptswarm", GPTSwarm(agents=2, iterations=2, batch=3, items=2), where, "test", 2)
    assert result.summary["search"]["calls"] > 0
    assert result.summary["options"]["iterations"] == 2
    assert result.summary["nodes"] == 1


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"agents": 0}, "agents = 0 of method .gptswarm. .valid: whole, 1 to 20"),
        ({"agents": "many"}, "agents = 'many'"),
        ({"adversaries": 6}, "adversaries = 6 .*whole, 0 to 5"),
        ({"start": 1.0}, "start = 1.0 .*0.001 to 0.999"),
        ({"rate": True}, "rate = True"),
        ({"decision": "votes"}, "unknown decision of method .gptswarm. 'votes'.*valid: vote, model"),
        ({"baseline": "ema"}, "unknown baseline .*'ema'.*valid: moving, none"),
    ],
)
def test_impossible_options_are_refused(options, says):
    with pytest.raises(ConfigError, match=says):
        make_method("gptswarm", options)
