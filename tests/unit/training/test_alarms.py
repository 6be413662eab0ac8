"""Alarms: what raises each of them, that they are told once, and what a run does about them."""

from __future__ import annotations

import pytest
from toys import ToyTask

from neuromas.cli import main
from neuromas.config import AlarmsConfig, make_config
from neuromas.core.errors import ConfigError, DivergedError, RunError
from neuromas.core.task import Score
from neuromas.learning.alarms import alarms, fallen
from neuromas.storage import Run
from neuromas.system import assemble as assembling
from neuromas.training import evaluations as testing
from neuromas.training import loop
from neuromas.training.guard import Guard
from neuromas.training.run import resume, start
from parity import small
from watched import Watch, left_at, lines, manifest

LIMITS = AlarmsConfig(window=3, zero=4)
FINE = {
    "reward": 0.5,
    "silent_groups": 0.2,
    "node_entropy": [1.0, 2.0],
    "truncated": [0.9, 0.1],
    "parse_failures": 0.1,
    "favourite": {"answer": "7", "share": 0.3},
    "sampler_drift": 0.001,
}


def rows(count=4, **changes):
    return [{**FINE, "step": step, **changes} for step in range(count)]


CASES = [
    ({"reward": 0.0}, "zero", "answers were read, and all of them were wrong"),
    ({"reward": 0.015}, "zero", "answers earned 1.5 % of the reward in 4 steps, and 20 % of the"),
    ({"reward": None, "parse_failures": None}, "zero", "answers earned 0.0 % of the reward in 4 steps"),
    (
        {"reward": 0.0, "truncated": [0.0, 0.87]},
        "zero",
        "87 % of the answers were cut at their limit; try a larger",
    ),
    (
        {"reward": 0.0, "parse_failures": 0.5},
        "zero",
        "50 % could not be read as an answer; try another network.style",
    ),
    ({"silent_groups": 0.95}, "silent", "95 % of the problems gave no signal"),
    (
        {"node_entropy": [1.0, 0.001]},
        "entropy",
        "node 2 hardly varies any more (0.0010 nats a token, 2.0000 at first)",
    ),
    ({"truncated": [0.0, 0.6]}, "truncated", "60 % of the answers were cut"),
    (
        {"favourite": {"answer": "42", "share": 0.85}},
        "favourite",
        "85 % of the answers are one and the same, now '42'",
    ),
]


@pytest.mark.parametrize(("changes", "name", "text"), CASES)
def test_every_alarm_goes_on(changes, name, text):
    (found,) = alarms(rows(**changes), rows(), LIMITS)
    assert (found.name, found.breaking) == (name, name in ("entropy", "favourite"))
    assert text in found.text
    assert "\n" not in found.text
    off = LIMITS.model_copy(update={name: 0})
    assert name not in [alarm.name for alarm in alarms(rows(**changes), rows(), off)]


@pytest.mark.parametrize(
    ("found", "why"),
    [
        (rows(), "all is well"),
        (rows(3, reward=0.0), "not yet for long enough"),
        (rows(3, reward=0.0) + rows(1, reward=0.1), "something was earned"),
        (rows(2, silent_groups=1.0), "the window is not full"),
        (rows(reward=0.95, silent_groups=1.0), "the task is solved"),
        (rows(reward=0.95, node_entropy=[0.0, 0.0], favourite={"answer": "7", "share": 1.0}), "solved, too"),
        (
            rows(node_entropy=[0.0, None])[:2] + rows(2, node_entropy=[None, 0.0]),
            "no node in all of the window",
        ),
        (rows(2, truncated=[0, 1.0]) + rows(2), "a third of the window is below the limit"),
        (rows(favourite=None), "nothing could be read"),
    ],
)
def test_no_alarm_goes_on(found, why):
    assert alarms(found, rows(), LIMITS) == [], why


def test_a_node_that_was_sure_from_the_start_has_not_collapsed():
    sure = rows(node_entropy=[1.0, 0.005])
    assert alarms(sure, sure, LIMITS) == []
    assert [a.name for a in alarms(sure, rows(node_entropy=[1.0, 0.06]), LIMITS)] == ["entropy"]


def test_a_fall_of_validation():
    limits = AlarmsConfig(fallen=0.1)
    assert fallen(0.4, 0.5, limits) is None
    assert fallen(None, 0.5, limits) is fallen(0.5, None, limits) is None
    alarm = fallen(0.39, 0.5, limits)
    assert alarm.breaking
    assert "validation fell to 39.0 % from 50.0 %" in alarm.text
    assert fallen(0.0, 1.0, AlarmsConfig(fallen=0)) is None


