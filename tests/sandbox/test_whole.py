"""Everything there is to try, in every sandbox that works here: ``make test-sandbox`` (some minutes)."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from tests.sandboxes import WHOLE, attacks, each_sandbox

from neuromas.core.errors import TaskError
from neuromas.sandbox import Limits, find_sandbox
from neuromas.sandbox.judging import Checks, judge
from neuromas.tasks import make_task

LIST = attacks()
SHORT = Limits(seconds=1.0, wall=6.0, memory=256)
pytestmark = pytest.mark.skipif(not WHOLE, reason="takes minutes: make test-sandbox")


@pytest.mark.parametrize("name", each_sandbox())
def test_no_cheat_passes(name):
    tests, sandbox = Checks("", LIST.ENTRY, LIST.TESTS), find_sandbox(name)
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(lambda text: judge(sandbox, text, tests, SHORT), LIST.CHEATS.values()))
    assert [name for name, one in zip(LIST.CHEATS, found, strict=True) if one.passed or not one.cause] == []


@pytest.mark.parametrize("graded", [False, True])
@pytest.mark.parametrize("name", each_sandbox())
def test_all_reference_solutions_of_humaneval_pass(name, graded):
    try:
        task = make_task("humaneval", {"sandbox": name, "graded": graded})
    except TaskError as error:
        pytest.skip(str(error))
    problems = [task.problem("test", place) for place in range(task.size("test"))]
    task.foresee([(problem, problem.answer) for problem in problems])
    assert len(problems) == 164
    assert [p.id for p in problems if task.score(p, p.answer).value != 1.0] == []
