"""HumanEval and MBPP: what an answer is read as, what rows may be, scores; no run without a sandbox."""

from __future__ import annotations

import json
import threading
import time
from dataclasses import replace

import pytest
from tests.sandboxes import needs_sandbox
from toys import network

from neuromas.core.errors import SandboxError, TaskError
from neuromas.core.task import Problem
from neuromas.engines.scripted import ScriptedEngine
from neuromas.evaluation.evaluate import evaluate
from neuromas.sandbox.judging import Checks, Verdict
from neuromas.system.rollout import Sampling, rollout
from neuromas.tasks import code, make_task
from neuromas.tasks.code_rows import checks_of, iterated, read_file
from neuromas.tasks.programs import read_program

GIVEN = "import math\n\n\ndef area(r):\n    '''Of a circle.'''\n"
WHOLE = "def area(r):\n    return math.pi * r * r"


@pytest.mark.parametrize(
    ("text", "program"),
    [
        ("    return math.pi * r * r", f"{GIVEN}    return math.pi * r * r\n"),
        ("return math.pi * r * r", f"{GIVEN}    return math.pi * r * r\n"),
        ("x = r * r\n    return x", f"{GIVEN}    x = r * r\n    return x\n"),
        ("x = r * r\nreturn x", f"{GIVEN}    x = r * r\n    return x\n"),
        ("if r:\n    return r\nreturn 0", f"{GIVEN}    if r:\n        return r\n    return 0\n"),
        ("if r:\n        return r\n    return 0", f"{GIVEN}    if r:\n        return r\n    return 0\n"),
        ("    return r\n\nprint(area(3))\n", f"{GIVEN}    return r\n\n"),
        (WHOLE, f"{GIVEN.rstrip()}\n\n\n{WHOLE}\n"),
        (f"Here:\n```python\n{WHOLE}\n```\nIt is right.", f"{GIVEN.rstrip()}\n\n\n{WHOLE}\n"),
        (f"```\n{WHOLE}\n```\nUse:\n```\nprint(area(2))\n```", f"{GIVEN.rstrip()}\n\n\n{WHOLE}\n"),
        (f"```py\n{WHOLE}", f"{GIVEN.rstrip()}\n\n\n{WHOLE}\n"),
        ("```python\n    return r\n```", f"{GIVEN}    return r\n"),
    ],
)
def test_an_answer_goes_on_or_is_whole(text, program):
    assert read_program(GIVEN, "area", text).program == program


@pytest.mark.parametrize(
    "text", ["", " \n", "I do not know", "def other(r): return r", "x" * 30_000, "area(3) == 2"]
)
def test_without_a_beginning_an_answer_must_define_the_function(text):
    assert read_program("", "area", text) is None


@pytest.mark.parametrize(
    "text",
    ["def area(r): return r", "area = lambda r: r", "class area: pass", "    def area(r):\n        return r"],
)
def test_what_defines_the_function(text):
    found = read_program("", "area", text)
    assert found.program.startswith(text.strip()[:8])
    compile(found.program, "program", "exec")


def rows(path, *given):
    path.write_text("".join(json.dumps(one) + "\n" for one in given))
    return str(path)


OURS = {
    "id": "a",
    "prompt": "Write a function to double.",
    "tests": "assert twice(2) == 4",
    "entry_point": "twice",
    "answer": "def twice(x):\n    return 2 * x",
    "split": "train",
}
PUBLISHED = {
    "task_id": 7,
    "text": "Write a function to triple.",
    "code": "def thrice(x):\n  return 3 * x",
    "test_list": ["assert thrice(2) == 6", "assert thrice(0) == 0"],
    "test_setup_code": "import math",
}
GOING_ON = {
    "task_id": "T/0",
    "prompt": GIVEN,
    "test": "def check(candidate):\n    assert candidate(0) == 0",
    "entry_point": "area",
    "canonical_solution": "    return math.pi * r * r\n",
}