def test_an_alarm_is_told_once_and_again_after_it_was_off():
    guard, told = Guard(LIMITS), []
    shares = [0.95] * 5 + [0.1] * 3 + [0.95] * 4
    for step, share in enumerate(shares):
        told += [(step, alarm.name) for alarm in guard.see({**FINE, "step": step, "silent_groups": share})]
    assert told == [(2, "silent"), (10, "silent")]
    assert [a.name for a in guard.see_validation(0.1, 0.5)] == ["fallen"]
    assert guard.see({**FINE, "step": 12, "silent_groups": 0.95}) == [], "neither hides the other"
    assert guard.see_validation(0.1, 0.5) == []
    assert guard.on == {"fallen", "silent"}
    assert guard.see_validation(0.5, 0.5) == []
    assert [a.name for a in guard.see_validation(0.1, 0.5)] == ["fallen"]


def test_a_guard_comes_back_from_its_checkpoint():
    whole, seen = Guard(LIMITS), rows(6, silent_groups=0.95)
    for row in seen[:4]:
        whole.see(row)
    again = Guard(LIMITS)
    again.take(whole.to_dict())
    again.recall(seen[:4])
    assert again == whole
    whole.restart(4, restored=True)
    assert (whole.halved, whole.on, whole.rows) == (1, set(), [])
    again.take(whole.to_dict())
    again.recall(seen[:5])
    assert [row["step"] for row in again.rows] == [4]
    whole.restart(5, restored=False)
    assert whole.halved == 0


@pytest.mark.parametrize("drift", [0.6, float("nan"), float("inf")])
def test_drift_is_an_error(drift):
    with pytest.raises(
        DivergedError, match=r"sampler and trainer disagree by .* at step 3, more than alarms.drift"
    ):
        Guard(LIMITS).see({**FINE, "step": 3, "sampler_drift": drift})
    Guard(AlarmsConfig(drift=0)).see({**FINE, "step": 3, "sampler_drift": drift})
    Guard(LIMITS).see({**FINE, "step": 3, "sampler_drift": 0.4})


# -- in a run


class Toy(ToyTask):
    def score(self, problem, text):
        return Score(float(len(text) % 2), text or None)


@pytest.fixture(autouse=True)
def toy(monkeypatch):
    monkeypatch.setattr(assembling, "make_task", lambda name, options: Toy())


def falling(monkeypatch, accuracies):
    """Validation accuracies one after the other; the last one goes on."""
    real, left = testing.validation, list(accuracies)

    def validation(assembly):
        result = real(assembly)
        result.summary["accuracy"] = left.pop(0) if len(left) > 1 else left[0]
        return result

    monkeypatch.setattr(loop, "validation", validation)


def config(guard, **more):
    data = {
        "train": {"steps": 8, "guard": guard, "entropy": 0.01, "lr": 0.01, "warmup": 0},
        "evaluate": {"every": 2, "validation": 2, "test": 2},
        "alarms": {"silent": 0, "favourite": 0, "truncated": 0, "entropy": 0, "zero": 0},
        "run": {"checkpoint_every": 1, "keep": 99},
    }
    data = {name: {**section, **more.get(name, {})} for name, section in data.items()}
    return make_config(small(**data))


def test_warn_only_tells(tmp_path, monkeypatch):
    falling(monkeypatch, [0.5, 0.8, 0.1])
    watch = Watch()
    run = start(config("warn"), tmp_path / "run", watch)
    (alarm,) = (row for row in run.lines("events.jsonl") if row["event"] == "alarm")
    assert (alarm["step"], alarm["name"]) == (4, "fallen")
    assert watch.of("alarm") == [alarm]
    assert [path.name for path in run.checkpoints()][-1] == "step-000008"
    assert run.read("status.json")["checkpoint"] == "step-000002"


def test_stop_stops_with_a_checkpoint_and_can_be_resumed(tmp_path, monkeypatch):
    falling(monkeypatch, [0.5, 0.8, 0.1])
    with pytest.raises(
        RunError, match=r"train\.guard = 'stop' at step 4: validation fell to 10\.0 %"
    ) as error:
        start(config("stop"), tmp_path / "run", Watch())
    assert "\n" not in str(error.value)
    run = Run.open(tmp_path / "run")
    assert run.checkpoints()[-1].name == "step-000004"
    assert resume(run.path, Watch()).finished
    assert [row["step"] for row in run.lines("metrics.jsonl")] == list(range(8))


