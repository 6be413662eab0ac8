"""Where a model stands: known answers drive what is asked, what is counted and what is advised."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest
from tests.unit.toys import network

from neuromas.core.errors import PromptError
from neuromas.core.task import Problem
from neuromas.engines.scripted import ScriptedEngine
from neuromas.evaluation.advice import advise, options_of_parts, starts
from neuromas.evaluation.asks import Ask, Group, form_of, forms_of, parts_and_steps, tree_of
from neuromas.evaluation.heldout import first_problems
from neuromas.evaluation.probe import Draws, Standing, _Asker, probe
from neuromas.tasks import make_task
from neuromas.tasks.around import TaskAround
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


LATER = {"rules": "later", "ask": True, "depth": 2, "parts": 2}
OF_WORDS = [
    ("pick", LATER, [("part", "What is the later of … and …?"), ("step", "What is the later of A and B?")]),
    (
        "pick",
        LATER | {"rules": "later/earlier,later"},
        [
            ("part", "What is the later of … and …?"),
            ("part", "What is the earlier of … and …?"),
            ("step", "What is the later of A and B?"),
        ],
    ),
    (
        "lookup",
        {"ask": True, "hops": 3},
        [
            ("part", "…n …. … lives in …. … lives in …. Which city does … live in?"),
            ("step", "…. … grows …. … grows …. Which fruit grows in the city of A?"),
            ("step", "…eds the …. The … feeds the …. Which animal does the A feed?"),
        ],
    ),
    (
        "recall",
        {"ask": True},
        [
            ("part", "…old is …? … is #. … is #. … is #. If it does not say, none."),
            ("step", "Which of A, B is an age? If none is, none."),
        ],
    ),
]


@pytest.mark.parametrize("items", [20, 3])
@pytest.mark.parametrize(("name", "options", "kinds"), OF_WORDS)
def test_questions_of_words_are_of_one_kind_and_have_worked_examples(name, options, kinds, items):
    task = make_task(name, options)
    engine = ScriptedEngine(lambda prompt, adapter: "?")
    problems = first_problems(task, "validation", items)
    found = list(probe(network(engine, "1"), task, problems, Draws(1), examples=(0, 4)))
    assert [one.failure for one in found] == [None] * len(found)
    rows = [(one.kind, one.form) for one in found if one.kind != "whole" and not one.examples]
    assert sorted(rows) == sorted(kinds)
    if options != OF_WORDS[1][1]:  # of drawn rules there are as many as were drawn
        assert {one.items for one in found} == {items}
    prompts = [prompt for call in engine.calls for prompt in call.prompts]
    assert {prompt.count("Question: ") for prompt in prompts} == {1, 5}
    for prompt in prompts:
        *shown, asked = re.findall(r"Question: (.*)\n", prompt)
        assert "Node 1: " in prompt or asked not in shown
        kind = re.compile(r"What is the (later|earlier) of \w+ and \w+\?|\w+")
        assert len({kind.sub(r"\1", question) for question in (*shown, asked)}) == 1


def test_the_kind_of_a_question_does_not_hang_on_which_are_asked():
    task = make_task("pick", LATER)
    engine = ScriptedEngine(lambda prompt, adapter: "?")
    problems = first_problems(task, "validation", 40)
    rows = [
        {(one.kind, one.form) for one in probe(network(engine, "1"), task, some, Draws(1), examples=(4,))}
        for some in (problems[:1], problems[1:3], problems)
    ]
    assert rows[0] == rows[1] == rows[2]


def test_forms():
    pairs = list(pairwise(["fox", "owl", "bear", "wolf", "deer", "goat", "crow", "mouse"]))
    later = [f"What is the later of {a} and {b}?" for a, b in pairs]
    earlier = [text.replace("later", "earlier") for text in later]
    assert set(forms_of(later)) == {"What is the later of … and …?"}
    assert set(forms_of(later[:2])) == {"What is the later of … and …?"}
    assert forms_of(later + earlier)[::7] == (
        "What is the later of … and …?",
        "What is the earlier of … and …?",
    )
    sums = [f"What is {a} {sign} {a + 1}?" for a in range(9) for sign in "+-*"]
    assert forms_of(sums)[:3] == ("What is # + #?", "What is # - #?", "What is # * #?")
    many = [f"({a} {x} {a}) {y} ({a} {z} 1)" for a in (1, 2) for x in "+-" for y in "+-" for z in "+-"]
    assert set(forms_of(many)) == {""}
    assert set(forms_of(["Who?", "Where to?", "When did it end?"])) == {""}
    assert forms_of(["Who is it?"]) == ("Who is it?",)
    assert forms_of([]) == ()


def test_kinds_of_one_end_have_two_names():
    groups = parts_and_steps(
        load_topology("1", "all"),
        None,
        first_problems(make_task("max", {"ask": True, "n": 61}), "validation", 3),
    )
    assert len(groups) == len({group.form for group in groups}) == 2
    assert [len(group.asks) for group in groups] == [3, 3]


class Untaught(TaskAround):
    """A task that has nothing to train on."""

    def size(self, split):
        return 0 if split == "train" else self.inner.size(split)


@pytest.mark.parametrize("options", [LATER, {"ask": True, "depth": 2}])
def test_where_there_are_no_training_questions_that_is_said(options):
    task = Untaught(make_task("pick", options))
    engine = ScriptedEngine(lambda prompt, adapter: "?")
    problems = first_problems(task, "validation", 3)
    found = list(probe(network(engine, "1"), task, problems, Draws(1), examples=(0, 4)))
    assert [one.items for one in found] == [3] * 6
    for one in found:
        said = "no training questions of this kind to show as worked examples"
        assert one.failure == (said if one.examples else None)
    part = next(line for line in advise(found, None) if line.startswith("parts"))
    assert "never well enough to begin" in part
    assert "use more worked examples" not in part
    assert f"(4 worked examples not shown: {said})" in part


def test_an_example_that_is_the_question_itself_is_not_counted():
    def piece(number):
        return Problem(id=f"p{number}", question=f"What is {number}?", answer=str(number), kind="number")

    engine = ScriptedEngine(lambda prompt, adapter: "?")
    one = network(engine, "1")
    pool = tuple(map(piece, range(3)))
    asker = _Asker(one, make_task("arithmetic", PLUS), pool, 3)
    group = Group("part", 0, "What is #?", (Ask(one.topology, 0, piece(7), piece(7)),))
    assert len(asker.answers(group, Draws(1))) == 1
    same = Group("part", 0, "What is #?", (Ask(one.topology, 0, piece(2), piece(2)),))
    with pytest.raises(PromptError, match="only 2 training questions of this kind"):
        asker.answers(same, Draws(1))


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
    hidden = standing("part", 4, failure="only 1 training questions of this kind")
    said = advise([whole, standing("part"), hidden], None)[-1]
    assert said.endswith(
        "use easier numbers or a larger backbone, or leave this family out "
        "(4 worked examples not shown: only 1 training questions of this kind)"
    )
    of_words = advise([whole, standing("part", form="What is the later of … and …?")], None)[-1]
    assert "use more worked examples, easier questions or" in of_words
    failed = standing("part", failure="only 1 training questions of this kind")
    assert "only 1 training questions" in advise([whole, failed], None)[-1]


def test_the_stage_of_the_parts_is_found_by_what_it_asks():
    parts = [standing("part", form="What is # + #?")]
    assert options_of_parts("arithmetic", PLUS, parts) == {"depth": 1}
    four = PLUS | {"depth": 3, "parts": 4}
    assert options_of_parts("arithmetic", four, parts) == {"depth": 1, "parts": 2}
    assert options_of_parts("arithmetic", PLUS, [standing("part", form="Who is #?")]) is None
    later = [standing("part", form="What is the later of … and …?")]
    assert options_of_parts("pick", LATER, later) == {"depth": 1}
    assert form_of("What is 12 + -3?") == "What is # + #?"
