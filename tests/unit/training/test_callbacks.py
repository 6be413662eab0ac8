"""Callbacks hear typed events in the order of what happens, after it is on the disk; a run survives them."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

import pytest

import neuromas
from neuromas.config import make_config
from neuromas.core.errors import ConfigError, RunError
from neuromas.storage import Run
from neuromas.system import assemble as assembling
from neuromas.training import callbacks as told
from neuromas.training.callbacks import Callback, Callbacks, Event, Validated, Watching
from neuromas.training.run import resume, start
from parity import Parity, small
from watched import at_step, lines

HOOKS = sorted(name for name in vars(Callback) if name.startswith("on_"))


@pytest.fixture(autouse=True)
def parity(monkeypatch):
    monkeypatch.setattr(assembling, "make_task", lambda name, options: Parity())


def config(**more):
    data = small(
        train={"steps": 2, "problems": 1, "samples": 2, "entropy": 0.01},
        evaluate={"every": 1, "validation": 2, "test": 2},
        run={"checkpoint_every": 1},
    )
    return make_config({name: {**data.get(name, {}), **more.get(name, {})} for name in {*data, *more}})


def growing():
    data = config().model_dump(mode="json")
    del data["network"]["topology"], data["train"]["steps"]
    return make_config({**data, "growth": {"stages": [["1-1", 1], ["2-1", 1]], "init": "zero"}})


class Recorder(Callback):
    """Keeps every event; ``fails`` is the hook that raises."""

    def __init__(self, fails: str = "", error: BaseException | None = None) -> None:
        self.events: list[Event] = []
        self.fails, self.error, self.closed = fails, error, 0

    def close(self) -> None:
        self.closed += 1
        if self.fails == "close":
            raise self.error


def _hook(name):
    def hear(self, event):
        self.events.append(event)
        if self.fails == name:
            raise self.error

    return hear


for name in HOOKS:
    setattr(Recorder, name, _hook(name))


def kinds(recorder):
    return [type(event).__name__ for event in recorder.events]


def test_the_events_of_a_growing_run(tmp_path):
    recorder = Recorder()
    run = start(growing(), tmp_path / "run", recorder)
    assert [kind for kind in kinds(recorder) if kind not in ("Noted", "AlarmRaised")] == [
        *("TrainStarted", "Tested", "StageStarted", "Validated", "StepEnd", "Validated"),
        *("Tested", "Validated", "Grown", "StageStarted", "StepEnd", "Validated"),
        *("Tested", "Tested", "Tested", "Finished"),
    ]
    by_kind = {kind: [e for e in recorder.events if type(e).__name__ == kind] for kind in kinds(recorder)}
    stages = [(e.step, e.steps, e.number, e.shape, e.lasts) for e in by_kind["StageStarted"]]
    assert stages == [(0, 2, 1, "1-1", 1), (1, 2, 2, "2-1", 1)]
    assert by_kind["TrainStarted"][0].path == run.path
    assert by_kind["TrainStarted"][0].config.growth.stages == (("1-1", 1), ("2-1", 1))
    assert [e.first for e in by_kind["Validated"]] == [True, False, True, False]
    assert [e.name for e in by_kind["Tested"]] == [
        *("test-before", "stage-1", "test-after", "test-after-blank", "test-after-shuffle")
    ]
    assert by_kind["Grown"][0].entry["to"] == "2-1"
    assert by_kind["Finished"][0].best == run.read("status.json")["best"]
    assert recorder.closed == 1


def test_a_step_comes_with_its_report_and_all_of_its_episodes(tmp_path):
    recorder = Recorder()
    run = start(config(), tmp_path / "run", recorder)
    steps = [event for event in recorder.events if isinstance(event, told.StepEnd)]
    assert [event.step for event in steps] == [1, 2]
    assert [dict(event.report) for event in steps] == list(run.lines("metrics.jsonl"))
    assert [len(event.episodes) for event in steps] == [2, 2]
    assert [e.line(1)["messages"] for e in steps[1].episodes] == [
        row["messages"] for row in run.lines("episodes.jsonl") if row["step"] == 1
    ]
    for row in run.lines("episodes.jsonl"):  # two samples a problem: each against the other
        assert row["score"] in row["rewards"]
        gap = 2 * row["score"] - sum(row["rewards"])
        assert row["advantages"] == [pytest.approx(gap)] * len(row["messages"])
    assert run.read("run.json")["command"][1:] == sys.argv[1:]
    validated = [event for event in recorder.events if isinstance(event, Validated) and not event.first]
    assert [(e.step, e.accuracy) for e in validated] == [
        (row["step"], row["accuracy"]) for row in run.lines("validation.jsonl")
    ]
    best = run.read("status.json")["best"]
    assert max((e.step for e in validated if e.best), default=0) == best


def test_what_is_told_of_is_on_the_disk(tmp_path):
    found = []

    class Reader(Callback):
        def on_step_end(self, event):
            found.append(len(lines(tmp_path / "run" / "metrics.jsonl")) == event.step)

        def on_test(self, event):
            found.append((tmp_path / "run" / "evaluations" / f"{event.name}.json").is_file())

        def on_finish(self, event):
            found.append(Run(event.path).finished)

    start(config(), tmp_path / "run", Reader())
    assert len(found) == 2 + 4 + 1
    assert all(found)


def test_events_cannot_be_changed(tmp_path):
    class Meddler(Callback):
        def on_step_end(self, event):
            with pytest.raises(TypeError):
                event.report["reward"] = 1.0
            with pytest.raises(dataclasses.FrozenInstanceError):
                event.step = 7

    assert start(config(), tmp_path / "run", Meddler()).finished


def loud():
    """A run in which every event but an interruption happens."""
    return make_config({**growing().model_dump(mode="json"), "alarms": {"zero": 1, "earned": 1.0}})


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The loud run without a callback."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(assembling, "make_task", lambda name, options: Parity())
        return start(loud(), tmp_path_factory.mktemp("loud") / "whole")


@pytest.mark.parametrize("hook", [hook for hook in HOOKS if hook != "on_interrupt"])
def test_a_callback_that_fails_ends_the_run_with_one_line_and_it_goes_on_as_if_nothing_had_been(
    whole, tmp_path, hook
):
    settings = loud()
    first, failing, last = Recorder(), Recorder(hook, KeyError("gone\nwrong")), Recorder()
    with pytest.raises(RunError, match=r"callback Recorder failed at step \d: KeyError: .*gone") as caught:
        start(settings, tmp_path / "run", first, failing, last)
    assert "\n" not in str(caught.value)
    assert isinstance(caught.value.__cause__, KeyError)
    assert len(first.events) == len(failing.events) == len(last.events) + 1, "told in order"
    assert (first.closed, failing.closed, last.closed) == (1, 1, 1)
    run = resume(tmp_path / "run")
    for name in ("metrics", "validation", "growth", "episodes", "events"):
        same = [
            [{**row, "seconds": 0, "spent": 0} for row in lines(path / f"{name}.jsonl")]
            for path in (whole.path, run.path)
        ]
        assert same[0] == same[1], name


def test_one_that_fails_when_it_is_closed_keeps_nobody_from_it(tmp_path):
    failing, other = Recorder("close", OSError("gone")), Recorder()
    with pytest.raises(RunError, match="callback Recorder failed when it was closed: OSError: gone"):
        start(config(), tmp_path / "run", other, failing, other)
    assert other.closed == 2
    assert Run(tmp_path / "run").finished


def test_an_error_of_ours_is_passed_on_as_it_is(tmp_path):
    with pytest.raises(ConfigError, match=r"^mine$"):
        start(config(), tmp_path / "run", Recorder("on_step_end", ConfigError("mine")))


def test_an_interrupted_run_tells_when_its_checkpoint_is_saved(tmp_path):
    import os
    import signal

    recorder = Recorder()
    stop = at_step(0, lambda: os.kill(os.getpid(), signal.SIGINT))
    run = start(config(), tmp_path / "run", stop, recorder)
    assert isinstance(recorder.events[-1], told.Interrupted)
    assert recorder.events[-1].path == run.path
    assert run.checkpoint(recorder.events[-1].step).is_dir()
    again = Recorder()
    resume(run.path, again)
    assert kinds(again)[0] == "TrainStarted"
    assert again.events[0].step == 1
    assert "StageStarted" not in kinds(again), "it had begun before"


def test_what_is_no_callback_is_refused_before_the_run_is_made(tmp_path):
    with pytest.raises(ConfigError, match=r"callbacks\[1\] is .*, not a neuromas\.Callback"):
        neuromas.train(config(), tmp_path / "run", callbacks=[Callback(), print])
    assert not (tmp_path / "run").exists()


def test_the_door_takes_callbacks_and_the_function_of_0_2_0(tmp_path):
    recorder, events = Recorder(), []
    neuromas.train(config(), tmp_path / "run", events.append, callbacks=[recorder])
    assert [e["step"] for e in events if e["event"] == "step"] == [0, 1]
    assert next(e["event"] for e in events if e["event"] != "stage") == "validation"
    assert kinds(recorder)[-1] == "Finished"
    more = Recorder()
    neuromas.resume(tmp_path / "run", ["train.steps=3"], callbacks=[more])
    assert [e.step for e in more.events if isinstance(e, told.StepEnd)] == [3]


def test_the_dictionaries_are_those_of_0_2_0():
    seen = []
    watch = Watching(seen.append)
    for event in (
        told.StepEnd(1, 9, {"step": 0, "reward": 0.5}, ()),
        told.Grown(1, 9, {"to": "2-1", "step": 3}),
        told.AlarmRaised(2, 9, "zero", "nothing"),
        told.Noted(2, 9, "guard", "back"),
        told.Interrupted(3, 9, Path()),
        told.Finished(9, 9, Path(), 4),
        told.StageStarted(0, 9, 1, "2-1", 9),
    ):
        event.tell(watch)
    assert seen == [
        {"event": "step", "steps": 9, "step": 0, "reward": 0.5},
        {"event": "grown", "to": "2-1", "step": 3},
        {"step": 2, "event": "alarm", "text": "alarm zero: nothing", "name": "zero"},
        {"step": 2, "event": "guard", "text": "back"},
        {"event": "interrupted", "step": 3},
        {"event": "finished", "step": 4},
    ]


def test_every_event_has_a_hook_and_the_door_names_it():
    events = {cls for cls in vars(told).values() if isinstance(cls, type) and issubclass(cls, Event)} - {
        Event
    }
    assert len(events) == len(HOOKS)
    assert {cls.__name__ for cls in events} | {"Callback"} <= set(neuromas.__all__)
    for hook in HOOKS:
        assert getattr(Callback(), hook)(None) is None
        assert getattr(Callback, hook).__doc__
    Callbacks([Callback()], Path()).tell(told.Noted(0, 0, "stage", "nothing"))
