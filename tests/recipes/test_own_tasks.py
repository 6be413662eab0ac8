"""Tasks and rewards of one's own: named or handed over, asked without them, refused from strangers."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import sys
import tomllib
from pathlib import Path

import pytest

import neuromas
from neuromas.config import make_config
from neuromas.core.errors import ContractError, RunError, TaskError
from neuromas.storage import MANIFEST
from neuromas.testing import check_task

SMALL = [
    *("model.backbone=tiny", "model.dtype=float32", "model.device=cpu", "model.rank=2"),
    *("train.steps=2", "train.problems=2", "train.samples=2", "evaluate.test=4", "evaluate.validation=2"),
    *("evaluate.every=1", "network.message_tokens=3", "network.answer_tokens=3", "run.keep=9"),
]
MODULE = '''
import neuromas

class Letters(neuromas.Task):
    """Answers in capital letters."""

    answer_format = "capital letters"

    def __init__(self, least=0.0):
        self.least = least

    def problem(self, split, index):
        return neuromas.Problem(f"{split}-{index}", f"{split} question {index}", "AB")

    def score(self, problem, text):
        right = sum(c.isupper() for c in text) / len(text) if text else 0.0
        return neuromas.Score(max(self.least, right), text or None)

def brief(problem, text):
    return 1.0 / (1.0 + len(text))

@neuromas.reward
def talkative(problem, text, episode):
    return [float(bool(turn.text)) for turn in episode.turns]

def harsh(problem, text):
    return -0.5
'''


@pytest.fixture
def mine(tmp_path, monkeypatch):
    """A user's folder with a module in it; nothing was named yet, nothing of it is imported."""
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "own_letters.py").write_text(MODULE)
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "path", [p for p in sys.path if p])
    monkeypatch.setenv("NEUROMAS_STATE", str(tmp_path / "user"))
    sys.modules.pop("own_letters", None)
    yield folder
    sys.modules.pop("own_letters", None)


@pytest.fixture
def one_line(cli):
    """The one line of a refusal."""

    def call(*arguments: object) -> str:
        status, out, err = cli(*arguments)
        assert (status, out) == (2, ""), (out, err)
        assert len(err.splitlines()) == 1, err
        return err

    return call


def letters(**options):
    """The task as an object."""
    from own_letters import Letters

    return Letters(**options)


def imported(monkeypatch, mine):
    monkeypatch.syspath_prepend(str(mine))
    return letters()


def rows(run: Path, name: str = "metrics.jsonl") -> list[dict]:
    return [json.loads(line) for line in (run / name).read_text("utf-8").splitlines()]


def test_a_task_named_on_the_command_line(mine, cli):
    assert cli("tasks", "own_letters:Letters")[1].splitlines() == [
        "own_letters:Letters: Answers in capital letters.",
        "  least = 0.0  ",
    ]
    status, out, err = cli(
        "train", *SMALL, "task.name=own_letters:Letters", "task.options.least=0.25", "--run", "run"
    )
    assert status == 0, err
    assert "own_letters:Letters" in out
    assert all(row["reward"] >= 0.25 for row in rows(mine / "run"))
    (code,) = json.loads((mine / "run" / "run.json").read_text())["code"]
    digest = hashlib.sha256((mine / "own_letters.py").read_bytes()).hexdigest()
    assert (code["code"], code["sha256"]) == ("own_letters:Letters", digest)
    assert cli("ask", "run", "2 + 2?")[0] == 0
    assert cli("evaluate", "run", "--items", 2)[0] == 0
    assert cli("evaluate", "run", "--items", 2, "--task", "own_letters:Letters", "least=1.0")[0] == 0
    assert cli("validate", "own_letters:Letters", "--items", 5)[0] == 1, "any capital letters are paid"


