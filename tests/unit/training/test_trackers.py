"""Trackers: the same numbers elsewhere, through one small interface."""

from __future__ import annotations

import sys
import types

import pytest

from neuromas.core.errors import ConfigError
from neuromas.training import trackers as tracking
from neuromas.training.trackers import check_trackers, open_trackers, scalars


def test_scalars_are_the_numbers_of_a_report_by_their_path():
    report = {
        "reward": 1,
        "gradient_norm": [0.5, None, 2],
        "seconds": {"learn": 0.25, "deep": {"er": 3}},
        "text": "no",
        "flag": True,
        "none": None,
    }
    assert scalars(report) == {
        "reward": 1.0,
        "gradient_norm/0": 0.5,
        "gradient_norm/2": 2.0,
        "seconds/learn": 0.25,
        "seconds/deep/er": 3.0,
    }


class Library(types.ModuleType):
    """Stands for wandb and trackio, which share ``init``, ``log`` and ``finish``."""

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


@pytest.fixture
def libraries(monkeypatch):
    """Both libraries, installed for the time of a test."""
    made = {name: Library(name) for name in ("wandb", "trackio")}
    for name, library in made.items():
        monkeypatch.setitem(sys.modules, name, library)
    monkeypatch.setattr(tracking, "find_spec", made.get)
    return made


@pytest.mark.parametrize("name", ["wandb", "trackio"])
def test_a_library_gets_run_numbers_and_end(libraries, tmp_path, name):
    (tracker,) = open_trackers([name], tmp_path / "mine", {"seed": 1})
    tracker.log(3, {"reward": 0.5})
    tracker.close()
    assert libraries[name].calls == [
        ("init", {"project": "neuromas", "name": "mine", "config": {"seed": 1}}),
        ("log", {"reward": 0.5}, 3),
        ("finish",),
    ]


def test_tensorboard_gets_scalars(monkeypatch, tmp_path):
    written = []

    class SummaryWriter:
        def __init__(self, folder):
            written.append(folder)

        def add_scalar(self, name, value, step):
            written.append((name, value, step))

        def close(self):
            written.append("closed")

    module = types.ModuleType("torch.utils.tensorboard")
    module.SummaryWriter = SummaryWriter
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", module)
    monkeypatch.setattr(tracking, "find_spec", lambda name: module)
    (tracker,) = open_trackers(["tensorboard"], tmp_path, {})
    tracker.log(2, {"reward": 0.5})
    tracker.close()
    assert written == [str(tmp_path / "tensorboard"), ("reward", 0.5, 2), "closed"]


def test_an_unknown_and_a_missing_tracker_are_one_line(monkeypatch):
    with pytest.raises(ConfigError, match="unknown tracker 'wand'; did you mean 'wandb'"):
        check_trackers(["wand"])
    monkeypatch.setattr(tracking, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match="'trackio', which is not installed: pip install trackio"):
        check_trackers(["trackio"])


def test_a_tracker_that_refuses_is_one_line_and_closes_the_others(libraries, tmp_path):
    class UsageError(Exception):
        """As wandb's, which is no RuntimeError."""

    libraries["wandb"].error = UsageError("no API key\nconfigured")
    with pytest.raises(ConfigError, match="'wandb' could not start: no API key configured"):
        open_trackers(["trackio", "wandb"], tmp_path, {})
    assert libraries["trackio"].calls[-1] == ("finish",)
