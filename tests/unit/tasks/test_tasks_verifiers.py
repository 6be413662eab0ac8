"""Single-turn environments of verifiers, on the real package: pip install 'neuromas[verifiers]'."""

from __future__ import annotations

import importlib.util
import warnings

import pytest

from neuromas.core.errors import TaskError
from neuromas.tasks import make_task, task_info
from neuromas.testing import check_task

needs_verifiers = pytest.mark.skipif(
    importlib.util.find_spec("verifiers") is None, reason="needs pip install 'neuromas[verifiers]'"
)
ENVIRONMENT = """
import verifiers.v1 as vf

__all__ = ["Sums"]


class Data(vf.TaskData):
    answer: str


class Sum(vf.Task[Data]):
    {body}
    @vf.reward(weight=3.0)
    async def right(self, trace: vf.Trace) -> float:
        return float(trace.last_reply == self.data.answer)

    @vf.reward(weight=1.0)
    async def short(self, trace: vf.Trace) -> float:
        return float(len(trace.last_reply) <= 3)


class Config(vf.TasksetConfig):
    most: int = 9


class Sums(vf.Taskset[Sum, Config]):
    def load(self):
        for a in range(1, self.config.most + 1):
            for b in range(1, 10):
                yield Sum(Data(prompt={prompt}, answer=str(a + b)), self.config.task)
"""
PROMPT = 'f"{a} + {b} = ?"'
NEEDS_BOX = """async def setup(self, trace, runtime):
        pass

"""
JUDGED_IN_BOX = """@vf.reward
    async def tested(self, trace, runtime) -> float:
        return 1.0

"""


@pytest.fixture
def environment(tmp_path, monkeypatch):
    """Writes an environment as a module of that name."""
    monkeypatch.syspath_prepend(str(tmp_path))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import verifiers.v1  # noqa: F401

    def write(name: str, body: str = "", prompt: str = PROMPT) -> str:
        text = ENVIRONMENT.format(body=body, prompt=prompt)
        (tmp_path / f"{name}.py").write_text(text)
        return f"verifiers/{name.replace('_', '-')}"

    return write


@needs_verifiers
def test_an_environment_is_a_task(environment):
    task = make_task(environment("own_sums"), {"most": 8, "answer_format": "one number"})
    assert (task.name, task.answer_format) == ("verifiers/own-sums", "one number")
    assert sum(task.size(split) for split in ("train", "validation", "test")) == 72
    problem = task.problem("train", 0)
    assert problem.question.endswith("= ?")
    assert [task.score(problem, text).value for text in (problem.answer, "0", "long answer", "")] == [
        1,
        0.25,
        0,
        0,
    ]
    assert make_task("verifiers", {"env": "own-sums", "limit": 20}).size("train") <= 20
    with pytest.raises(AssertionError, match="cheats earn nothing"):
        check_task(task)  # a short answer earns a quarter, whatever it says


@needs_verifiers
@pytest.mark.parametrize(
    ("name", "body", "prompt", "says"),
    [
        ("own_box", NEEDS_BOX, PROMPT, "is not single-turn: it has setup in a sandbox"),
        ("own_tests", JUDGED_IN_BOX, PROMPT, "the reward tested, which needs a sandbox"),
        ("own_image", "NEEDS_CONTAINER = True", PROMPT, "a container"),
        ("own_talk", "", "None", "task 0 has no prompt"),
        (
            "own_turns",
            "",
            '[vf.UserMessage(content="a"), vf.AssistantMessage(content="b")]',
            "messages of user, assistant",
        ),
    ],
)
def test_what_is_not_question_and_answer_is_refused_in_one_line(environment, name, body, prompt, says):
    with pytest.raises(TaskError) as caught:
        make_task(environment(name, body, prompt), {})
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


@needs_verifiers
def test_what_cannot_be_loaded_is_one_line(environment):
    with pytest.raises(TaskError, match="cannot be loaded"):
        make_task("verifiers/no-such-environment", {})
    with pytest.raises(TaskError, match="cannot be loaded"):
        make_task(environment("own_known"), {"moost": 3})


def test_without_the_package_or_a_name_one_line_says_what_is_missing(monkeypatch):
    import sys

    with pytest.raises(TaskError, match=r"give task\.options\.env"):
        make_task("verifiers", {})
    monkeypatch.setitem(sys.modules, "verifiers", None)
    monkeypatch.setitem(sys.modules, "verifiers.v1", None)
    with pytest.raises(TaskError, match=r"pip install 'neuromas\[verifiers\]'"):
        make_task("verifiers/x", {})
    assert task_info("verifiers/x").name == "verifiers"
