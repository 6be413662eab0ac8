"""Trackers: numbers, test results and messages elsewhere, one run however often it is resumed."""

from __future__ import annotations

import json
import sys
import types

import pytest

from neuromas.config import Config, make_config
from neuromas.core.episode import Episode, Turn
from neuromas.core.errors import ConfigError
from neuromas.core.task import Problem, Score
from neuromas.evaluation.evaluate import Evaluation, Item
from neuromas.storage import Run
from neuromas.training import callbacks
from neuromas.training import trackers as tracking
from neuromas.training.callbacks import StepEnd, TrainStarted, Validated
from neuromas.training.trackers import Trackers, check_trackers, open_trackers, scalars

HOSTILE = "<b>x</b>\n```\n# head"


def test_scalars_are_the_numbers_of_a_report_by_their_path():
    report = {
        "reward": 1,
        "gradient_norm": [0.5, None, 2],
        "seconds": {"learn": 0.25, "deep": {"er": 3}},
        "text": "no",
        "flag": True,
        "none": None,
        "labels": {"what a model wrote": 3},
        "causes": {"scorer: x": 1},
    }
    assert scalars(report) == {
        "reward": 1.0,
        "gradient_norm/0": 0.5,
        "gradient_norm/2": 2.0,
        "seconds/learn": 0.25,
        "seconds/deep/er": 3.0,
    }


class Library(types.ModuleType):
    """Stands for wandb and trackio, which share ``init``, ``log``, ``finish`` and ``Table``."""

    def __init__(self, name, error=None):
        super().__init__(name)
        self.calls, self.error = [], error

    def init(self, **given):
        if self.error:
            raise self.error
        self.calls.append(("init", given))

    def log(self, numbers, step):
        self.calls.append(("log", numbers, step))

    def finish(self):
        self.calls.append(("finish",))

    def Table(self, **given):
        return given


@pytest.fixture
def libraries(monkeypatch):
    """Both libraries, installed for the time of a test."""
    made = {name: Library(name) for name in ("wandb", "trackio")}
    for name, library in made.items():
        monkeypatch.setitem(sys.modules, name, library)
    monkeypatch.setattr(tracking, "find_spec", made.get)
    return made


class SummaryWriter:
    """Stands for TensorBoard's."""

    def __init__(self, folder, purge_step):
        self.calls = [("folder", folder, purge_step)]
        SummaryWriter.last = self

    def add_scalar(self, name, value, step):
        self.calls.append((name, value, step))

    def add_text(self, name, text, step):
        self.calls.append((name, text, step))

    def close(self):
        self.calls.append("closed")


@pytest.fixture
def tensorboard(monkeypatch):
    """TensorBoard, installed for the time of a test."""
    module = types.ModuleType("torch.utils.tensorboard")
    module.SummaryWriter = SummaryWriter
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", module)
    monkeypatch.setattr(tracking, "find_spec", lambda name: module)


@pytest.fixture
def run(tmp_path):
    return Run.create(tmp_path / "mine", Config().model_dump(mode="json"), {})


def started(run, step=0, **keys):
    return TrainStarted(step, 9, run.path, make_config({"run": keys}))


def episode(number):
    turns = tuple(
        Turn(node, (), (), (1,), (0.0,), f"node {node} of {number}", True, 1.0, 0, 0) for node in range(2)
    )
    return Episode(Problem(f"p{number}", f"q{number}", "7"), 0, turns, Score(1.0, "7"))


def evaluation():
    items = tuple(
        Item(f"i{n}", HOSTILE, "7", "7", "7", 1.0, (HOSTILE, "b")[: 2 - n], (1,), (False,), 1, 1, None, None)
        for n in range(2)
    )
    return Evaluation(items, {"accuracy": 0.5, "interval": {"low": 0.25}, "labels": {HOSTILE: 1}})


def events(trackers, run, step=0, **keys):
    """A short run: start, two steps, a validation, a test."""
    trackers.on_train_start(started(run, step, **keys))
    for done in (step + 1, step + 2):
        trackers.on_step_end(
            StepEnd(done, 9, {"step": done - 1, "reward": 0.5}, [episode(n) for n in range(6)])
        )
    trackers.on_validation(Validated(step + 2, 9, evaluation(), first=True, best=True))
    trackers.on_validation(Validated(step + 2, 9, evaluation(), first=False, best=True))
    trackers.on_test(callbacks.Tested(step + 2, 9, "test-after", evaluation()))
    trackers.close()


