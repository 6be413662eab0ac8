"""Tasks and rewards of one's own: the contract is held, and what breaks it is named in one line."""

from __future__ import annotations

import re
import sys
import time

import pytest

import neuromas
from neuromas.core.episode import judged
from neuromas.core.errors import ContractError, TaskError
from neuromas.core.parts import TASKS
from neuromas.core.task import Problem, Score, Task
from neuromas.tasks import from_rows, make_task, task_info, task_names
from neuromas.tasks.own import episode_of, identity, own, probe
from neuromas.tasks.rewards import RewardedTask, paid, reward, rewarded, rewards
from neuromas.testing import check_task


class Sums(Task):
    """Sums of small numbers."""

    def problem(self, split, index):
        number = 3 * index + {"train": 0, "validation": 1, "test": 2}[split]
        return Problem(f"{split}-{index}", f"{number} + 1 = ?", str(number + 1))

    def score(self, problem, text):
        return Score(float(text.strip() == problem.answer), text.strip() or None)


class Once(Sums):
    calls = 0

    def problem(self, split, index):
        Once.calls += 1
        return Problem("p", f"question {Once.calls}", "a")


def breaks(**methods):
    """A task like Sums with other methods."""
    return type("Broken", (Sums,), methods)()


def test_what_need_not_be_said_has_defaults():
    task = own(Sums())
    assert (task.name, task.answer_format, task.size("train")) == ("Sums", "a short answer", None)
    assert own(task) is task
    probe(task, 3)
    assert check_task(Sums()).ok
    assert identity(Sums())["code"] == f"{__name__}:Sums"
    assert len(identity(Sums())["sha256"]) == 64


@pytest.mark.parametrize(
    ("task", "says"),
    [
        (Sums, "is a class; give an instance of it: Sums"),
        (object(), "class object has no method problem"),
        (breaks(score=lambda self, p, t: 0.5), "Broken.score('1') returned float 0.5, not a neuromas.Score"),
        (breaks(score=lambda self, p, t: None), "Broken.score('1') returned None, not"),
        (breaks(score=lambda self, p, t: Score(1.5, t)), "returned a value of 1.5; a score lies in [0, 1]"),
        (breaks(score=lambda self, p, t: Score(float("nan"), t)), "returned a value of nan"),
        (breaks(score=lambda self, p, t: Score(1.0, 3)), "returned parsed = 3"),
        (breaks(score=lambda self, p, t: Score(1 / len(t), t)), "scoring the answer '' to problem 'train-0'"),
        (
            breaks(problem=lambda self, s, i: ("q", "a")),
            "Broken.problem('train', 0) returned tuple ('q', 'a')",
        ),
        (breaks(problem=lambda self, s, i: 1 / 0), "Broken.problem('train', 0) raised ZeroDivisionError"),
        (breaks(problem=lambda self, s, i: Problem("p", "", "a")), "a Problem whose question is ''"),
        (breaks(problem=lambda self, s, i: Problem("p", "q", 3)), "a Problem whose answer is 3"),
        (breaks(size=lambda self, s: -1), "Broken.size('train') returned -1"),
        (breaks(answer_format=3), "Broken.answer_format is 3, not a text"),
        (Once(), "equal arguments must give equal problems"),
        (breaks(score=lambda self, p, t: Score(1.0, t, correct=7)), "returned correct = 7"),
        (breaks(score=lambda self, p, t: Score(1.0, t, rewards=3)), "returned rewards = 3"),
        (breaks(score=lambda self, p, t: Score(1.0, t, nodes=(float("nan"),) * 3)), "returned nodes = (nan"),
        (breaks(score=lambda self, p, t: Score(1.0, t, nodes=(1.0,))), "returned 1 rewards for 3 nodes"),
        (breaks(score=lambda self, p, t: sys.exit(0)), "called sys.exit(0)"),
        (breaks(problem=lambda self, s, i: sys.exit(0)), "raised SystemExit: 0"),
        (breaks(problem=lambda self, s, i: Problem("p", "q", "a", parts=("a", 1))), "are not texts"),
        (breaks(problem=lambda self, s, i: Problem("p", "q", "a", stems=("ab", 1))), "are not texts"),
        (breaks(problem=lambda self, s, i: Problem("p", f"q{i}", "a")), "have the same id 'p'"),
        (breaks(problem=lambda self, s, i: Problem(f"{s}-{i}", f"{i and time.time_ns()}", "a")), ", 1) is "),
    ],
)
def test_a_broken_contract_is_one_line(task, says):
    with pytest.raises(ContractError) as caught:
        probe(own(task), 3)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)
    with pytest.raises(AssertionError, match=re.escape(says)):
        check_task(task)


def test_check_task_finds_what_a_probe_does_not():
    def anything(self, problem, text):
        return Score(float(problem.answer in text), text or None)

    with pytest.raises(AssertionError, match="cheats earn nothing"):
        check_task(breaks(score=anything))
    same = breaks(problem=lambda self, split, index: Sums.problem(self, "train", index))
    with pytest.raises(AssertionError, match="splits do not overlap"):
        check_task(same)


