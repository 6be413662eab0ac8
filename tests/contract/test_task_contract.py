"""Every task keeps the contract: its gold answers are right, nothing else is, splits do not overlap."""

from __future__ import annotations

import subprocess
import sys

import pytest

from neuromas.core.errors import TaskError
from neuromas.core.task import Problem, Score
from neuromas.tasks import gym, make_task, task_info, task_names, validate
from neuromas.tasks.stored import StoredTask

# Too slow for every test run (seconds for one held-out problem); all passed with 8 problems per split.
SLOW = {
    "futoshiki",
    "intermediate_integration",
    "knight_swap",
    "puzzle24",
    "simple_integration",
    "sokoban",
    "sudoku",
    "zebra_puzzles",
}
BUILT_IN = [
    ("max", {}),
    ("max", {"rank": 2, "n": 5}),
    ("lookup", {}),
    ("lookup", {"hops": 3}),
    ("recall", {}),
    ("recall", {"facts": 9, "parts": 3}),
    ("arithmetic", {}),
    ("arithmetic", {"depth": 3, "modulo": 10}),
    *[("hier", {"kind": kind, "H": 3}) for kind in ("latin", "random", "max", "cont")],
]


@pytest.mark.parametrize(("name", "options"), BUILT_IN)
def test_built_in_tasks_are_valid(name, options):
    report = validate(make_task(name, options), 60, 0)
    assert report.ok, report.failed
    assert {"best constant", "problems"} <= {check.name for check in report.checks}


@pytest.mark.parametrize("name", [n for n in gym.gym_names() if n.removeprefix("gym/") not in SLOW])
def test_generators_are_valid(name):
    report = validate(make_task(name, {}), 4, 0)
    assert report.ok, [c for c in report.checks if c.ok is False]


def test_all_generators_are_named_or_left_out_with_a_reason():
    named = {name.removeprefix("gym/") for name in gym.gym_names()}
    assert len(named) >= 100
    assert not named & set(gym.LEFT_OUT)
    listed = {*gym.LEFT_OUT, *gym.EXACT, *gym.FORMULAS, *gym.MANY_ANSWERS, *gym.REBUILT, *SLOW}
    assert listed <= named | set(gym.LEFT_OUT)


def test_every_task_has_information():
    for name in [*task_names(generators=False), "gym/chain_sum"]:
        info = task_info(name)
        assert info.description
        assert len({option.name for option in info.options}) == len(info.options) > 0
    with pytest.raises(TaskError, match="did you mean 'lookup'"):
        task_info("look-up")


def test_importing_tasks_loads_no_heavy_library():
    heavy = ("torch", "numpy", "scipy", "sympy", "math_verify", "reasoning_gym", "datasets", "pandas")
    code = f"import sys, neuromas.tasks; print([m for m in {heavy} if m in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


class Faulty:
    """A task with chosen faults, to see validate find them."""

    name = "faulty"
    answer_format = "x"

    def __init__(self, value=None, same_question=False, parts=(), same_answer=False):
        self.value, self.same_question, self.parts, self.same = value, same_question, parts, same_answer

    def size(self, split):
        return None

    def problem(self, split, index):
        question = "q" if self.same_question else f"{split}{index}"
        return Problem(f"{split}{index}", question, "a" if self.same else f"{split}{index}", parts=self.parts)

    def score(self, problem, text):
        value = float(text == problem.answer) if self.value is None else self.value
        return Score(value, text or None)


@pytest.mark.parametrize(
    ("task", "failed"),
    [
        (Faulty(), ()),
        (Faulty(value=1.0), ("empty answer earns 0", "shuffled answer earns 0", "cheats earn nothing")),
        (Faulty(value=0.0), ("gold answer earns 1",)),
        (Faulty(same_question=True), ("splits do not overlap",)),
        (Faulty(parts=("a", " ")), ("parts are not empty",)),
        (Faulty(same_answer=True), ("shuffled answer earns 0",)),
        (StoredTask("empty", {}), ("problems",)),
        (make_task("max", {"n": 1, "parts": 1, "digits": 1}), ("problems",)),
        (make_task("max", {"n": 2, "parts": 1, "digits": 1}), ()),  # few questions: all there are
    ],
)
def test_validate_finds_faults(task, failed):
    assert validate(task, 12, 0).failed == failed


def test_validate_reports_base_rates():
    problems = [Problem(str(i), f"q{i}", "AB"[i % 4 == 0], "choice", ("x", "y")) for i in range(8)]
    report = validate(StoredTask("s", {"test": tuple(problems)}), 8, 0)
    details = {check.name: check.detail for check in report.checks}
    assert details["best constant"] == "'A' earns 75.0%"
    assert details["first option"] == "right in 75.0% of 8"
    with pytest.raises(TaskError, match="count must be at least 1"):
        validate(StoredTask("s", {}), 0, 0)
