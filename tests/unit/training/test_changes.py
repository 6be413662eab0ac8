"""Going on with a run under a changed configuration: more steps and stages, and still the same run."""

from __future__ import annotations

import json
import shutil

import pytest

from neuromas.config import make_config
from neuromas.core.errors import ConfigError, NeuromasError
from neuromas.growth.stages import settle
from neuromas.models import precision
from neuromas.models.backbone import load_backbone
from neuromas.storage import Run
from neuromas.system import assemble as assembling
from neuromas.system.provenance import precision_changed
from neuromas.training import loop
from neuromas.training.changes import as_line, changed_config, changes
from neuromas.training.run import resume, start
from parity import Parity, small
from watched import KilledError, Watch, assert_begins_alike, left_at, lines


@pytest.fixture(autouse=True, scope="module")
def parity():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(assembling, "make_task", lambda name, options: Parity())
        yield


def plain(steps=4, **more):
    """Validated and saved every 2 steps, so that an end after 4 is no step of its own."""
    data = {"train": {"steps": steps, "entropy": 0.01, "baseline": "ema"}, "run": {"keep": 99}}
    data = {name: {**data.get(name, {}), **more.get(name, {})} for name in {*data, *more}}
    return make_config(small(**{"evaluate": {"every": 2, "validation": 3, "test": 3}, **data}))