def test_rewards_are_logged_one_by_one_and_accuracy_stays_the_tasks(mine, cli):
    weights = 'task.rewards={correct=2, "own_letters:brief"=1, "own_letters:talkative"=1}'
    status, _, err = cli("train", *SMALL, "task.name=own_letters:Letters", weights, "--run", "run")
    assert status == 0, err
    for row in rows(mine / "run"):
        parts = row["rewards"]
        assert list(parts) == ["correct", "brief", "talkative"]
        mean = 0.5 * parts["correct"] + 0.25 * parts["brief"] + 0.25 * parts["talkative"]
        assert row["reward"] == pytest.approx(mean)
        assert row["accuracy"] == pytest.approx(parts["correct"])
    summary = json.loads((mine / "run" / "evaluations" / "test-after.json").read_text())
    assert summary["accuracy"] == pytest.approx(summary["rewards"]["correct"])
    assert summary["reward"] != pytest.approx(summary["accuracy"])
    assert "mean reward" in cli("evaluate", "run", "--items", 2)[1]
    codes = [one["code"] for one in json.loads((mine / "run" / "run.json").read_text())["code"]]
    assert codes == ["own_letters:Letters", "own_letters:brief", "own_letters:talkative"]


def test_a_reward_over_a_built_in_task_and_what_is_refused_of_rewards(mine, cli, one_line):
    assert cli("train", *SMALL, "task.reward=own_letters:brief", "--run", "run")[0] == 0
    assert all(set(row["rewards"]) == {"brief"} for row in rows(mine / "run"))
    said = one_line("train", *SMALL, "task.reward=own_letters:harsh", "--run", "none")
    assert "reward 'own_letters:harsh' returned -0.5" in said
    assert "(r + 1) / 2" in said
    assert not (mine / "none").exists()
    assert "neither 'correct' nor module:function" in one_line("train", *SMALL, "task.reward=brief")
    assert "both given" in one_line(
        "train", *SMALL, "task.reward=own_letters:brief", "task.rewards.correct=1"
    )
    assert "task.rewards.correct" in one_line("train", *SMALL, "task.rewards.correct=0")
    assert "no attribute 'nothing'" in one_line("train", *SMALL, "task.reward=own_letters:nothing")


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("def problem(self, split, index): return None", "abstract"),
        ("score = None", "abstract"),
    ],
)
def test_a_class_that_lacks_a_method_is_named_with_it(mine, one_line, body, says):
    Path("own_letters.py").write_text(f"import neuromas\nclass Half(neuromas.Task):\n    {body}\n")
    said = one_line("train", *SMALL, "task.name=own_letters:Half", "--run", "none")
    assert "own_letters:Half" in said
    assert says in said
    assert not Path("none").exists()


def test_an_object_is_trained_on_and_needed_again_only_for_problems(mine, monkeypatch, one_line, cli):
    task = imported(monkeypatch, mine)
    config = neuromas.load_config(None, SMALL)
    trained = neuromas.train(config, "run", task=task)
    assert json.loads(Path("run/config.json").read_text())["task"]["name"] == "own/Letters"
    assert trained.evaluate(items=2).summary["items"] == 2
    other = neuromas.load("run")
    assert other.ask("2 + 2?") == trained.ask("2 + 2?")
    assert len(other.trace("2 + 2?").turns) == 3
    with pytest.raises(TaskError, match=r"was a Python object.*load\(path, task=…\)"):
        other.evaluate(items=2)
    accuracy = trained.evaluate(items=3).summary["accuracy"]
    assert other.evaluate(items=3, task=task).summary["accuracy"] == accuracy
    assert neuromas.load("run", task=task).evaluate(items=3).summary["accuracy"] == accuracy
    assert "was a Python object" in one_line("evaluate", "run")
    assert cli("evaluate", "run", "--items", 2, "--task", "own_letters:Letters")[0] == 0
    with pytest.raises(ContractError, match="is a class; give an instance"):
        neuromas.train(config, "none", task=type(task))


def test_an_interrupted_run_on_an_object_goes_on_with_it(mine, monkeypatch, one_line):
    task = imported(monkeypatch, mine)
    config = neuromas.load_config(None, SMALL)
    whole = neuromas.train(config, "whole", task=task).path

    def stop(event):
        if event["event"] == "step" and event["step"] == 1:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        neuromas.train(config, "run", stop, task=task)
    assert "was a Python object" in one_line("train", "--resume", "run")
    with pytest.raises(RunError, match="another configuration"):
        neuromas.train(config, "run")
    Path("own_letters.py").write_text(MODULE + "\n# another line\n")
    told = []
    neuromas.train(config, "run", lambda event: told.append(event.get("text")), task=task)
    assert any("has changed since" in text for text in told if text)

    def lines(run):
        return [{k: v for k, v in row.items() if k != "seconds"} for row in rows(run)]

    assert lines(Path("run")) == lines(whole)