def test_rows_as_data_sets_have_them(tmp_path):
    first, second, third = iterated(
        read_file(rows(tmp_path / "x.jsonl", OURS, PUBLISHED, GOING_ON), "signature")
    )
    assert first.question == "Write a function to double.\nThe function: def twice(x)"
    assert (second.id, second.meta["entry"], second.meta["setup"]) == ("7", "thrice", "import math")
    assert second.meta["tests"] == "assert thrice(2) == 6\nassert thrice(0) == 0"
    assert third.meta["tests"].endswith("check(area)\n")
    assert third.question == GIVEN.strip("\n")
    assert {one.kind for one in (first, second, third)} == {"code"}
    assert checks_of(third, True) == Checks(GIVEN, "area", third.meta["tests"], True)
    told = next(iterated(read_file(rows(tmp_path / "y.jsonl", OURS), "tests")))
    assert told.question.endswith("It must pass these tests:\nassert twice(2) == 4")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"tests": None}, "field tests or test or test_list is missing"),
        ({"tests": 3}, "is 3, not text"),
        ({"entry_point": "a b"}, "entry_point 'a b' is no name"),
        ({"split": "dev"}, "unknown split 'dev'"),
        ({"prompt": "x" * 200_000}, "characters, at most 100000"),
        ({"answer": "\ud800"}, "half a character"),
        ({"entry_point": "", "answer": "?"}, "is no name of a function"),
    ],
)
def test_rows_that_cannot_be_used(tmp_path, change, said):
    with pytest.raises(TaskError, match=said) as caught:
        read_file(rows(tmp_path / "x.jsonl", {**OURS, **change}), "signature")
    assert "x.jsonl line 1" in str(caught.value)
    with pytest.raises(TaskError, match="stands twice"):
        read_file(rows(tmp_path / "y.jsonl", OURS, OURS), "signature")


@pytest.fixture
def judged(monkeypatch):
    """A judge that takes a program for right if it says so, and breaks where it is told to."""
    seen = []

    def judge(sandbox, program, checks, limits):
        seen.append(program)
        if "break" in program:
            raise SandboxError("it broke")
        return Verdict("right" in program, 0.25 if "right" not in program else 1.0, "")

    monkeypatch.setattr(code, "judge", judge)
    monkeypatch.setattr(code, "find_sandbox", lambda name: None)
    return seen


def task_of(path, **options):
    more = [
        {**OURS, "id": str(i), "prompt": f"Number {i}.", "split": "test" if i % 2 else "train"}
        for i in range(40)
    ]
    return make_task("mbpp", {"path": rows(path / "m.jsonl", *more), **options})


def test_splits_are_those_of_the_rows(tmp_path, judged):
    task = task_of(tmp_path)
    sizes = [task.size(split) for split in ("train", "validation", "test")]
    assert sum(sizes) == 40
    assert sizes[2] == 20
    assert sizes[1] > 0


def test_scores_are_all_or_nothing_unless_graded(tmp_path, judged):
    task, graded = task_of(tmp_path), task_of(tmp_path, graded=True)
    problem = task.problem("test", 0)
    assert task.score(problem, "def twice(x): right").value == 1.0
    assert task.score(problem, "def twice(x): wrong").value == 0.0
    assert (
        graded.score(problem, "def twice(x): wrong").value,
        graded.score(problem, "def twice(x): wrong").accuracy,
    ) == (0.25, 0.0)
    nothing = task.score(problem, "no code")
    assert (nothing.value, nothing.parsed) == (0.0, None)


def test_equal_programs_are_judged_once_and_trouble_is_not_remembered(tmp_path, judged):
    task = task_of(tmp_path, jobs=4)
    problem = task.problem("test", 0)
    task.foresee([(problem, "def twice(x): right")] * 9 + [(problem, "def twice(x): break")])
    assert len(judged) == 2
    assert task.score(problem, "def twice(x): right").value == 1.0
    for _ in range(2):
        with pytest.raises(SandboxError):
            task.score(problem, "def twice(x): break")
    assert len(judged) == 4


