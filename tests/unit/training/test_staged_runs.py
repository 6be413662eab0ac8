"""Runs of [[stages]]: each with a task, a view and rates of its own, whole or in pieces."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace

import pytest
from test_growth import assert_same

from neuromas.config import make_config
from neuromas.core.errors import ConfigError
from neuromas.core.task import Problem
from neuromas.storage import MANIFEST, Run
from neuromas.system import assemble as assembling
from neuromas.system.saving import load_bundle
from neuromas.training import evaluations as testing
from neuromas.training import loop
from neuromas.training.run import resume, start
from parity import Parity, small
from watched import KilledError, Watch, lines, manifest


@dataclass(frozen=True)
class Cut(Parity):
    """Parity with as many parts as a stage's options say; ids tell tasks apart."""

    parts: int = 2
    deep: int = 1

    def problem(self, split, index):
        made = super().problem(split, index)
        shares = tuple(f"{split} {index} part {i}" for i in range(self.parts))
        return replace(made, id=f"{self.deep}-{made.id}", question=f"{made.question} {self.deep}", parts=shares)


@pytest.fixture(autouse=True)
def cut(monkeypatch):
    monkeypatch.setattr(assembling, "make_task", lambda name, options: Cut(**options))


STEPS = [  # every kind of change: a view in steps, gates with a linear view and another task, copies, nothing
    {"shape": "2-1", "steps": 2, "question": "split", "problems": 2, "lr": 0.02},
    {"shape": "2-1", "steps": 3, "view": ["split", "all"], "lift": "steps", "lift_at": 0.0, "samples": 3},
    {
        **{"shape": "2-2-1", "steps": 3, "view": ["all", "all+examples"], "examples": 1, "init": "gate"},
        **{"task": {"deep": 2}, "anneal": 0.9, "message_tokens": 3, "lift_over": 1.0},
    },
    {"shape": "3-2-1", "steps": 0, "init": "copy", "question": "hints", "examples": 0},
    {"shape": "3-2-1", "steps": 2, "view": ["hints", "split"], "lift": "held", "lift_to": 0.5, "task": {"parts": 3}},
]


def staged(stages=STEPS, **more):
    data = small(
        train={"problems": 1, "samples": 2, "entropy": 0.01, "warmup": 1, "baseline": "ema"},
        evaluate={"every": 1, "validation": 2, "test": 2},
        run={"checkpoint_every": 1, "keep": 1, "episodes": 1},
    )
    data = {name: {**section, **more.pop(name, {})} for name, section in data.items()} | more
    del data["network"]["topology"], data["train"]["steps"]
    return {**data, "stages": stages}


def keep_the_last(monkeypatch):
    """Validation calls every later state a better one, so that stages hand on what they trained."""
    real = testing.validation

    def validation(assembly):
        result = real(assembly)
        result.summary["accuracy"] = sum(assembly.model.bank.versions) / 1000
        return result

    monkeypatch.setattr(loop, "validation", validation)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(assembling, "make_task", lambda name, options: Cut(**options))
        keep_the_last(patch)
        return start(make_config(staged()), tmp_path_factory.mktemp("whole") / "run", Watch())


@pytest.mark.parametrize("kill", range(10))
def test_a_run_killed_at_any_step_goes_on_as_if_it_had_not_been(whole, tmp_path, monkeypatch, kill):
    keep_the_last(monkeypatch)
    with pytest.raises(KilledError):
        start(make_config(staged()), tmp_path / "run", Watch(kill))
    again = resume(tmp_path / "run", Watch())
    assert_same(whole.path, again.path)
