"""The state of a run is a value: written and taken back it is the same, in the words of earlier versions."""

from __future__ import annotations

import json

import pytest

from neuromas.config import make_config
from neuromas.growth.lineage import Budget, Lineage
from neuromas.growth.stages import Stage
from neuromas.system import assemble as assembling
from neuromas.system.assemble import assemble
from neuromas.training.state import Best, TrainState
from parity import Parity, small


@pytest.fixture(autouse=True)
def parity(monkeypatch):
    monkeypatch.setattr(assembling, "make_task", lambda name, options: Parity())


def state():
    return TrainState.new(assemble(make_config(small(train={"baseline": "ema"}))))


def manifest(one):
    """What lies in a checkpoint, by way of JSON."""
    return json.loads(json.dumps({"state": one.to_dict(), **one.lineage.to_dict()}))


def test_written_and_taken_back_it_is_the_same():
    one = state()
    one.trainer.step, one.trainer.seed = 4, 77
    one.trainer.remember({0: 0.25, 2: 0.5})
    one.best, one.seconds, one.problems_seen = Best(0.5, 2, "step-000002"), 1.5, 30
    one.stage = Stage(0, 1, 6, new=(1,), born=(1, 2), inherited=(0,))
    one.lineage = Lineage((), Budget(4, 8, 100, 50, 1.5))
    one.ancestor = {"run": "parent", "step": 9, "best": 7}
    one.guard.on, one.guard.since, one.guard.halved = {"zero"}, 2, 1
    other = state()
    other.take(manifest(one))
    assert manifest(other) == manifest(one)
    assert (other.step, other.place, other.problems_seen) == (4, 30 + 3 * 2, 30), "the stage began at step 1"
    assert (other.best, other.stage, other.lineage) == (one.best, one.stage, one.lineage)


def test_the_keys_on_disk_are_those_of_0_1_0_and_0_2_0():
    kept = {"step", "cursor", "seed", "ema", "best", "seconds", "stage", "guard", "ancestor"}
    assert manifest(state()).keys() == {"state", "lineage", "spent"}
    assert manifest(state())["state"].keys() == kept
    stage = {"index", "since", "steps", "start", "goal", "new", "born", "inherited"}
    assert manifest(state())["state"]["stage"].keys() == stage


def test_what_0_1_0_did_not_keep_is_not_missed():
    old = manifest(state())
    del old["state"]["guard"], old["state"]["ancestor"]
    del old["state"]["stage"]["born"], old["state"]["stage"]["inherited"]
    old["state"]["best"] = [0.5, 2]
    one = state()
    one.take(old)
    assert (one.best, one.ancestor) == (Best(0.5, 2, "step-000002"), {"run": ""})


def test_a_stage_has_the_steps_that_are_configured_now():
    one = manifest(state())
    longer = TrainState.new(assemble(make_config(small(train={"baseline": "ema", "steps": 60}))))
    longer.take(one)
    assert (longer.stage.steps, longer.over) == (60, False)


def test_there_is_one_network():
    one = state()
    other = one.trainer.network
    one.follow(one.base.network, {})
    assert one.assembly.network is one.trainer.network is other
    assert one.assembly.model is one.base.model


@pytest.mark.parametrize("missing", ["step", "seed", "ema", "best", "seconds", "cursor", "stage"])
def test_a_state_that_lacks_something_is_none(missing):
    data = manifest(state())
    del data["state"][missing]
    with pytest.raises(KeyError):
        state().take(data)
