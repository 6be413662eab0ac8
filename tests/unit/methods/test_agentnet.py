"""AgentNet: what routers decide, who may be asked, and how memories, abilities and links move."""

from __future__ import annotations

import json
from collections import Counter

import pytest
from toys import ToyTask, network, problems

from neuromas.core.errors import ConfigError
from neuromas.core.task import Problem, Score
from neuromas.engines.scripted import ScriptedEngine
from neuromas.methods.agentnet import (
    Agent,
    AgentNet,
    Decision,
    Memory,
    Society,
    Solved,
    decide,
    most_calls,
    moved,
    replayed,
)
from neuromas.methods.base import Allowance, Bench
from neuromas.methods.running import evaluate_method, make_method


def at(script, seed=4):
    task = ToyTask(lambda problem, text: Score(float(text == "right"), text or None))
    return Bench(network(ScriptedEngine(script), "1"), task, 9, 0, Allowance(), seed=seed)


def society(*abilities, cut=(), **agent):
    """Agents of these abilities, all linked but for the pairs that are cut."""
    places = range(len(abilities))
    links = tuple(tuple(float(i != j and (i, j) not in cut) for j in places) for i in places)
    return Society(tuple(Agent(ability, **agent) for ability in abilities), links)


def solve(script, agents, problem=None):
    """How a question goes: its prompts' kinds and speakers, and what was decided."""
    where = at(script)
    ((episode,),) = (group.episodes for group in agents.answer(where, [problem or problems(1)[0]]))
    assert episode.failure is None
    assert len(episode.turns) <= agents.calls(where)
    return episode, replayed(agents, episode), [c.prompts[0] for c in where.network.engine.calls]


@pytest.mark.parametrize(
    ("text", "begun", "decision"),
    [
        ("EXECUTE", False, Decision(0, "execute")),
        ("I will execute it, not forward 2", False, Decision(0, "execute")),
        ("FORWARD 3", False, Decision(0, "forward", 2)),
        ("forward to agent 2.", False, Decision(0, "forward", 1)),
        ("split", False, Decision(0, "split")),
        ("FORWARD 1", False, Decision(0, "execute", fallback=True)),
        ("FORWARD", False, Decision(0, "execute", fallback=True)),
        ("FORWARD 9999999999", False, Decision(0, "execute", fallback=True)),
        pytest.param(f"FORWARD {'9' * 5000}", False, Decision(0, "execute", fallback=True), id="endless"),
        ("NEXT 2", False, Decision(0, "execute", fallback=True)),
        ("forwarded 2", False, Decision(0, "execute", fallback=True)),
        ("", False, Decision(0, "execute", fallback=True)),
        ("DONE", True, Decision(0, "done")),
        ("next: 2", True, Decision(0, "next", 1)),
        ("next 1", True, Decision(0, "done", fallback=True)),
        ("EXECUTE", True, Decision(0, "done", fallback=True)),
        ("split", True, Decision(0, "done", fallback=True)),
    ],
)
def test_what_a_router_says(text, begun, decision):
    assert decide(0, text, [1, 2], begun) == decision


def test_nobody_left_nothing_to_split():
    assert decide(0, "SPLIT", []) == Decision(0, "execute", fallback=True)


def test_the_ablest_begins_and_executes_with_a_thought():
    words = iter(["EXECUTE", "hm", "right"])
    episode, solved, prompts = solve(lambda p, a: next(words), society(0.6, 0.8, 0.7))
    assert [turn.node for turn in episode.turns] == [1, 1, 1]
    assert (episode.answer, episode.score.value) == ("right", 1.0)
    assert solved == Solved("right", (Decision(1, "execute"),), ((1, "right"),))
    assert "You are agent 2. Ability 0.8, 0 of 0 tasks solved.\nAgent 1: Ability 0.6" in prompts[0]
    assert "Thought: hm" in prompts[2]


def test_equally_able_agents_begin_by_lot():
    agents = society(0.6, 0.6, 0.6)
    begun = Counter(agents.first(Problem(str(i), "?", "")) for i in range(300))
    assert min(begun[place] for place in range(3)) > 70
    assert agents.first(Problem("1", "?", "")) == agents.first(Problem("1", "other", ""))