def adapters(run, step):
    """Hashes of the adapters and the optimisers of a checkpoint."""
    return manifest(run.checkpoint(step))["files"]


def test_restore_goes_back_with_half_the_rate_and_not_for_ever(tmp_path, monkeypatch):
    """After 2 steps the best; then below it again and again: restored twice, then only told."""
    falling(monkeypatch, [0.5, 0.8, 0.1])
    watch = Watch()
    config_ = config("restore", train={"steps": 10})
    halves = [left_at(kill, tmp_path / "run", tmp_path / f"killed-{kill}") for kill in (4, 6)]
    run = start(config_, tmp_path / "run", watch, *halves)
    assert adapters(run, 4) == adapters(run, 6) == adapters(run, 2)
    assert adapters(run, 3) != adapters(run, 2) != adapters(run, 8)
    told = [(row["step"], row["text"]) for row in run.lines("events.jsonl") if row["event"] == "guard"]
    assert told == [
        (4, "back to the state of step 2; the learning rate is now 0.005"),
        (6, "back to the state of step 2; the learning rate is now 0.0025"),
        (8, "not restored again: alarms.restores = 2"),
    ]
    alarms_told = [row["step"] for row in run.lines("events.jsonl") if row["event"] == "alarm"]
    assert alarms_told == [4, 6, 8]
    for kill in (4, 6):
        falling(monkeypatch, [0.1])
        again = resume(tmp_path / f"killed-{kill}", Watch())
        assert lines(again.path / "metrics.jsonl") == lines(run.path / "metrics.jsonl")
        assert lines(again.path / "events.jsonl") == lines(run.path / "events.jsonl")
        assert adapters(again, 10) == adapters(run, 10)


def test_an_alarm_in_the_very_step_that_is_the_best_restores_nothing_but_the_rate(tmp_path, monkeypatch):
    """Its checkpoint is not written yet."""
    falling(monkeypatch, [0.1, 0.5, 0.5])
    watch = Watch()
    loud = {"favourite": 0.0001, "window": 2}
    run = start(config("restore", alarms=loud, train={"steps": 2}), tmp_path / "run", watch)
    assert [row["name"] for row in watch.of("alarm")] == ["favourite"]
    assert watch.of("guard")[0]["text"] == "back to the state of step 2; the learning rate is now 0.005"
    assert run.finished


def test_divergence_is_one_line_and_the_run_can_be_resumed(tmp_path, monkeypatch, capsys):
    overrides = ["train.lr=1e30", "train.max_kl=0", "train.steps=6", "train.problems=2", "train.samples=4"]
    tiny = ["model.backbone=tiny", "model.dtype=float32", "model.device=cpu", "evaluate.test=2"]
    more = ["train.warmup=0", "evaluate.validation=2", "run.checkpoint_every=1", "train.entropy=0.01"]
    place = f"run.directory={tmp_path / 'run'}"
    assert main(["train", *overrides, *tiny, *more, place]) == 2
    said = [line for line in capsys.readouterr().err.splitlines() if "diverged" in line]
    assert len(said) == 1
    run = Run.open(tmp_path / "run")
    assert run.checkpoints()
    assert not run.finished


def test_a_task_that_earns_nothing_is_told_of_within_ten_steps(tmp_path, monkeypatch, capsys):
    class Never(Toy):
        def score(self, problem, text):
            return Score(0.0, None)

    monkeypatch.setattr(assembling, "make_task", lambda name, options: Never())
    watch = Watch()
    data = small(train={"steps": 10}, evaluate={"every": 0, "test": 2})
    run = start(make_config(data), tmp_path / "run", watch)
    (alarm,) = (row for row in run.lines("events.jsonl") if row["event"] == "alarm")
    assert alarm["name"] == "zero"
    assert alarm["step"] <= 10
    assert "nothing can be learned" in alarm["text"]
    assert "100 % could not be read as an answer" in alarm["text"]
    assert "a larger model" in alarm["text"]


def test_restoring_needs_validation():
    with pytest.raises(ConfigError, match=r"train\.guard = 'restore'.* evaluate\.every"):
        make_config({"train": {"guard": "restore"}, "evaluate": {"every": 0}})
