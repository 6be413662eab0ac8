"""The generators of reasoning-gym: own chance, strict and safe scoring, options passed and checked."""

from __future__ import annotations

import random
import subprocess
import sys
import time

import numpy as np
import pytest

from neuromas.core.errors import TaskError
from neuromas.core.task import SPLITS
from neuromas.tasks import gym, make_task, task_info

ATTACKS = [
    "__import__('os').abort()",
    "9**9**9**9",
    "((9**9)**9)**9",
    "1e999999999",
    "NaN",
    "[" * 3000,
    "(" * 2000 + ")" * 2000,
    "\x00" * 500,
    "9" * 3900,
    "exp(exp(exp(exp(99))))",
    "\\frac{" * 500,
    "True and " * 400,
]


def test_splits_are_disjoint_and_seeds_do_not_overlap():
    tasks = [make_task("gym/chain_sum", {"seed": seed}) for seed in (42, 43)]
    drawn = [{s: {t.problem(s, i).question for i in range(100)} for s in SPLITS} for t in tasks]
    for a in drawn:
        for b in drawn:
            assert not a["train"] & b["test"]
            assert not a["train"] & b["validation"]
            assert not a["validation"] & b["test"]
    # reasoning-gym's own seeds 42 and 43 share 499 of 500 items
    assert len(drawn[0]["train"] & drawn[1]["train"]) < 5


def test_only_full_credit_counts_unless_partial_is_set():
    strict, partial = make_task("gym/chain_sum", {}), make_task("gym/chain_sum", {"partial": True})
    p = strict.problem("train", 0)
    rambling = f"{p.answer} is indeed {p.answer}"
    assert strict.score(p, f" {p.answer}.\n").value == 1.0
    assert strict.score(p, rambling).value == 0.0
    assert 0.0 < partial.score(p, rambling).value < 1.0
    assert strict.score(p, "").parsed is None


def test_the_last_number_counts_where_that_is_asked_for():
    options = {"min_terms": 2, "max_terms": 2}
    whole, last = (make_task("gym/chain_sum", {**options, **more}) for more in ({}, {"read": "last"}))
    p = last.problem("test", 0)
    aloud = f"{p.question} is {p.answer}."
    assert (p.id, p.question) == (whole.problem("test", 0).id, whole.problem("test", 0).question)
    assert (whole.score(p, aloud).value, last.score(p, aloud).value) == (0.0, 1.0)
    assert last.score(p, f"{p.answer} is not {int(p.answer) + 1}").value == 0.0  # whatever stands before it
    assert (last.score(p, "none").value, last.score(p, "").value) == (0.0, 0.0)
    with pytest.raises(TaskError, match="task 'gym/chain_sum': unknown read 'lost'; did you mean 'last'"):
        make_task("gym/chain_sum", {"read": "lost"})


@pytest.mark.parametrize("name", ["dice", "countdown", "shortest_path"])
def test_no_answer_is_read_so_that_the_right_one_is_wrong(name):
    says = f"'gym/{name}': read = 'last' takes right answers for wrong, such as"
    with pytest.raises(TaskError, match=says) as it:
        make_task(f"gym/{name}", {"read": "last"})
    assert "\n" not in str(it.value)


def test_options_reach_the_generator_and_are_checked():
    p = make_task("gym/chain_sum", {"min_terms": 2, "max_terms": 2, "max_digits": 1}).problem("train", 0)
    assert len(p.question.split("+")) + len(p.question.split("-")) - 1 <= 3
    make_task("gym/game_of_life", {"grid_size_x": 5})
    assert any(o.name == "min_terms" and o.default == "2" for o in task_info("gym/chain_sum").options)
    for options, says in [
        ({"min_termz": 2}, "did you mean 'min_terms'"),
        ({"min_terms": "2"}, "'min_terms' must be a whole number, got '2'"),
        ({"min_terms": 5, "max_terms": 2}, "refused min_terms = 5, max_terms = 2"),
        ({"seed": -1}, "out of range"),
        ({"size": 5}, "unknown option"),
    ]:
        with pytest.raises(TaskError) as error:
            make_task("gym/chain_sum", options)
        assert says in str(error.value)
        assert "\n" not in str(error.value)