def test_a_task_is_forwarded_along_links_and_never_back():
    words = iter(["FORWARD 2", "FORWARD 1", "hm", "right"])
    episode, solved, prompts = solve(lambda p, a: next(words), society(0.9, 0.6, 0.6))
    assert [turn.node for turn in episode.turns] == [0, 1, 1, 1]
    assert solved.decisions == (Decision(0, "forward", 1), Decision(1, "execute", fallback=True))
    assert "Agent 1:" not in prompts[1]
    assert "Agent 3:" in prompts[1]
    words = iter(["FORWARD 2", "hm", "right"])
    episode, solved, prompts = solve(lambda p, a: next(words), society(0.9, 0.6, 0.6, cut={(0, 1)}))
    assert solved.decisions == (Decision(0, "execute", fallback=True),), "the link was pruned"
    assert "Agent 2:" not in prompts[0]


def test_a_task_is_split_and_its_parts_are_handed_on():
    words = iter(["SPLIT", "first part", "NEXT 3", "SPLIT", "second part", "DONE"])
    episode, solved, prompts = solve(lambda p, a: next(words), society(0.9, 0.6, 0.6))
    assert [turn.node for turn in episode.turns] == [0, 0, 0, 2, 2, 2]
    assert episode.answer == "second part"
    assert solved.parts == ((0, "first part"), (2, "second part"))
    assert [one.word for one in solved.decisions] == ["split", "next", "split", "done"]
    assert "Agent 1 wrote: first part" in prompts[3]
    assert "Agent 1 wrote: first part" in prompts[4]


def test_no_more_than_five_execute_and_three_forward():
    def parts(prompt, adapter):
        number = prompt.split("You are agent ")[-1][:1]
        if "DONE" in prompt:
            return f"NEXT {int(number) + 1}"
        return "SPLIT" if "SPLIT" in prompt else "part"

    episode, solved, _ = solve(parts, society(0.9, *[0.6] * 7))
    assert len(solved.parts) == 5
    assert len(episode.turns) == 4 * 3 + 3
    forward = lambda prompt, adapter: f"FORWARD {int(prompt.split('You are agent ')[-1][0]) + 1}"  # noqa: E731
    script = lambda prompt, adapter: forward(prompt, adapter) if "FORWARD" in prompt else "x"  # noqa: E731
    episode, solved, _ = solve(script, society(0.9, *[0.6] * 7))
    assert [one.word for one in solved.decisions] == ["forward"] * 3 + ["execute"]
    assert [most_calls(n) for n in (1, 2, 3, 5, 6, 8, 20)] == [3, 6, 9, 15, 16, 18, 18]


def test_links_by_hand():
    assert moved(1.0, True) == pytest.approx(1.1)
    assert moved(1.0, False) == pytest.approx(0.9)
    assert moved(1.9, True) == 2.0
    link, steps = 1.0, 0
    while link:
        link, steps = moved(link, False), steps + 1
    assert steps == 12, "0.9^11 = 0.314 stays, 0.9^12 = 0.282 is removed"


def test_what_is_learned_from_a_question():
    one = Problem("p", "What is it?", "right")
    decisions = (Decision(0, "split"), Decision(0, "next", 2), Decision(2, "execute", fallback=True))
    solved = Solved("right", decisions, ((0, "a part"), (2, "right")))
    before = society(0.6, 0.6, 1.95)
    after = before.learned(one, solved, True, capacity=40)
    assert after.links[0] == pytest.approx((0.0, 1.0, 1.1))
    assert after.links[1:] == before.links[1:]
    assert [agent.ability for agent in after.agents] == pytest.approx([0.7, 0.6, 2.0])
    assert [(agent.tried, agent.solved) for agent in after.agents] == [(1, 1), (0, 0), (1, 1)]
    assert after.agents[0].executed == (Memory("What is it?", "a part"),)
    assert after.agents[0].routed == (Memory("What is it?", "SPLIT"),)
    assert after.agents[2].routed == (Memory("What is it?", "EXECUTE"),)
    assert after.agents[1] == before.agents[1]
    failed = before.learned(one, solved, False, capacity=40)
    assert failed.links[0] == pytest.approx((0.0, 1.0, 0.9))
    assert [agent.ability for agent in failed.agents] == [0.6, 0.6, 1.95]
    assert [(agent.tried, agent.solved) for agent in failed.agents] == [(1, 0), (0, 0), (1, 0)]
    assert not any(agent.routed or agent.executed for agent in failed.agents)