def test_a_scorer_that_leaves_the_unit_interval_stops_the_run_and_can_be_mended(mine, monkeypatch):
    task = imported(monkeypatch, mine)

    class Late(type(task)):
        calls = 0

        def score(self, problem, text):
            Late.calls += 1
            return neuromas.Score(1.5 if Late.calls > 40 else 0.5, text)

    with pytest.raises(ContractError, match=r"Late\.score\(.*\) returned a value of 1\.5"):
        neuromas.train(neuromas.load_config(None, SMALL), "run", task=Late())


def test_the_page_on_own_tasks_runs(tmp_path, monkeypatch):
    """docs/tasks.md: its Python blocks on the tiny model, its configuration as it stands."""
    page = (Path(__file__).parents[2] / "docs" / "tasks.md").read_text("utf-8")
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    assert len(blocks) == 2
    for block in blocks:
        names: dict = {}
        exec(compile(block.replace('["train.steps=20"]', repr(SMALL)), "tasks.md", "exec"), names)
    config = neuromas.load_config(None, SMALL)
    trained = neuromas.train(config, "rewards", task=names["task"])
    assert set(trained.evaluate(items=3).summary["rewards"]) == {"correct", "brief", "silence"}
    assert check_task(neuromas.tasks.from_rows(names["rows"], kind="number")).ok
    (settings,) = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    assert make_config(tomllib.loads(settings)).task.rewards == {"correct": 8, "my_module:brief": 1}


# -- from elsewhere


def poison(path: Path, **task) -> None:
    """Let the run and all its checkpoints name code."""
    for file in [path / "config.json", *path.glob(f"checkpoints/*/{MANIFEST}")]:
        data = json.loads(file.read_text())
        config = data["config"] if file.name == MANIFEST else data
        config["task"] |= task
        file.write_text(json.dumps(data))


@pytest.mark.parametrize(
    ("task", "says"),
    [
        ({"name": "evil:Task"}, "task.name = 'evil:Task'"),
        ({"name": "os:system", "options": {"command": "touch owned"}}, "task.name = 'os:system'"),
        ({"reward": "evil:reward"}, "task.rewards.evil:reward"),
        ({"rewards": {"correct": 1.0, "evil:reward": 1.0}}, "task.rewards.evil:reward"),
        ({"name": "offered"}, "task.name = 'offered'"),
    ],
)
def test_a_strangers_network_runs_no_code_it_names(mine, cli, one_line, task, says):
    assert cli("train", *SMALL, "--run", "run")[0] == 0
    Path("evil.py").write_text("open('owned', 'w')\nclass Task: pass\ndef reward(p, t): return 1.0\n")
    poison(Path("run"), **task)
    assert cli("ask", "run", "2 + 2?")[0] == 0
    assert says in one_line("evaluate", "run")
    shutil.rmtree("run/checkpoints/step-000002")
    Path("run/status.json").write_text(json.dumps({"finished": False, "step": 1, "best": None, "seconds": 1}))
    assert says in one_line("train", "--resume", "run")
    assert says in one_line("grow", "run", "--to", "3-1", "--steps", 1, "--run", "grown")
    assert not Path("owned").exists()
    assert "evil" not in sys.modules


def test_a_name_stands_for_the_file_that_was_named(mine, cli, one_line, tmp_path, monkeypatch):
    """A stranger's folder with a module of the same name is not what the user named."""
    assert cli("train", *SMALL, "task.name=own_letters:Letters", "--run", "run")[0] == 0
    theirs = tmp_path / "theirs"
    shutil.copytree("run", theirs / "run")
    (theirs / "own_letters.py").write_text("open('owned', 'w')\n")
    sys.modules.pop("own_letters")
    monkeypatch.setattr(sys, "path", [p for p in sys.path if p != str(mine)])
    monkeypatch.chdir(theirs)
    assert str(theirs / "own_letters.py") in one_line("evaluate", "run")
    assert not (theirs / "owned").exists()
