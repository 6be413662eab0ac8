"""Answers read by their last number or word, and pay for near ones: what earns, and what must not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuromas.core.task import Problem, Score
from neuromas.engines.scripted import ScriptedEngine
from neuromas.evaluation.evaluate import evaluate
from neuromas.system.network import Network
from neuromas.system.rollout import Sampling, rollout
from neuromas.tasks import make_task, validate
from neuromas.tasks.cheats import best_constant
from neuromas.tasks.grading import closeness, last_answer
from neuromas.topology.graph import Topology

SUMS = {"operators": "+", "ask": True}


@pytest.mark.parametrize(
    ("text", "last"),
    [
        ("12", "12"),
        ("3 + 4 = 7, 7 + 5 = 12.", "12"),
        ("3+4=7", "7"),
        ("8-5", "5"),
        ("8 -5", "5"),
        ("(8)-5", "5"),
        ("5 - 9 = -4", "-4"),
        ("The answer is -4", "-4"),
        ("12 1,000", "1,000"),
        ("1,2,3", "1,2,3"),
        ("7 1.2.3", "1.2.3"),
        ("7 1.2a", "7"),
        ("7 5kg", "7"),
        ("x" * 4001 + " 7", ""),
        ("none", ""),
        ("", ""),
    ],
)
def test_the_last_number(text, last):
    assert last_answer("number", text) == last


@pytest.mark.parametrize(
    ("text", "last"),
    [("Rome", "Rome"), ("It is Rome.", "Rome"), ("Rome, 3!", "Rome"), ("Rome or Oslo", "Oslo"), ("42", "")],
)
def test_the_last_word(text, last):
    assert last_answer("text", text) == last


def test_whole_is_as_strict_as_ever_and_last_lets_a_model_reason_aloud():
    whole, last = (make_task("arithmetic", {**SUMS, "read": read}) for read in ("whole", "last"))
    p = whole.problem("train", 0)
    assert last.problem("train", 0) == p
    aloud = f"First 7, then {p.answer}"
    assert (whole.score(p, aloud).parsed, last.score(p, aloud).value) == (None, 1.0)
    assert last.score(p, f"{p.answer}, that is {int(p.answer) + 1}").value == 0.0
    assert last.score(p, f"0{p.answer}").value == 0.0


@given(st.lists(st.integers(-99, 99), min_size=1, max_size=40), st.sampled_from([", ", " ", "\n", " or "]))
def test_a_list_of_all_numbers_earns_what_its_last_one_does(numbers, joint):
    task = make_task("arithmetic", {**SUMS, "read": "last", "graded": True})
    p = task.problem("test", 0)
    said = joint.join(map(str, numbers))
    alone = task.score(p, str(numbers[-1]) if len(numbers) == 1 or joint != " " else f"= {abs(numbers[-1])}")
    assert task.score(p, said) == alone


@given(st.text(max_size=60))
def test_any_text_has_a_score_and_only_the_gold_one_is_right(text):
    for options in ({"read": "last"}, {"graded": True}, {"read": "last", "graded": True}):
        for name in ("arithmetic", "lookup", "pick"):
            task = make_task(name, options)
            p = task.problem("train", 0)
            score = task.score(p, text)
            assert 0.0 <= score.value <= 1.0
            assert score.accuracy in (0.0, 1.0)
            assert score.value == 1.0 or score.value <= 0.5
            assert (score.value == 1.0) == (score.accuracy == 1.0)


def number(gold):
    return Problem("p", "q", gold, "number")


@pytest.mark.parametrize(
    ("problem", "said", "near"),
    [
        (number("12"), "13", 1 / 4),
        (number("12"), "10", 1 / 6),
        (number("-4"), "4", 1 / 18),
        (number("12"), "012", 1 / 4),
        (number("12"), "12.5", 1 / 4),
        (number("0.41"), "0.43", 1 / 6),
        (Problem("p", "q", "Rome"), "home", 3 / 8),
        (Problem("p", "q", "Rome"), "romeo", 4 / 10),
        (Problem("p", "q", "Rome"), "oslo", 0.0),
    ],
)
def test_closeness_by_hand(problem, said, near):
    assert closeness(problem, said) == pytest.approx(near)


def answering(text):
    return Network(Topology.parse("1"), ScriptedEngine(lambda prompt, adapter: text), (0,))


def test_training_is_paid_and_evaluation_is_not():
    task = make_task("arithmetic", {**SUMS, "graded": True})
    exact = make_task("arithmetic", SUMS)
    problems = [task.problem("test", i) for i in range(40)]
    right = sum(p.answer == "20" for p in problems) / 40
    episodes = rollout(answering("20"), task, problems, 1, Sampling(0.0, 0))
    paid = sum(one.score.value for one in episodes) / 40
    assert paid > right + 0.02
    summary = evaluate(answering("20"), task, "test", 40).summary
    assert summary["accuracy"] == right == evaluate(answering("20"), exact, "test", 40).summary["accuracy"]
    assert best_constant(task, problems) == best_constant(exact, problems)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("arithmetic", {**SUMS, "graded": True}),
        ("arithmetic", {**SUMS, "read": "last"}),
        ("max", {"read": "last", "graded": True}),
        ("lookup", {"read": "last", "graded": True}),
        ("hier", {"kind": "cont", "graded": True, "read": "last"}),
        ("pick", {"rules": "later", "graded": True}),
    ],
)
def test_no_cheat_counts_as_right_and_what_is_paid_is_told(name, options):
    report = validate(make_task(name, options), 40, 0)
    assert report.ok, report.failed
    told = {check.name for check in report.checks}
    assert ("best constant as paid" in told) == bool(options.get("graded"))


def test_validate_finds_a_scorer_that_pays_for_any_number_of_a_text(monkeypatch):
    """Where the last one counts, the sceptic looks at what was read; the rest may be said and is not paid."""
    task = make_task("arithmetic", {**SUMS, "read": "last"})
    assert validate(task, 40, 0).ok
    exact = task.source.source

    def anywhere(self, problem, text):
        words = text.replace(",", " ").split()
        paid = max((exact.score(problem, word).value for word in words), default=0.0)
        return Score(paid, words[-1] if words else None)

    monkeypatch.setattr(type(task.source), "score", anywhere)
    assert "cheats earn nothing" in validate(task, 40, 0).failed
