"""Where a model stands: known answers drive what is asked, what is counted and what is advised."""

from __future__ import annotations

import re

import pytest
from tests.unit.toys import network

from neuromas.engines.scripted import ScriptedEngine
from neuromas.evaluation.advice import advise, options_of_parts, starts
from neuromas.evaluation.asks import form_of, parts_and_steps, tree_of
from neuromas.evaluation.heldout import first_problems
from neuromas.evaluation.probe import Draws, Standing, probe
from neuromas.tasks import make_task
from neuromas.topology.files import load_topology

PLUS = {"operators": "+", "ask": True}
ADD = re.compile(r"Question: What is (\d+) \+ (\d+)\?\nAnswer:$")
STEP = re.compile(r"What is A \+ B\?\nNode 1: (\d+)\nNode 2: (\d+)\nAnswer:$")


def asked(script, options=PLUS, shape="1", *, examples=(0, 2), samples=3):
    task = make_task("arithmetic", options)
    engine = ScriptedEngine(script)
    problems = first_problems(task, "validation", 8)
    found = probe(network(engine, shape), task, problems, Draws(samples, 1.0, 0), examples=examples)
    return engine, list(found)


def adder(prompt, adapter):
    """Right in parts, in steps only where two worked examples are shown, never in the whole."""
    if found := ADD.search(prompt):
        return str(int(found[1]) + int(found[2]))
    found = STEP.search(prompt)
    if found and prompt.count("Question:") == 3:
        return str(int(found[1]) + int(found[2]))
    return "?"


def test_whole_parts_and_steps_are_asked_through_their_prompts():
    engine, found = asked(adder)
    at = {(one.kind, one.examples): one for one in found}
    assert [at["whole", k].greedy for k in (0, 2)] == [0.0, 0.0]
    assert [at["part", k].greedy for k in (0, 2)] == [1.0, 1.0]
    assert [at["step", k].greedy for k in (0, 2)] == [0.0, 1.0]
    assert at["part", 0].reward == at["part", 0].any == 1.0
    assert at["part", 0].mixed == 0.0
    assert at["part", 0].items == 8
    assert at["whole", 0].said == "?"
    prompts = [prompt for call in engine.calls for prompt in call.prompts]
    assert any("(layer 2/2, output" in prompt and "Node 2: " in prompt for prompt in prompts)
    for prompt in prompts:  # nobody is shown the answer to the very question that is asked
        shown = re.findall(r"Question: (.*)\n", prompt)
        if "Node 1" not in prompt:
            assert shown[-1] not in shown[:-1]


def test_what_gives_a_gradient_is_counted():
    turn = iter(range(10**6))

    def sometimes(prompt, adapter):
        found = ADD.search(prompt)
        return str(int(found[1]) + int(found[2])) if found and next(turn) % 2 else "?"

    _, found = asked(sometimes, samples=4, examples=(0,))
    part = next(one for one in found if one.kind == "part")
    assert (part.any, part.mixed, part.reward) == (1.0, 1.0, 0.5)
    assert starts(part)
    whole = next(one for one in found if one.kind == "whole")
    assert (whole.any, whole.mixed) == (0.0, 0.0)
    assert not starts(whole)


def test_a_near_answer_that_is_paid_for_is_not_a_right_one():
    def near(prompt, adapter):
        found = ADD.search(prompt)
        return str(int(found[1]) + int(found[2]) + 1) if found else "?"

    _, found = asked(near, PLUS | {"graded": True}, examples=(0,))
    part = next(one for one in found if one.kind == "part")
    assert (part.greedy, part.reward, part.any, part.mixed) == (0.0, 0.25, 0.0, 0.0)


def test_a_trained_network_is_asked_as_it_is():
    def knows(prompt, adapter):
        found = STEP.search(prompt) or ADD.search(prompt)
        return str(int(found[1]) + int(found[2])) if found else "?"

    engine = ScriptedEngine(knows)
    task = make_task("arithmetic", PLUS)
    from neuromas.system.network import Network, assign

    tree = load_topology("2-1", "split")
    found = probe(Network(tree, engine, assign(tree, "node")), task, first_problems(task, "validation", 5),
                  Draws(2))  # fmt: skip
    assert [(one.kind, one.greedy) for one in found] == [("whole", 1.0), ("part", 1.0), ("step", 1.0)]


