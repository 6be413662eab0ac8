"""A run from first to last step: stopped and continued is the same run."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections import Counter
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from neuromas.config import make_config
from neuromas.core.errors import ConfigError, NeuromasError, RunError, TaskError
from neuromas.engines.local.engine import LocalEngine
from neuromas.growth.stages import settle
from neuromas.storage import MANIFEST, Run
from neuromas.system import assemble as assembling
from neuromas.system import provenance, saving
from neuromas.system.provenance import about
from neuromas.tasks.stream import training_problems
from neuromas.training import evaluations as testing
from neuromas.training import trackers as tracking
from neuromas.training.run import resume, start
from parity import Parity, small
from watched import KilledError, Watch, assert_begins_alike, at_step, lines, manifest


@pytest.fixture(autouse=True)
def parity(monkeypatch):
    monkeypatch.setattr(assembling, "make_task", lambda name, options: Parity())


@pytest.fixture(autouse=True, scope="module")
def own_estimator(tmp_path_factory):
    """One of a user's own that remembers more than a number: the median of the last rewards."""
    folder = tmp_path_factory.mktemp("own")
    (folder / "own_running.py").write_text(
        "import statistics\n"
        "from neuromas.learning.estimators.base import Estimator, less\n"
        "class Median(Estimator):\n"
        "    def advantages(self, rewards_PG, state):\n"
        "        last = [] if state is None else state['last']\n"
        "        now = [*last, *(r for group in rewards_PG for r in group if r is not None)][-7:]\n"
        "        return less(rewards_PG, statistics.median(last or [0.5])), {'last': now}\n"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        yield


def settings(baseline="rloo", **more):
    train = {"baseline": baseline, "entropy": 0.01, "kl": 0.02, "final_temperature": 0.8}
    return make_config(small(train=train, **more))


def assert_same_run(one: Path, other: Path) -> None:
    """All that a run writes but its seconds and its birth: lines, evaluations, every tensor bit by bit."""
    for name in ("metrics.jsonl", "episodes.jsonl", "validation.jsonl"):
        assert lines(one / name) == lines(other / name), name
    evaluations = sorted(path.name for path in (one / "evaluations").iterdir())
    assert evaluations == sorted(path.name for path in (other / "evaluations").iterdir())
    assert len(evaluations) == 4 * 2 + 2  # before and after, two controls; what nodes read, twice
    for name in evaluations:
        assert (one / "evaluations" / name).read_bytes() == (other / "evaluations" / name).read_bytes(), name
    checkpoints = Run.open(one).checkpoints()
    assert [c.name for c in checkpoints] == [c.name for c in Run.open(other).checkpoints()]
    for checkpoint in checkpoints:
        twin = other / "checkpoints" / checkpoint.name
        assert manifest(checkpoint) == manifest(twin)  # hashes, ema, best, versions
        for file in checkpoint.rglob("*.safetensors"):
            mine, theirs = load_file(file), load_file(twin / file.relative_to(checkpoint))
            assert mine.keys() == theirs.keys()
            assert all(torch.equal(mine[name], theirs[name]) for name in mine), file


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Runs that were never stopped, by baseline; made once."""
    made: dict[str, Path] = {}

    def get(baseline: str) -> Path:
        if baseline not in made:
            made[baseline] = tmp_path_factory.mktemp("whole") / "run"
            start(settings(baseline), made[baseline], Watch())
        return made[baseline]

    return get


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    """A run that was killed after step index 2, with a checkpoint of step 2; made once."""
    path = tmp_path_factory.mktemp("killed") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(assembling, "make_task", lambda name, options: Parity())
        with pytest.raises(KilledError):
            start(settings(), path, Watch(kill=2))
    return path


@pytest.fixture
def half(killed, tmp_path):
    """A copy of it."""
    return shutil.copytree(killed, tmp_path / "run")


def test_a_run_leaves_its_whole_story(whole):
    run = Run.open(whole("rloo"))
    assert run.finished
    rows = list(run.lines("metrics.jsonl"))
    assert [row["step"] for row in rows] == list(range(6))
    wanted = {"reward", "loss", "gradient_norm", "entropy", "message_tokens", "truncated", "sampler_drift"}
    assert all(wanted | {"new_tokens", "silent_groups", "seconds"} <= row.keys() for row in rows)
    assert max(norm for row in rows for norm in row["gradient_norm"]) > 0
    assert [row["step"] for row in run.lines("validation.jsonl")] == [4, 6]
    assert len(list(run.lines("episodes.jsonl"))) == 6 * 2
    about_it = run.read("run.json")
    assert about_it["versions"]["torch"] == torch.__version__
    assert about_it["versions"]["neuromas"]
    assert {"commit", "python", "machine", "created"} <= about_it.keys()
    assert make_config(run.read("config.json")) == settle(settings())


@pytest.mark.needs("git")
def test_the_commit_is_that_of_this_checkout(monkeypatch, tmp_path):
    commit = about()["commit"]
    if (Path(provenance.__file__).parents[3] / ".git").exists():
        assert len(commit.removesuffix("+changed")) == 12
    monkeypatch.setattr(provenance, "__file__", str(tmp_path / "provenance.py"))
    assert about()["commit"] is None, "no repository"
    git = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b"]
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "theirs"], check=True)
    (tmp_path / "provenance.py").write_text("")
    assert about()["commit"] is None, "installed into somebody else's repository"
    subprocess.run([*git, "add", "provenance.py"], check=True)
    assert about()["commit"].endswith("+changed")


@pytest.mark.parametrize("baseline", ["rloo", "ema", "own_running:Median"])
def test_killed_and_resumed_is_the_run_that_never_stopped(whole, tmp_path, baseline):
    """Checkpoints are due after steps 2, 4 and 6, so a kill in step index 2 or 3 costs one or two."""
    path, logs = tmp_path / "run", ("metrics.jsonl", "episodes.jsonl", "validation.jsonl")
    with pytest.raises(KilledError):
        start(settings(baseline), path, Watch(kill=2))
    assert len(lines(path / "metrics.jsonl")) == 3
    assert_begins_alike(path, whole(baseline), logs, 2)
    watch = Watch(kill=3)
    with pytest.raises(KilledError):
        resume(path, watch)
    assert [event["step"] for event in watch.of("step")] == [2, 3]
    assert_begins_alike(path, whole(baseline), logs, 3)
    watch = Watch()
    resume(path, watch)
    assert [event["step"] for event in watch.of("step")] == [2, 3, 4, 5]
    assert [row["step"] for row in lines(path / "metrics.jsonl")] == list(range(6))
    assert_same_run(whole(baseline), path)


def test_killed_twice_and_in_the_first_evaluation(whole, tmp_path, monkeypatch):
    path = tmp_path / "run"
    monkeypatch.setattr(testing, "evaluate", lambda *a, **k: (_ for _ in ()).throw(KilledError))
    with pytest.raises(KilledError):
        start(settings(), path, Watch())
    monkeypatch.undo()
    monkeypatch.setattr(assembling, "make_task", lambda name, options: Parity())
    assert not Run.open(path).checkpoints()
    for last in (1, 4):
        with pytest.raises(KilledError):
            resume(path, Watch(kill=last))
    resume(path, Watch())
    assert_same_run(whole("rloo"), path)


def test_interrupted_by_a_signal_and_resumed(whole, tmp_path):
    """Ctrl-C lets the step end, saves a checkpoint, and the run goes on as if nothing had been."""
    import os
    import signal

    path = tmp_path / "run"

    watch = at_step(2, lambda: os.kill(os.getpid(), signal.SIGINT))

    before = signal.getsignal(signal.SIGINT)
    run = start(settings(), path, watch)
    assert signal.getsignal(signal.SIGINT) is before
    assert not run.finished
    assert run.read("status.json")["step"] == 3
    assert run.checkpoints()[-1].name == "step-000003"
    resume(path, Watch())
    shutil.rmtree(path / "checkpoints" / "step-000003", ignore_errors=True)
    assert lines(path / "metrics.jsonl") == lines(whole("rloo") / "metrics.jsonl")
    final = "checkpoints/step-000006"
    assert manifest(path / final)["files"] == manifest(whole("rloo") / final)["files"]


def test_a_signal_in_the_last_step_still_stops(tmp_path):
    import os
    import signal

    watch = at_step(5, lambda: os.kill(os.getpid(), signal.SIGINT))

    run = start(settings(), tmp_path / "run", watch)
    assert not run.finished
    assert not (run.path / "evaluations" / "test-after.json").exists()
    assert resume(run.path, Watch()).finished


def test_a_finished_run_stays_as_it_is(whole, tmp_path):
    path = shutil.copytree(whole("rloo"), tmp_path / "run")
    watch = Watch()
    assert resume(path, watch).finished
    assert watch.events == []
    with pytest.raises(RunError, match="already holds a run"):
        start(settings(), path, Watch())


def test_resume_without_a_run(tmp_path):
    with pytest.raises(RunError, match="does not exist"):
        resume(tmp_path / "none", Watch())
    with pytest.raises(RunError, match="holds no run"):
        resume(tmp_path, Watch())


def test_resume_of_a_run_in_work(half):
    with Run.open(half).lock(), pytest.raises(RunError, match="another process"):
        resume(half, Watch())


@pytest.mark.parametrize(
    "state", [None, 3, {"step": 2}, {"step": "x", "ema": {}, "best": None, "seconds": 0}]
)
def test_a_checkpoint_without_a_training_state(half, state):
    file = Run.open(half).checkpoints()[-1] / MANIFEST
    file.write_text(json.dumps({**json.loads(file.read_text()), "state": state}))
    with pytest.raises(RunError, match="no training state"):
        resume(half, Watch())
    assert len(lines(half / "metrics.jsonl")) == 3, "nothing may be forgotten by a resume that fails"


def test_lines_of_a_run_whose_checkpoints_were_deleted_are_not_doubled(half):
    shutil.rmtree(half / "checkpoints")
    resume(half, Watch())
    assert [row["step"] for row in lines(half / "metrics.jsonl")] == list(range(6))


def test_what_messages_cannot_change_is_asked_once_in_the_final_tests(tmp_path, monkeypatch):
    real, asked = LocalEngine.generate, {}
    evaluate = testing.evaluate

    def noted(network, *more, intervention="none", **options):
        name = asked.setdefault(intervention, []) if more[1] == "test" else []

        def generate(engine, requests, *rest):
            name.append(len(requests))
            return real(engine, requests, *rest)

        with monkeypatch.context() as patch:
            patch.setattr(LocalEngine, "generate", generate)
            return evaluate(network, *more, intervention=intervention, **options)

    monkeypatch.setattr(testing, "evaluate", noted)
    start(make_config(small(network={"topology": "2-1"}, evaluate={"test": 6})), tmp_path / "run")
    assert sum(asked["none"]) > 12, "before and after"
    assert sum(asked["blank"]) <= 6, "of the reader alone"
    assert sum(asked["shuffle"]) <= 6


def test_the_best_checkpoint_is_kept_and_tested(tmp_path, monkeypatch):
    """Validation 0.4 first; 0.5, 0.9, 0.1, 0.9 after 2, 4, 6, 8 steps; keep = 1: a tie goes on."""
    accuracies = {0: 0.4, 2: 0.5, 4: 0.9, 6: 0.1, 8: 0.2}
    real, tested = testing.evaluate, []

    def evaluate(network, task, split, count, **more):
        result = real(network, task, split, count, **more)
        if split == "validation":
            result.summary["accuracy"] = accuracies[max(network.engine.model.bank.versions)]
        else:
            engine = getattr(network.engine, "engine", network.engine)  # what remembers is around it
            tested.append(tuple(engine.model.bank.versions))
        return result

    monkeypatch.setattr(testing, "evaluate", evaluate)
    # the entropy moves every adapter in every step, so versions count steps
    config = make_config(
        small(
            train={"steps": 8, "entropy": 0.01},
            evaluate={"every": 2},
            run={"keep": 1, "checkpoint_every": 99},
        )
    )
    run = start(config, tmp_path / "run", Watch())
    assert run.read("status.json")["best"] == 4
    assert [path.name for path in run.checkpoints()] == ["step-000004", "step-000008"]
    assert tested == [(0, 0, 0), (4, 4, 4), (4, 4, 4), (4, 4, 4)]
    assert saving.load_bundle(run.path).model.bank.versions == [4, 4, 4]
    accuracies[8] = 0.9
    again = start(config, tmp_path / "tie", Watch())
    assert again.read("status.json")["best"] == 8


def test_without_validation_the_last_checkpoint_counts(tmp_path):
    run = start(make_config(small(evaluate={"every": 0})), tmp_path / "run", Watch())
    assert run.read("status.json")["best"] is None
    assert run.checkpoints()[-1].name == "step-000006"
    assert not (run.path / "validation.jsonl").exists()


def test_no_steps_is_an_evaluation_of_the_untrained_network(tmp_path):
    run = start(make_config(small(train={"steps": 0})), tmp_path / "run", Watch())
    assert run.finished
    before, after = (run.evaluation(name)[1] for name in ("test-before", "test-after"))
    assert before == after


def test_a_single_node_has_no_messages_to_blank(tmp_path):
    config = make_config(small(network={"topology": "1"}, train={"steps": 1}))
    run = start(config, tmp_path / "run", Watch())
    names = sorted(path.name for path in (run.path / "evaluations").glob("*.json"))
    assert names == ["test-after.json", "test-before.json"]


def test_one_test_question_cannot_be_shuffled_and_does_no_harm(tmp_path):
    run = start(make_config(small(train={"steps": 1}, evaluate={"test": 1})), tmp_path / "run", Watch())
    assert run.finished
    assert not (run.path / "evaluations" / "test-after-shuffle.json").exists()


def test_stages_are_told_in_words(tmp_path):
    watch = Watch()
    start(make_config(small(train={"steps": 1})), tmp_path / "run", watch)
    texts = [event["text"] for event in watch.of("stage")]
    assert texts[0] == "evaluating the untrained network on 6 test questions"
    ended = [text for text in texts if text.startswith("stage 1 (2-1) ended with")]
    assert len(texts) - len(ended) == 4
    assert texts[-2] == "evaluating the trained network with all messages blanked on 6 test questions"
    assert len(watch.of("finished")) == 1


# -- data


@pytest.mark.parametrize("size", [1, 5, 8])
def test_every_epoch_of_a_finite_split_passes_each_problem_once_in_its_own_order(size):
    stream = [p.id for p in training_problems(Parity(size), 3, 0, 4 * size)]
    epochs = [stream[i : i + size] for i in range(0, len(stream), size)]
    assert all(Counter(epoch) == Counter(f"train-{i}" for i in range(size)) for epoch in epochs)
    if size == 8:
        assert len({tuple(epoch) for epoch in epochs}) > 1
        assert stream != [p.id for p in training_problems(Parity(size), 4, 0, 4 * size)]


def test_steps_take_consecutive_pieces_of_the_stream():
    task = Parity(5)
    whole = training_problems(task, 0, 0, 30)
    assert [p for start in range(0, 30, 7) for p in training_problems(task, 0, start, 7)][:30] == whole
    endless = training_problems(Parity(), 0, 0, 9)
    assert training_problems(Parity(), 0, 3, 2) == endless[3:5]
    assert len({p.id for p in endless}) == 9


@pytest.mark.parametrize("empty", ["train", "validation", "test"])
def test_a_split_without_problems_is_found_before_the_run_is_made(tmp_path, monkeypatch, empty):
    class Gap(Parity):
        def size(self, split):
            return 0 if split == empty else 9

    monkeypatch.setattr(assembling, "make_task", lambda name, options: Gap())
    with pytest.raises(TaskError, match=f"no {empty} problems"):
        start(settings(), tmp_path / "run", Watch())
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("network", "says"),
    [
        ({"message_tokens": 4000}, "node '1.1'.*4000.*context of 2048"),
        ({"topology": "200-1"}, "node '2.1'.*context of 2048"),
        ({"topology": "3-1", "question": "split"}, "does not fit topology 3-1.*2 parts"),
    ],
)
def test_a_network_that_cannot_run_is_found_before_the_run_is_made(tmp_path, network, says):
    with pytest.raises(NeuromasError, match=says):
        start(make_config(small(network=network)), tmp_path / "run", Watch())
    assert not (tmp_path / "run").exists()


# -- trackers


class Recorder:
    """A tracker; ``fails`` makes one of its methods raise."""

    def __init__(self, fails: str = "") -> None:
        self.fails, self.logged, self.closed = fails, [], 0

    def numbers(self, step, scalars):
        if self.fails == "numbers":
            raise KeyError("the\nserver")
        self.logged.append((step, dict(scalars)))

    def table(self, step, name, rows):
        if self.fails == "table":
            raise TypeError("no\ntable")

    def close(self):
        self.closed += 1
        if self.fails == "close":
            raise OSError("gone")


@pytest.mark.parametrize("failing", [(), ("numbers", "table", "close")])
def test_a_run_does_not_depend_on_its_trackers(whole, tmp_path, monkeypatch, failing):
    expected = lines(whole("rloo") / "metrics.jsonl")  # made before the trackers are
    good, others = Recorder(), [Recorder(fails) for fails in failing] or [Recorder()]
    monkeypatch.setattr(tracking, "open_trackers", lambda names, event: [*others, good])
    watch = Watch()
    run = start(settings(), tmp_path / "run", watch)
    assert lines(run.path / "metrics.jsonl") == expected
    steps = [step for step, numbers in good.logged if not any(name.startswith("test-") for name in numbers)]
    assert steps == [0, 1, 2, 3, 4, 4, 5, 6]  # validation at 4 and 6
    assert good.closed == 1
    told = [event["text"] for event in watch.of("stage") if "tracker failed" in event["text"]]
    assert len(told) == len(failing), "each once"
    assert all("\n" not in text for text in told)


def test_a_tracker_that_is_not_installed_is_found_before_the_run_is_made(tmp_path, monkeypatch):
    monkeypatch.setattr(tracking, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"'wandb', which is not installed: pip install wandb"):
        start(settings(run={"trackers": ["wandb"]}), tmp_path / "run", Watch())
    assert not (tmp_path / "run").exists()