def test_unknown_and_left_out_generators():
    with pytest.raises(TaskError, match="did you mean 'gym/chain_sum'"):
        make_task("gym/chain_sun", {})
    with pytest.raises(TaskError, match="'gym/rush_hour' is left out: it supplies no gold answer"):
        make_task("gym/rush_hour", {})


def test_a_failing_generator_is_a_task_error():
    task = make_task("gym/chain_sum", {})

    class Broken:
        seed = 0

        def __getitem__(self, index):
            raise ValueError("no\nluck")

    source = gym.GymSource("chain_sum", "", False, {}, Broken())
    with pytest.raises(TaskError, match=r"^task 'gym/chain_sum': the generator failed \(no luck\)$"):
        source.draw(1)
    p = task.problem("train", 0)
    with pytest.raises(TaskError, match="was not drawn by this task"):
        task.score(type(p)("x", "q", "a"), "a")


def test_empty_gold_answers_are_drawn_again():
    task = make_task("gym/ab", {})
    assert not task.source.draw(18).answer
    assert all(task.problem("train", i).answer.strip() for i in range(60))


def test_reusing_a_generator_equals_making_a_new_one():
    for name in ("chain_sum", "gcd", "syllogism", "word_sorting", *sorted(gym.REBUILT)):
        source = make_task(f"gym/{name}", {}).source
        for seed in (5, 6):
            fresh = gym._generator(name, {}, seed)[0]
            assert source.draw(seed).question == fresh["question"]


def test_drawing_leaves_the_global_generators_alone_and_prints_nothing(capsys):
    random.seed(1)
    np.random.seed(1)
    for name in ("pool_matrix", "bf"):
        make_task(f"gym/{name}", {}).problem("train", 0)
    drawn = random.random(), np.random.random()
    random.seed(1)
    np.random.seed(1)
    assert drawn == (random.random(), np.random.random())
    assert capsys.readouterr().out == ""


def test_problems_are_equal_in_another_process():
    names = ["chain_sum", "pool_matrix", "family_relationships", "needle_haystack", "self_reference", "dice"]
    code = (
        "from neuromas.tasks import make_task\n"
        f"for n in {names}: print(repr(make_task('gym/' + n, {{}}).problem('train', 3).question))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    here = [repr(make_task(f"gym/{n}", {}).problem("train", 3).question) for n in names]
    assert run.stdout.splitlines() == here


RISKY = [*gym.EXACT, *gym.FORMULAS, "coin_flip", "complex_arithmetic", "decimal_arithmetic", "tower_of_hanoi"]


@pytest.mark.parametrize("name", RISKY)
def test_hostile_answers_earn_nothing_and_take_no_time(name, capsys):
    if name in ("puzzle24", "intermediate_integration"):  # slow to draw: the source alone, no split
        problem, task = (source := make_task(f"gym/{name}", {}).source).draw(1), source
    else:
        task = make_task(f"gym/{name}", {})
        problem = task.problem("train", 0)
    assert task.score(problem, problem.answer).value == 1.0
    start = time.perf_counter()
    assert [task.score(problem, text).value for text in ATTACKS] == [0.0] * len(ATTACKS)
    assert time.perf_counter() - start < 2.0


def test_puzzle24_demands_the_given_numbers():
    source = make_task("gym/puzzle24", {}).source
    problem = source.draw(1)
    assert sorted(problem.meta["entry"]["metadata"]["numbers"]) != [1, 2, 3, 4]
    assert source.score(problem, "1*2*3*4").value == 0.0
    assert source.generator.score_answer("1*2*3*4", problem.meta["entry"]) == 1.0  # why


def test_drawing_runs_no_collected_programs():
    # codeio executes thousands of foreign snippets; one was seen to write a file into the working directory
    with pytest.raises(TaskError, match="'gym/codeio' is left out: it runs collected programs"):
        make_task("gym/codeio", {})


def test_names_read_in_the_sources_are_those_that_are_registered():
    assert gym._written() == set(gym._registry())