def staged(stages, **more):
    data = small(
        train={"problems": 1, "samples": 2, "entropy": 0.01, "warmup": 1, "baseline": "ema"},
        evaluate={"every": 2, "validation": 2, "test": 2},
        run={"checkpoint_every": 1, "keep": 99},
        growth={"stages": stages, **more},
    )
    del data["network"]["topology"], data["train"]["steps"]
    return make_config(data)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A finished run of 4 steps, of the same seed one of 8, and the first killed after step index 2."""
    folder = tmp_path_factory.mktemp("runs")
    short = start(plain(4), folder / "short", left_at(2, folder / "short", folder / "killed"))
    return short.path, start(plain(8), folder / "long").path, folder / "killed"


@pytest.fixture
def short(runs, tmp_path):
    return Run(shutil.copytree(runs[0], tmp_path / "run"))


def multiplying(monkeypatch, fast):
    """A processor that multiplies bfloat16, or one that does not."""
    monkeypatch.setattr(precision, "flags", lambda: frozenset({"amx_bf16"} if fast else ()))


@pytest.fixture
def left_open(tmp_path, monkeypatch):
    """A run that left its precision open on a fast processor, killed; here it is a slow one."""
    multiplying(monkeypatch, True)
    config = plain(model={**small()["model"], "dtype": "auto", "device": "cpu"})
    start(config, tmp_path / "open", left_at(2, tmp_path / "open", tmp_path / "killed"))
    multiplying(monkeypatch, False)
    return Run(tmp_path / "killed")


def precisions(run):
    """What the checkpoints were computed in, oldest first."""
    manifests = [json.loads((folder / "network.json").read_text()) for folder in run.checkpoints()]
    return [one["backbone"]["precision"] for one in manifests]


def notes(watch):
    return " ".join(event.get("text", "") for event in watch.events)


@pytest.mark.parametrize("overrides", [[], ["model.dtype=bfloat16"], ["model.dtype=auto"]])
def test_a_run_goes_on_in_the_precision_it_began_with(left_open, overrides):
    config = left_open.read("config.json")
    resume(left_open.path, watch := Watch(), overrides=overrides)
    assert left_open.finished
    assert set(precisions(left_open)) == {"bfloat16"}
    assert left_open.read("config.json") == config, "what was left open stays so"
    assert (
        "goes on in bfloat16, as it was computed until now; this machine alone would take float32"
        in notes(watch)
    )


def test_without_a_checkpoint_it_is_what_the_run_noted(left_open):
    for folder in left_open.checkpoints():
        shutil.rmtree(folder)
    resume(left_open.path)
    assert set(precisions(left_open)) == {"bfloat16"}


def test_another_precision_is_refused_by_name(left_open):
    with pytest.raises(
        ConfigError, match=r"model\.dtype = 'float32', but the run was trained with 'bfloat16'"
    ):
        resume(left_open.path, overrides=["model.dtype=float32"])


def test_the_newest_checkpoint_says_in_what_a_run_goes_on(left_open):
    """One that an earlier version went on with elsewhere."""
    facts = left_open.read("run.json")
    left_open.write("run.json", {**facts, "machine": {**facts["machine"], "precision": "float32"}})
    resume(left_open.path, watch := Watch())
    assert set(precisions(left_open)) == {"bfloat16"}
    assert "differs by rounding" not in notes(watch)


def test_a_run_of_which_nobody_knows_goes_on_as_this_machine_is_fast(left_open):
    facts = left_open.read("run.json")
    left_open.write("run.json", {**facts, "machine": {"threads": 1}})
    for folder in left_open.checkpoints():
        shutil.rmtree(folder)
    resume(left_open.path, watch := Watch())
    assert set(precisions(left_open)) == {"float32"}
    assert "float32" not in notes(watch)


def test_of_what_nobody_knows_nothing_is_said():
    config = make_config(small(model={"dtype": "auto"}))
    assert precision_changed("auto", config, load_backbone("tiny", "bfloat16", "cpu"), "there") == []


def test_a_backbone_of_another_precision_is_said(left_open):
    resume(left_open.path, watch := Watch(), backbone=load_backbone("tiny", "float32", "cpu"))
    assert "computes in float32 here, in bfloat16 where the run began: what is drawn" in notes(watch)


@pytest.mark.parametrize("fast", [True, False])
def test_a_parent_of_another_precision_is_said(left_open, tmp_path, monkeypatch, fast):
    multiplying(monkeypatch, fast)
    parent = left_open.checkpoints()[-1]
    data = small(model={**small()["model"], "dtype": "auto", "device": "cpu"})
    shape = data["network"].pop("topology")
    del data["train"]["steps"]
    config = make_config({**data, "growth": {"parent": str(parent), "stages": [[shape, 0]]}})
    start(config, tmp_path / "child", watch := Watch())
    said = f"computes in float32 here, in bfloat16 where {parent} was trained"
    assert (said in notes(watch)) == (not fast)


def contents(path):
    return {file: file.read_bytes() for file in sorted(path.rglob("*")) if file.is_file()}


def files(run, step):
    """Hashes of the files of a checkpoint."""
    return json.loads((run.checkpoint(step) / "network.json").read_text())["files"]


# -- more steps


def assert_same_but_for_its_first_end(one: Run, other: Run, step: int) -> None:
    """All that the whole run wrote, in the extended one too; that has the tests of its first end besides."""
    for name in ("metrics.jsonl", "episodes.jsonl", "validation.jsonl"):
        assert lines(one.path / name) == lines(other.path / name), name
    for name in sorted(path.name for path in (one.path / "evaluations").iterdir()):
        assert (one.path / "evaluations" / name).read_bytes() == (
            other.path / "evaluations" / name
        ).read_bytes()
    for checkpoint in one.checkpoints():
        number = int(checkpoint.name[5:])
        assert number <= step or files(one, number) == files(other, number), checkpoint.name
        if number > step:
            mine, theirs = (
                json.loads((run.checkpoint(number) / "network.json").read_text()) for run in (one, other)
            )
            for data in (mine, theirs):
                data["state"].pop("seconds"), data["spent"].pop("seconds")
            assert mine == theirs, checkpoint.name
    assert one.read("status.json") | {"seconds": 0} == other.read("status.json") | {"seconds": 0}


def test_a_run_of_4_extended_to_8_is_the_run_of_8(runs, short):
    first = {name: short.evaluation(name) for name in ("test-before", "test-after", "test-after-blank")}
    watch = Watch()
    run = resume(short.path, watch, overrides=["train.steps=8"])
    assert run.finished
    assert [event["step"] for event in watch.of("step")] == [4, 5, 6, 7]
    assert_same_but_for_its_first_end(Run(runs[1]), run, 4)
    assert run.evaluation("test-before") == first["test-before"]
    assert run.evaluation("test-after-step-4") == first["test-after"], "kept, not overwritten"
    assert run.evaluation("test-after-step-4-blank") == first["test-after-blank"]
    assert make_config(run.read("config.json")) == settle(plain(8))


def test_what_was_changed_when_is_in_the_run(short):
    watch = Watch()
    resume(short.path, watch, overrides=["train.steps=6", "run.episodes=1"])
    resume(short.path, overrides=["train.steps=8"])
    entries = short.read("run.json")["changes"]
    assert [(entry["step"], entry["keys"]) for entry in entries] == [
        (4, {"train.steps": [4, 6], "run.episodes": [2, 1]}),
        (6, {"train.steps": [6, 8]}),
    ]
    assert all(entry["time"].endswith("Z") for entry in entries)
    told = [(row["step"], row["text"]) for row in short.lines("events.jsonl") if row["event"] == "config"]
    assert told == [
        (4, "goes on with train.steps = 6 (was 4), run.episodes = 1 (was 2)"),
        (6, "goes on with train.steps = 8 (was 6)"),
    ]
    assert watch.of("config")[0]["text"] == told[0][1]
    assert {"test-after-step-4.json", "test-after-step-6.json"} <= {
        path.name for path in (short.path / "evaluations").iterdir()
    }


def test_killed_after_a_change_and_resumed_without_it(runs, short):
    with pytest.raises(KilledError):
        resume(short.path, Watch(kill=4), overrides=["train.steps=8"])
    assert not short.finished
    assert_begins_alike(short.path, runs[1], ("metrics.jsonl", "episodes.jsonl", "validation.jsonl"), 4)
    with pytest.raises(KilledError):
        resume(short.path, Watch(kill=5))
    assert not short.finished
    assert resume(short.path).finished
    assert_same_but_for_its_first_end(Run(runs[1]), short, 4)


@pytest.mark.parametrize("name", ["status.json", "rename", "run.json", "config.json"])
def test_killed_between_the_files_of_a_change(runs, short, monkeypatch, name):
    """The same words again, or a plain resume, make it good."""
    from pathlib import Path

    real, renamed = Run.write, Path.rename

    def write(run, file, data):
        if file == name:
            raise KilledError
        real(run, file, data)

    def rename(path, target):
        if name == "rename" and "-blank" in path.name:
            raise KilledError
        return renamed(path, target)

    monkeypatch.setattr(Run, "write", write)
    monkeypatch.setattr(Path, "rename", rename)
    with pytest.raises(KilledError):
        resume(short.path, overrides=["train.steps=8"])
    monkeypatch.setattr(Run, "write", real)
    monkeypatch.setattr(Path, "rename", renamed)
    again = Run(shutil.copytree(short.path, short.path.with_name("again")))
    assert resume(short.path).finished, "as it was"
    assert short.read("status.json")["step"] == 4
    before = {n: short.evaluation(n) for n in ("test-after", "test-after-blank", "test-after-shuffle")}
    assert before == {n: Run(runs[0]).evaluation(n) for n in before}
    assert resume(again.path, overrides=["train.steps=8"]).finished
    assert_same_but_for_its_first_end(Run(runs[1]), again, 4)
    assert [entry["keys"] for entry in again.read("run.json")["changes"]] == [{"train.steps": [4, 8]}]


def test_killed_between_a_change_and_the_line_that_says_so(short, monkeypatch):
    real = Run.append

    def append(run, file, rows):
        if file == "events.jsonl":
            raise KilledError
        real(run, file, rows)

    monkeypatch.setattr(Run, "append", append)
    with pytest.raises(KilledError):
        resume(short.path, overrides=["train.steps=8"])
    monkeypatch.setattr(Run, "append", real)
    for _ in range(2):
        with pytest.raises(KilledError):
            resume(short.path, Watch(kill=4))
    texts = [row["text"] for row in short.lines("events.jsonl") if row["event"] == "config"]
    assert texts == ["goes on with train.steps = 8 (was 4)"], "once"


def test_a_change_that_never_came_into_effect_is_not_kept(short, monkeypatch):
    real = Run.write

    def write(run, file, data):
        if file == "config.json":
            raise KilledError
        real(run, file, data)

    monkeypatch.setattr(Run, "write", write)
    with pytest.raises(KilledError):
        resume(short.path, overrides=["train.steps=8"])
    monkeypatch.setattr(Run, "write", real)
    assert resume(short.path).finished
    assert [row for row in short.lines("events.jsonl") if row["event"] == "config"] == []
    resume(short.path, overrides=["train.steps=5"])
    resume(short.path, overrides=["train.steps=6"])
    keys = [entry["keys"] for entry in short.read("run.json")["changes"]]
    assert keys == [{"train.steps": [4, 5]}, {"train.steps": [5, 6]}]


def test_an_interrupted_run_may_be_given_other_steps(runs, tmp_path):
    half = shutil.copytree(runs[2], tmp_path / "run")
    assert len(lines(half / "metrics.jsonl")) == 3
    run = resume(half, overrides=["train.steps=8"])
    assert lines(run.path / "metrics.jsonl") == lines(runs[1] / "metrics.jsonl")
    assert files(run, 8) == files(Run(runs[1]), 8)
    assert not (run.path / "evaluations" / "test-after-step-2.json").exists()


def test_a_run_killed_before_its_first_checkpoint_may_be_given_other_steps(runs, tmp_path):
    from neuromas.training.callbacks import Watching

    with pytest.raises(KilledError):
        start(plain(4), tmp_path / "run", Watching(lambda event: (_ for _ in ()).throw(KilledError)))
    assert not Run(tmp_path / "run").checkpoints()
    run = resume(tmp_path / "run", overrides=["train.steps=8"])
    assert_same_but_for_its_first_end(Run(runs[1]), run, 0)


def test_by_default_too_all_is_kept_that_going_on_needs(tmp_path):
    """Nothing is said of run.keep: the end leaves the last checkpoint with its optimisers, and the best."""
    short, long = (start(plain(steps, run={"keep": None}), tmp_path / str(steps)) for steps in (4, 8))
    run = resume(short.path, overrides=["train.steps=8"])
    assert lines(run.path / "metrics.jsonl") == lines(long.path / "metrics.jsonl")
    assert files(run, 8) == files(long, 8)
    assert [path.name for path in run.checkpoints()] == [path.name for path in long.checkpoints()]


def test_schedules_that_span_the_steps_are_said_to_be_others(tmp_path):
    config = plain(4, train={"schedule": "linear", "warmup": 0, "final_temperature": 0.5, "lr": 0.01})
    start(config, tmp_path / "run")
    watch = Watch()
    resume(tmp_path / "run", watch, overrides=["train.steps=8"])
    texts = [event["text"] for event in watch.of("stage")]
    assert texts[:2] == [
        "train.schedule = 'linear' now spans the 8 steps of the stage: "
        "it goes on at a learning rate of 0.005",
        "train.final_temperature is now that of step 8: sampling goes on at a temperature of 0.714286",
    ]


def test_going_back_to_the_best_state_needs_its_optimisers(tmp_path, monkeypatch):
    """The best is of step 2; the extended run falls at step 6 and goes back to it, as the whole one does."""
    accuracies = {0: 0.5, 2: 0.9, 4: 0.88, 6: 0.1, 8: 0.1}
    real = loop.validation

    def validation(assembly):
        result = real(assembly)
        result.summary["accuracy"] = accuracies[max(assembly.model.bank.versions)]
        return result

    monkeypatch.setattr(loop, "validation", validation)
    more = {"train": {"guard": "restore"}, "run": {"keep": None}}
    long = start(plain(8, **more), tmp_path / "long")
    run = resume(start(plain(4, **more), tmp_path / "short").path, overrides=["train.steps=8"])
    assert any("back to the state of step 2" in row["text"] for row in run.lines("events.jsonl"))
    assert lines(run.path / "metrics.jsonl") == lines(long.path / "metrics.jsonl")
    assert files(run, 8) == files(long, 8)


# -- more stages


def test_a_stage_more_is_the_run_that_had_it_from_the_start(tmp_path):
    one, two = [["1-1", 2]], [["1-1", 2], ["2-1", 2]]
    long = start(staged(two), tmp_path / "long")
    short = start(staged(one), tmp_path / "short")
    run = resume(short.path, overrides=[f"growth.stages={json.dumps(two)}"])
    assert [row["step"] for row in run.lines("growth.jsonl")] == [2]
    assert lines(run.path / "metrics.jsonl") == lines(long.path / "metrics.jsonl")
    assert files(run, 4) == files(long, 4)
    assert run.evaluation("test-after") == long.evaluation("test-after")
    assert run.evaluation("stage-1") == long.evaluation("stage-1")


def test_a_run_of_one_network_may_grow(tmp_path):
    run = start(plain(2, network={"topology": "1-1"}), tmp_path / "run")
    with pytest.raises(ConfigError, match=r"growth\.stages: stage 1 has had 2 steps, more than 1"):
        resume(run.path, overrides=['growth.stages=[["1-1", 1], ["2-1", 2]]'])
    resume(run.path, overrides=['growth.stages=[["1-1", 2], ["2-1", 2]]'])
    assert [row["to"] for row in run.lines("growth.jsonl")] == ["2-1"]
    assert run.read("status.json")["step"] == 4
    with pytest.raises(
        ConfigError, match=r"growth\.stages = \[\['1-1', 3\], .* \[\['1-1', 2\], .* are trained"
    ):
        resume(run.path, overrides=['growth.stages=[["1-1", 3], ["2-1", 9]]'])


def test_the_steps_of_a_growing_run_are_those_of_its_last_stage(tmp_path):
    run = start(staged([["1-1", 1], ["2-1", 2]], init="zero", first=0.0), tmp_path / "run")
    resume(run.path, overrides=["train.steps=5"])
    assert make_config(run.read("config.json")).growth.stages == (("1-1", 1), ("2-1", 4))
    assert [row["step"] for row in run.lines("metrics.jsonl")] == [0, 1, 2, 3, 4]


def test_gates_that_are_open_are_not_closed_again(tmp_path):
    run = start(staged([["1-1", 1], ["2-1", 4]], init="gate", anneal=0.5), tmp_path / "run")
    before = contents(run.path)
    says = r"train\.steps|growth\.stages: with 40 steps instead of 4 stage 2 would stand .*append a stage"
    with pytest.raises(ConfigError, match=says):
        resume(run.path, overrides=["train.steps=41"])
    assert contents(run.path) == before
    resume(run.path, overrides=['growth.stages=[["1-1", 1], ["2-1", 4], ["2-1", 2]]'])
    assert run.finished


def test_a_stage_that_patience_ended_has_nothing_more_to_do(tmp_path, monkeypatch):
    real, left = loop.validation, [0.5, 0.4, 0.3]

    def validation(assembly):
        result = real(assembly)
        result.summary["accuracy"] = left.pop(0) if left else 0.1
        return result

    monkeypatch.setattr(loop, "validation", validation)
    run = start(staged([["1-1", 9]], patience=2), tmp_path / "run")
    assert run.read("status.json")["step"] == 4
    before = contents(run.path)
    with pytest.raises(
        ConfigError, match=r"is finished, and .* gives it nothing to do.*growth\.patience = 2"
    ):
        resume(run.path, overrides=["train.steps=12"])
    assert contents(run.path) == before
    resume(run.path, overrides=["train.steps=5", "growth.patience=0"])
    assert run.read("status.json")["step"] == 5


# -- what is refused


@pytest.mark.parametrize(
    ("override", "says"),
    [
        (
            "train.problems=3",
            r"train\.problems = 3, but the run was trained with 2; a run that goes on may change",
        ),
        ("seed=1", "seed = 1, but the run was trained with 0"),
        ("model.rank=8", r"model\.rank = 8, but the run was trained with 4"),
        ("network.topology=3-1", r"network\.topology = '3-1', but the run was trained with '2-1'"),
        ("task.options.n=3", r"task\.options\.n = 3, but the run was trained with None"),
        ("evaluate.validation=5", r"evaluate\.validation = 5, but the run was trained with 3"),
        ("run.directory=x", r"run\.directory = 'x', but the run was trained with ''"),
        ("train.steps=3", r"train\.steps: stage 1 has had 4 steps, more than 3"),
        ("run.keep=2", r"is finished, and run\.keep = 2 \(was 99\) gives it nothing to do"),
        ("train.stesp=8", r"unknown key 'train\.stesp'; did you mean 'train\.steps'"),
        ("train.steps=many", r"train\.steps = 'many'"),
        ('growth.stages=[["3-1", 4], ["3-2-1", 2]]', r"growth\.stages make it|topology"),
        ('growth.stages=[["2-1", 4], ["1-1", 2]]', "growth stage 2: "),
    ],
)
def test_what_would_make_it_another_run_is_refused(short, override, says):
    before = contents(short.path)
    with pytest.raises(NeuromasError, match=says) as caught:
        resume(short.path, overrides=[override])
    assert len(str(caught.value).splitlines()) == 1
    assert contents(short.path) == before


def test_no_change_is_no_work(short):
    before = contents(short.path)
    assert resume(short.path, overrides=["train.steps=4"]).finished
    assert contents(short.path) == before


def test_a_configuration_changed_by_hand_is_held_to_the_same(short):
    short.write("status.json", short.read("status.json") | {"finished": False})
    config = short.read("config.json")
    short.write("config.json", {**config, "seed": 5})
    with pytest.raises(ConfigError, match="seed = 5, but the run was trained with 0"):
        resume(short.path)


def test_changes_are_told_by_their_keys():
    was = settle(plain(4))
    now = changed_config(was, ["train.steps=8", "run.keep=3"])
    found = changes(was, now)
    assert found == {"train.steps": (4, 8), "run.keep": (99, 3)}
    assert as_line(found) == "train.steps = 8 (was 4), run.keep = 3 (was 99)"
    assert changes(now, now) == {}