def test_many_are_judged_at_once():
    together = threading.Barrier(3, timeout=20)

    def judging(program, checks):
        together.wait()
        return Verdict(True, 1.0)

    stored = make_stored()
    task = code.CodeTask(stored, code.Verdicts(judging), jobs=3)
    problem = stored.problem("test", 0)
    task.foresee([(problem, f"def f(): return {i}") for i in range(3)])
    began = time.monotonic()
    assert task.score(problem, "def f(): return 1").value == 1.0
    assert time.monotonic() - began < 10


def make_stored():
    meta = {"given": "", "setup": "", "entry": "f", "tests": ""}
    problems = tuple(Problem(f"p{i}", f"Question {i}?", "def f(): 0", "code", meta=meta) for i in range(2))
    return code.StoredTask("stored", {"train": problems, "test": problems})


def test_a_broken_sandbox_is_no_wrong_answer():
    """Its episode has no score and a cause; if nothing could be judged, the run ends with one line."""

    def judging(program, checks):
        if "1" in program:
            raise SandboxError("the disk is gone")
        return Verdict(True, 1.0)

    def say(prompt, adapter):
        return f"def f(): return {int('Question 1' in prompt)}"

    task = code.CodeTask(make_stored(), code.Verdicts(judging))
    net = network(ScriptedEngine(say), "1-1", message_tokens=64, answer_tokens=64)
    good, missing = rollout(net, task, [task.problem("test", place) for place in (0, 1)], 1, Sampling(0.0, 0))
    assert good.score.value == 1.0
    assert (missing.score, missing.failure) == (None, "no verdict: the disk is gone")
    summary = evaluate(net, task, "test", 2).summary
    assert (summary["accuracy"], summary["unasked"], summary["majority"]["accuracy"]) == (1.0, 1, 0.0)
    with pytest.raises(SandboxError, match="the disk is gone"):
        rollout(net, task, [task.problem("test", 1)], 2, Sampling(0.0, 0))


def test_humaneval_says_what_training_uses(tmp_path, judged):
    path = rows(
        tmp_path / "h.jsonl",
        *({**GOING_ON, "task_id": f"T/{i}", "prompt": f"# {i}\n{GIVEN}"} for i in range(30)),
    )
    alone = make_task("humaneval", {"path": path})
    assert [alone.size(split) for split in ("train", "validation", "test")] == [0, 0, 30]
    with pytest.raises(TaskError, match="test split only; say what training uses"):
        alone.problem("train", 0)
    cut = make_task("humaneval", {"path": path, "train": "cut"})
    assert sum(cut.size(split) for split in ("train", "validation", "test")) == 30
    assert cut.size("train") > cut.size("test") > 0
    other = make_task("humaneval", {"path": path, "train": rows(tmp_path / "m.jsonl", OURS)})
    assert (other.size("train") + other.size("validation"), other.size("test")) == (1, 30)


def test_without_a_sandbox_there_is_no_task(tmp_path, monkeypatch):
    """Before any file is read and anything runs."""

    def none(name):
        raise SandboxError("no sandbox works here")

    monkeypatch.setattr(code, "find_sandbox", none)
    for name in ("humaneval", "mbpp"):
        with pytest.raises(SandboxError):
            make_task(name, {"path": str(tmp_path / "missing.jsonl")})


def test_mbpp_needs_files(judged):
    with pytest.raises(TaskError, match="give either path"):
        make_task("mbpp", {})


@needs_sandbox()
def test_reference_solutions_pass_and_their_neighbours_do_not(tmp_path):
    """A few; ``make test-sandbox`` judges all of HumanEval's."""
    task = make_task(
        "mbpp",
        {
            "test": rows(tmp_path / "x.jsonl", OURS, PUBLISHED, GOING_ON),
            "train": rows(tmp_path / "y.jsonl", {**OURS, "prompt": "Other."}),
        },
    )
    problems = [task.problem("test", place) for place in range(3)]
    assert [task.score(one, one.answer).value for one in problems] == [1.0] * 3
    assert [task.score(one, problems[place - 1].answer).value for place, one in enumerate(problems)] == [
        0.0
    ] * 3
    changed = replace(problems[0], meta={**problems[0].meta, "tests": "assert undefined_name("})
    with pytest.raises(SandboxError, match="tests cannot be used"):
        task.score(changed, problems[0].answer)