def test_by_name_with_options_and_without_an_import_before_it_is_asked_for(tmp_path, monkeypatch):
    text = "from neuromas.core.task import Problem, Score, Task\n\n\nclass Sums(Task):\n"
    text += "    def problem(self, split, index): return Problem('p', 'q', 'a')\n"
    text += "    def score(self, problem, text): return Score(0.0, None)\n\n\n"
    text += "class More(Sums):\n    'One line.'\n"
    text += "    def __init__(self, most=9): self.most = most\nREADY = Sums()\n"
    (tmp_path / "own_by_name.py").write_text(text)
    monkeypatch.chdir(tmp_path)
    task = make_task("own_by_name:More", {"most": 3})
    assert task.inner.most == 3
    info = task_info("own_by_name:More")
    assert (info.description, info.options[0].name, info.options[0].default) == ("One line.", "most", "9")
    assert make_task("own_by_name:READY", {}).name == "Sums"
    for name, options, says in (
        ("own_by_name:More", {"least": 3}, "unexpected keyword argument 'least' (options: most)"),
        ("own_by_name:READY", {"a": 1}, "takes no task.options"),
        ("own_by_name:Task", {}, "raised TypeError: Can't instantiate"),
        ("own/Sums", {}, "was a Python object"),
    ):
        with pytest.raises(TaskError) as caught:
            make_task(name, options)
        assert says in str(caught.value)


def test_registered_tasks_are_named_like_built_in_ones(monkeypatch):
    monkeypatch.setitem(TASKS.own, "sums", Sums)
    assert "sums" in task_names(generators=False)
    assert make_task("sums", {}).name == "Sums"


# -- rewards


@neuromas.reward
def brief(problem, text):
    """Half for anything short."""
    return 0.5 if len(text) < 4 else 0.0


def by_node(problem, text, episode):
    """The output alone earns."""
    return [0.0] * (len(episode.turns) - 1) + [1.0]


def judge(task, text, nodes=3):
    return judged(task, episode_of(task.problem("train", 0), text, nodes))


def test_a_weighted_reward_by_hand():
    task = rewarded(Sums(), rewards(["correct", brief, by_node], weights=[2, 1, 1]))
    score = judge(task, "1")
    assert score.value == pytest.approx(0.5 * 1 + 0.25 * 0.5 + 0.25 / 3)
    assert score.nodes == pytest.approx((0.625, 0.625, 0.875))
    assert dict(score.rewards) == pytest.approx({"correct": 1, "brief": 0.5, "by_node": 1 / 3})
    assert (score.correct, score.accuracy, score.parsed) == (1.0, 1.0, "1")
    wrong = judge(task, "12345")
    assert (wrong.correct, wrong.value) == (0.0, pytest.approx(0.25 / 3))
    assert task.score(task.problem("train", 0), "1") == Score(1.0, "1"), "correctness stays the task's"
    probe(task, 3)


def test_equal_weights_and_repeated_names():
    both = rewards([brief, brief])
    assert [(one.name, share) for one, share in both.terms] == [("brief.0", 0.5), ("brief.1", 0.5)]


@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan"), "1", None, [0.5, 2.0]])
def test_a_reward_outside_the_unit_interval_is_refused_and_named(value):
    def odd(problem, text):
        return value

    shown = "2.0" if isinstance(value, list) else repr(value)
    with pytest.raises(ContractError, match=rf"odd' returned {re.escape(shown)} for the answer 'x'"):
        judge(rewarded(Sums(), odd), "x")


def test_what_is_no_reward():
    for function in (lambda problem: 1.0, lambda a, b, c: 1.0, 3):
        with pytest.raises(TaskError, match="reward"):
            reward(function)
    for functions, weights in (([], ()), ([brief], [1, 2]), ([brief], [0]), ([brief], [float("inf")])):
        with pytest.raises(TaskError, match="weight"):
            rewards(functions, weights)
    with pytest.raises(TaskError, match="neither 'correct' nor module:function"):
        rewards(["brief"])
    with pytest.raises(ContractError, match="2 rewards for 3 nodes"):
        judge(rewarded(Sums(), lambda problem, text: (0.1, 0.2)), "1")


def test_rows_with_and_without_gold_answers():
    pairs = [(f"{i} + 1 = ?", str(i + 1)) for i in range(60)]
    task = from_rows(pairs)
    assert sum(task.size(split) for split in ("train", "validation", "test")) == 60
    assert check_task(task).ok
    asked = from_rows([question for question, _ in pairs], reward=brief)
    score = judge(asked, "ab")
    assert (score.value, score.correct, score.accuracy) == (0.5, None, 0.5)
    assert isinstance(asked, RewardedTask)
    with pytest.raises(ContractError, match="needs a gold answer"):
        judge(rewarded(asked.inner, rewards(["correct", brief])), "1")
    with pytest.raises(TaskError, match=r"has no gold answers; set task\.reward"):
        paid(asked.inner)
    for rows, says in (
        ([("a", "b"), ("c",)], "row 1 is"),
        (["a question"], "row 0 is"),
        ([{"question": "q"}], "row 0: unknown field 'answer'"),
        ([Problem("a", "q", "1"), Problem("a", "r", "1")], "same id"),
    ):
        with pytest.raises(TaskError, match=says):
            from_rows(rows)
    with pytest.raises(TaskError, match="did you mean 'kind'"):
        from_rows(pairs, kin="number")


def leaves(*given, **options):
    """Foreign code that ends the process as if all were done."""
    sys.exit(0)


@pytest.mark.parametrize("key", ["task.name", "task.reward", "engine.name", "train.baseline"])
def test_code_that_exits_when_it_is_used_is_an_error(key, tmp_path):
    tiny = ["model.backbone=tiny", "model.dtype=float32", "train.steps=1"]
    config = neuromas.load_config(
        None, [*tiny, f"{key}={__name__}:{'pays' if 'reward' in key else 'leaves'}"]
    )
    with pytest.raises(neuromas.NeuromasError):
        neuromas.train(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def pays(problem, text):
    """A reward that ends the process."""
    sys.exit(0)