@pytest.mark.parametrize(
    ("name", "options", "shape", "kinds"),
    [
        ("arithmetic", PLUS | {"depth": 3, "parts": 4}, 7, {("part", 0), ("step", 1), ("step", 2)}),
        ("lookup", {"ask": True, "hops": 3}, 3, {("part", 0), ("step", 1), ("step", 2)}),
        ("hier", {"H": 3}, 7, {("part", 0), ("step", 2)}),
        ("max", {}, 0, set()),
    ],
)
def test_every_family_has_its_tree(name, options, shape, kinds):
    problems = first_problems(make_task(name, options), "validation", 3)
    tree = tree_of(problems[0])
    assert (0 if tree is None else len(tree.nodes)) == shape
    groups = parts_and_steps(load_topology("1", "all"), tree, problems)
    assert {(group.kind, group.level) for group in groups} == kinds
    for group in groups:
        assert len(group.asks) <= len(problems)


def test_a_part_that_does_not_know_is_right_to_say_so():
    def reader(prompt, adapter):
        asked = prompt.rpartition("Question: ")[2]
        name = re.match(r"How old is (\w+)\?", asked)
        found = name and re.search(rf"{name[1]} is (\d+)", asked)
        return found[1] if found else "none"

    task = make_task("recall", {"ask": True})
    problems = first_problems(task, "validation", 8)
    found = list(probe(network(ScriptedEngine(reader), "1"), task, problems, Draws(2), examples=(0,)))
    part = next(one for one in found if one.kind == "part")
    assert (part.greedy, part.reward) == (1.0, 1.0)
    golds = [ask.own.answer for ask in _parts(problems)]
    assert part.constant_text == "none"
    assert part.constant == golds.count("none") / len(golds)


def _parts(problems):
    groups = parts_and_steps(load_topology("1", "all"), tree_of(problems[0]), problems)
    return next(group.asks for group in groups if group.kind == "part")


def standing(kind, k=0, greedy=0.0, mixed=0.0, **more):
    low = (greedy * 0.8, greedy * 0.8)
    more = {"form": "" if kind == "whole" else "What is # + #?", "constant": 0.07} | more
    return Standing(kind, -1 if kind == "whole" else kind == "step", more.pop("form"), k, 64, greedy=greedy,
                    reward=greedy, any=mixed, mixed=mixed, low=low, **more)  # fmt: skip


def test_advice_of_every_kind():
    whole, part, step = standing("whole", 0, 0.05, 0.2), standing("part", 0, 0.4, 0.6), standing("step")
    said = "\n".join(advise([whole, part, step], {"depth": 1}))
    assert "begin with one node on the parts, What is # + #? (40 % greedy, sampled 0.40" in said
    assert '`[[stages]] shape = "1", task = { depth = 1 }`' in said
    assert "the whole question gives training nothing to begin with" in said
    assert 'init = "copy"' in said
    ready = advise([standing("whole", 0, 0.3, 0.5), part], None)
    assert len(ready) == 1
    assert "begin with it" in ready[0]
    assert "already answered" in advise([standing("whole", 0, 0.99, 0.0), part], None)[0]
    shown = advise([whole, standing("part"), standing("part", 4, 0.5, 0.5)], None)[-1]
    assert 'view = ["all+examples", "all"]' in shown
    assert "4 worked examples" in shown
    assert "on a task that asks the parts alone" in shown
    assert "leave this family out" in advise([whole, standing("part"), standing("part", 4)], None)[-1]
    assert "does not hand out" in advise([whole], None)[-1]
    constant = standing("part", 0, 0.5, 0.9, constant=0.5)  # no better than saying yes to all
    assert "leave this family out" in advise([whole, constant], None)[-1]
    failed = standing("part", failure="only 1 training questions of this kind")
    assert "only 1 training questions" in advise([whole, failed], None)[-1]


def test_the_stage_of_the_parts_is_found_by_what_it_asks():
    parts = [standing("part", form="What is # + #?")]
    assert options_of_parts("arithmetic", PLUS, parts) == {"depth": 1}
    four = PLUS | {"depth": 3, "parts": 4}
    assert options_of_parts("arithmetic", four, parts) == {"depth": 1, "parts": 2}
    assert options_of_parts("arithmetic", PLUS, [standing("part", form="Who is #?")]) is None
    assert form_of("What is 12 + -3?") == "What is # + #?"