def test_the_oldest_memory_of_an_executor_goes():
    agents = society(0.6)
    for number in range(5):
        solved = Solved("right", (Decision(0, "execute"),), ((0, f"answer {number}"),))
        agents = agents.learned(Problem(f"{number}", f"Question {number}", ""), solved, True, capacity=3)
    assert [one.text for one in agents.agents[0].executed] == ["answer 2", "answer 3", "answer 4"]
    assert len(agents.agents[0].routed) == 5


def test_the_nearest_memories_are_shown_and_cut():
    executed = tuple(Memory(f"about {word} " + "x" * 300, word) for word in ("cats", "dogs", "cows", "owls"))
    agents = society(0.6, executed=executed, routed=(Memory("about owls", "SPLIT"),))
    problem = Problem("p", "What about owls?", "")
    _, _, prompts = solve(lambda p, a: "EXECUTE", agents, problem)
    shown = [line for line in prompts[2].splitlines() if line.startswith("Question: ")]
    assert len(shown) == 4
    assert shown[2].startswith("Question: about owls xxx")
    assert len(shown[2]) == len("Question: ") + 200
    assert "\nAnswer: owls\nQuestion: What about owls?\n" in prompts[2], "the nearest is the last before it"
    assert "\nQuestion: about owls\nAnswer: SPLIT\nQuestion: What about owls?\n" in prompts[0]
    assert prompts[0].endswith("\nAnswer (EXECUTE, FORWARD or SPLIT):"), "a form told first is not kept to"
    assert prompts[1].count("Question: ") == 1, "who thinks is shown no answers"


def first_two(prompt, adapter):
    """Agents 1 and 2 hand on to 3; agent 3 alone is right."""
    if "FORWARD" in prompt:
        return "EXECUTE" if "You are agent 3" in prompt else "FORWARD 3"
    return "right"


def test_a_search_strengthens_what_works_and_prunes_what_does_not():
    where = at(first_two)
    search = AgentNet(items=24, batch=1).prepare(where)
    found = search.found
    assert found["agents"][2]["ability"] == 2.0
    assert [agent["ability"] for agent in found["agents"][:2]] == [0.6, 0.6]
    assert found["agents"][2]["solved"] == found["agents"][2]["tried"] == 24
    assert found["fallbacks"] == 0
    assert found["rewards"] == [1.0] * 24
    assert search.method.first(problems(1)[0]) == 2, "who was right begins"
    assert json.loads(json.dumps(found)) == json.loads(json.dumps(found, allow_nan=False))
    wrong = lambda prompt, adapter: "wrong" if "FORWARD" not in prompt else first_two(prompt, adapter)  # noqa: E731
    links = AgentNet(items=60, batch=4).prepare(at(wrong)).found["links"]
    assert links[0][2] == links[1][2] == 0.0
    assert links[0][1] == links[2][0] == 1.0


def test_what_was_paid_and_is_wrong_is_remembered_as_wrong():
    where = at(first_two)
    task = ToyTask(lambda problem, text: Score(1.0, text, correct=0.0))
    paid = Bench(where.network, task, 9, 0, Allowance(), seed=4)
    found = AgentNet(items=8, batch=4).prepare(paid).found
    assert found["rewards"] == [1.0, 1.0]
    assert [agent["solved"] for agent in found["agents"]] == [0, 0, 0]
    assert found["agents"][2]["tried"] == 8


def test_texts_that_are_no_decision_are_counted():
    where = at(lambda prompt, adapter: "hello")
    result = evaluate_method("agentnet", AgentNet(items=6, batch=4), where, "test", 2)
    search = result.summary["search"]
    assert search["found"]["fallbacks"] == 6
    assert search["found"]["decisions"] == {"execute": 6}
    assert (search["calls"], len(search["found"]["rewards"])) == (18, 2)
    assert result.summary["calls"] == 3.0
    assert result.summary["nodes"] == 9


def test_impossible_options_are_refused():
    with pytest.raises(ConfigError, match=r"capacity = 0 .*whole"):
        make_method("agentnet", {"capacity": 0})