@pytest.mark.parametrize("name", ["wandb", "trackio"])
def test_a_library_gets_run_numbers_samples_tests_and_end(libraries, run, name):
    events(Trackers([name], pytest.fail), run, show=2, episodes=2, project="thesis")
    (_, given), *logged, end = libraries[name].calls
    assert (given["project"], given["resume"], given["config"]["run"]["project"]) == (
        "thesis",
        "allow",
        "thesis",
    )
    assert end == ("finish",)
    numbers = [(values, step) for _, values, step in logged if "samples" not in values]
    assert numbers[:2] == [({"reward": 0.5}, 0), ({"reward": 0.5}, 1)]
    assert ({"validation/accuracy": 0.5, "validation/interval/low": 0.25}, 2) in numbers
    assert sum("validation/accuracy" in values for values, _ in numbers) == 1, "not that of the first state"
    assert ({"test-after/accuracy": 0.5, "test-after/interval/low": 0.25}, 2) in numbers
    ((_, samples, step),) = [call for call in logged if "samples" in call[1]]
    assert step == 1, "every second step"
    assert cells(samples["samples"], "id") == ["p0", "p3"], "spread over the batch"
    assert cells(samples["samples"], "node 2") == ["node 1 of 0", "node 1 of 3"]
    (items,) = [call[1]["test-after/items"] for call in logged if "test-after/items" in call[1]]
    assert cells(items, "node 1") == [HOSTILE, HOSTILE]
    assert cells(items, "node 2") == ["b", None]


def cells(table, column):
    """A column of a table in wandb's form or in trackio's."""
    if "columns" in table:
        place = table["columns"].index(column)
        return [row[place] for row in table["data"]]
    return [row[column] for row in table["data"]]


def test_a_resumed_run_is_the_same_run_and_another_is_not(libraries, run, tmp_path):
    other = Run.create(tmp_path / "deep" / "mine", Config().model_dump(mode="json"), {})
    for path, step in ((run, 0), (run, 4), (other, 0)):
        open_trackers(["wandb", "trackio"], started(path, step))
    ids = [given["id"] for _, given in libraries["wandb"].calls]
    names = [given["name"] for _, given in libraries["trackio"].calls]
    assert ids[0] == ids[1] != ids[2]
    assert names[0] == names[1] == f"mine-{ids[0]}"
    assert names[2] == f"mine-{ids[2]}", "another directory of the same name"
    assert run.read("trackers.json") == {"id": ids[0]}


@pytest.mark.parametrize("content", ["{", '{"id": "../x"}', '{"id": 3}', "[]"])
def test_a_damaged_identity_is_drawn_anew(libraries, run, content):
    (run.path / "trackers.json").write_text(content)
    open_trackers(["wandb"], started(run))
    drawn = json.loads((run.path / "trackers.json").read_text())["id"]
    assert libraries["wandb"].calls[0][1]["id"] == drawn != "../x"


def test_without_show_there_are_no_samples(libraries, run):
    events(Trackers(["wandb"], pytest.fail), run, show=0)
    events(Trackers(["wandb"], pytest.fail), run, show=1, episodes=0)
    assert not any("samples" in call[1] for call in libraries["wandb"].calls if call[0] == "log")


def test_tensorboard_appends_and_its_text_is_code(tensorboard, run):
    events(Trackers(["tensorboard"], pytest.fail), run, show=1)
    calls = SummaryWriter.last.calls
    assert calls[0] == ("folder", str(run.path / "tensorboard"), None)
    assert ("reward", 0.5, 1) in calls
    assert calls[-1] == "closed"
    (text,) = [call[1] for call in calls if call[0] == "test-after/items"]
    assert all(line.startswith("    ") for line in text.split("\n")), "nothing a model wrote is markup"
    assert "    node 1: <b>x</b>\n    ```\n" in text
    events(Trackers(["tensorboard"], pytest.fail), run, step=4)
    assert SummaryWriter.last.calls[0][2] == 5, "the validation of step 4 stays"


def test_an_unknown_and_a_missing_tracker_are_one_line(monkeypatch):
    with pytest.raises(ConfigError, match="unknown tracker 'wand'; did you mean 'wandb'"):
        check_trackers(["wand"])
    monkeypatch.setattr(tracking, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match="'trackio', which is not installed: pip install trackio"):
        check_trackers(["trackio"])


def test_a_tracker_that_refuses_is_one_line_and_closes_the_others(libraries, run):
    class UsageError(Exception):
        """As wandb's, which is no RuntimeError."""

    libraries["wandb"].error = UsageError("no API key\nconfigured")
    with pytest.raises(ConfigError, match="'wandb' could not start: no API key configured"):
        open_trackers(["trackio", "wandb"], started(run))
    assert libraries["trackio"].calls[-1] == ("finish",)


def test_one_that_fails_is_left_out_and_the_others_go_on(libraries, run):
    said = []

    def fail(numbers, step):
        raise OSError("no network")

    libraries["wandb"].log = fail
    events(Trackers(["wandb", "trackio"], said.append), run)
    assert said == ["a tracker failed and is left out: no network"]
    assert [call[0] for call in libraries["wandb"].calls] == ["init"]
    assert libraries["trackio"].calls[-1] == ("finish",)


@pytest.mark.parametrize("project", ["", "a/b", "a b", "x" * 129])
def test_a_project_is_a_plain_name(project):
    with pytest.raises(ConfigError, match=r"run\.project"):
        make_config({"run": {"project": project}})
