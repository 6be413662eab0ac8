"""What a run finds on the disk when it goes on: damage, changed inputs, lost lines, other hands."""

from __future__ import annotations

import json
import os
import shutil
import signal
from pathlib import Path

import pytest

from neuromas.config import make_config
from neuromas.core.errors import RunError
from neuromas.storage import MANIFEST, Run
from neuromas.system import assemble as assembling
from neuromas.system import provenance, saving
from neuromas.system.provenance import check_unchanged, digests
from neuromas.system.saved_state import is_line
from neuromas.training import loop
from neuromas.training.callbacks import Watching
from neuromas.training.run import resume, start
from parity import Parity, small
from watched import at_step


class StoppedError(Exception):
    """Stands for a process that is gone."""


class Stop(Watching):
    """Records what is told; ``at`` raises after the step of that number (0-based)."""

    def __init__(self, at: int | None = None) -> None:
        super().__init__(self._see)
        self.at, self.told = at, []

    def _see(self, event) -> None:
        if event["event"] == "stage":
            self.told.append(event["text"])
        if event["event"] == "step" and event["step"] == self.at:
            raise StoppedError


def stopped(config, path: Path, at: int) -> Run:
    with pytest.raises(StoppedError):
        start(config, path, Stop(at))
    return Run.open(path)


@pytest.fixture(scope="module")
def halves(tmp_path_factory):
    """A run stopped after step index 4, with checkpoints of steps 0, 2 and 4, and the same run whole."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(assembling, "make_task", lambda name, options: Parity())
        folder, config = tmp_path_factory.mktemp("halves"), make_config(small())
        start(config, folder / "whole", Stop())
        return stopped(config, folder / "half", 4).path, folder / "whole"


@pytest.fixture
def half(halves, tmp_path, monkeypatch):
    monkeypatch.setattr(assembling, "make_task", lambda name, options: Parity())
    return Run(shutil.copytree(halves[0], tmp_path / "half"))


def weights(run: Path) -> dict:
    """Hashes of all files of the last checkpoint."""
    return json.loads((Run(run).checkpoints()[-1] / MANIFEST).read_text())["files"]


REPORT = {
    "step": 1,
    "reward": None,
    "parse_failures": None,
    "silent_groups": 0.5,
    "node_entropy": [1.0, None],
    "truncated": [0.0, 0.5],
    "favourite": {"answer": "7", "share": 0.5},
}
DAMAGE = {
    "bits": lambda folder: next(folder.rglob("adapter_model.safetensors")).write_bytes(b"\0" * 99),
    "empty": lambda folder: (folder / "optimisers.safetensors").write_bytes(b""),
    "missing": lambda folder: shutil.rmtree(folder / "adapters" / "adapter-01"),
    "manifest": lambda folder: (folder / MANIFEST).write_text('{"format": 1, "fil'),
    "list": lambda folder: (folder / MANIFEST).write_text('{"format": 1}'),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_newest_checkpoint_costs_steps_and_nothing_else(halves, half, damage):
    DAMAGE[damage](half.path / "checkpoints" / "step-000004")
    watch = Stop()
    assert resume(half.path, watch).finished
    assert [text for text in watch.told if "damaged" in text or "missing" in text] == watch.told[:1]
    assert "step-000004" in watch.told[0]
    assert watch.told[0].endswith("; going on from step-000002")
    assert "\n" not in watch.told[0]
    assert (half.path / "checkpoints" / "damaged-step-000004").is_dir()
    assert weights(half.path) == weights(halves[1])
    assert (half.path / "validation.jsonl").read_text() == (halves[1] / "validation.jsonl").read_text()


def test_where_all_checkpoints_are_damaged_nothing_is_touched(half):
    for folder in half.checkpoints():
        DAMAGE["bits"](folder)
    before = {path: path.read_bytes() for path in half.path.rglob("*") if path.is_file()}
    with pytest.raises(RunError, match=r"no checkpoint of .* is intact; the newest: .*step-000004") as caught:
        resume(half.path, Stop())
    assert len(str(caught.value).splitlines()) == 1
    assert before == {path: path.read_bytes() for path in half.path.rglob("*") if path.is_file()}


def test_a_kill_between_a_checkpoint_and_the_removal_of_older_ones(tmp_path, monkeypatch):
    monkeypatch.setattr(assembling, "make_task", lambda name, options: Parity())
    config = make_config(small(run={"keep": 1, "checkpoint_every": 2}))
    start(config, tmp_path / "whole", Stop())
    real = Run.prune

    def prune(run, *args):
        if run.checkpoint(6).exists():
            raise StoppedError
        real(run, *args)

    monkeypatch.setattr(Run, "prune", prune)
    with pytest.raises(StoppedError):
        start(config, tmp_path / "run", Stop())
    monkeypatch.setattr(Run, "prune", real)
    whole, run = Run(tmp_path / "whole"), resume(tmp_path / "run", Stop())
    assert [path.name for path in run.checkpoints()] == [path.name for path in whole.checkpoints()]


def test_a_kept_checkpoint_keeps_what_it_leans_on(tmp_path, monkeypatch):
    """The newest is damaged, and the best state of the one before is no longer the best: still there."""
    monkeypatch.setattr(assembling, "make_task", lambda name, options: Parity())
    real = loop.validation

    def rising(assembly):
        result = real(assembly)
        result.summary["accuracy"] = sum(assembly.model.bank.versions) / 100
        return result

    monkeypatch.setattr(loop, "validation", rising)
    config = make_config(
        small(train={"steps": 10, "entropy": 0.01}, run={"keep": 2, "checkpoint_every": 1, "episodes": 1})
    )
    run = stopped(config, tmp_path / "run", 8)
    assert [path.name for path in run.checkpoints()] == ["step-000004", "step-000007", "step-000008"]
    DAMAGE["bits"](run.checkpoint(8))
    watch = Stop()
    assert resume(run.path, watch).finished
    assert watch.told[0].endswith("; going on from step-000007")


def test_lost_lines_are_told(half):
    (half.path / "metrics.jsonl").unlink()
    watch = Stop()
    resume(half.path, watch)
    assert watch.told[0] == "metrics.jsonl has lost the lines of 4 steps"


OTHERS = {
    "validation.jsonl": {"step": 4},
    "events.jsonl": {"step": 1},
    "growth.jsonl": {"folder": 3},
    "episodes.jsonl": {},
}


@pytest.mark.parametrize(
    ("line", "others"),
    [
        ({"step": 1}, OTHERS),  # each file has a reader of its own
        ({"reward": 1.0}, {}),
        ({"step": "1"}, {}),
        ({**REPORT, "node_entropy": 3}, {}),
        ({**REPORT, "truncated": []}, {}),
        ({**REPORT, "favourite": {"answer": 3}}, {}),
    ],
)
def test_lines_that_no_run_writes_are_lost_lines(halves, half, line, others):
    wrong = {"metrics.jsonl": line, **others}
    for name, one in wrong.items():
        path = half.path / name
        rows = path.read_text().splitlines() if path.exists() else []
        rows[1:2] = [json.dumps(one)]
        path.write_text("\n".join(rows) + "\n")
    watch = Stop()
    assert resume(half.path, watch).finished
    for name, one in wrong.items():
        assert one not in list(half.lines(name)), name
    assert "metrics.jsonl has lost the lines of 1 steps" in watch.told
    told = {text for text in watch.told if "damaged" in text}
    assert told == {f"{name}: 1 damaged line(s) left out" for name in others}
    assert weights(half.path) == weights(halves[1])


def test_a_report_of_this_version_is_one(halves):
    """The lines above differ from it by what they are to be refused for."""
    for name in ("metrics.jsonl", "validation.jsonl", "episodes.jsonl"):
        assert all(is_line(name, row) for row in Run(halves[1]).lines(name))
    assert is_line("metrics.jsonl", REPORT)


def test_lines_deleted_while_a_run_works_stop_it(half):
    watch = at_step(None, (half.path / "metrics.jsonl").unlink)

    with pytest.raises(RunError, match=r"metrics\.jsonl was removed or changed by somebody else"):
        resume(half.path, watch)
    assert resume(half.path, Stop()).finished


def test_a_link_out_of_a_strangers_run_is_refused(half, tmp_path):
    victim = tmp_path / "victim"
    victim.write_text('{"all": "I have"}')
    for name in ("status.json", "episodes.jsonl", ".lock"):
        path = half.path / name
        kept = path.read_bytes() if path.exists() else None
        path.unlink(missing_ok=True)
        path.symlink_to(victim)
        with pytest.raises(RunError, match="leads out of"):
            resume(half.path, Stop())
        path.unlink()
        if kept is not None:
            path.write_bytes(kept)
    assert victim.read_text() == '{"all": "I have"}'


def test_a_run_that_another_process_began_is_left_alone(half, tmp_path):
    """Two starts at once: who comes second finds the first at work, whatever it has written by then."""
    path = tmp_path / "new"
    path.mkdir()
    with Run(path).lock(), pytest.raises(RunError, match="another process"):
        start(make_config(small()), path, Stop())
    with Run(half.path).lock(), pytest.raises(RunError, match="another process"):
        resume(half.path, Stop())


@pytest.mark.parametrize("place", ["run", "checkpoint"])
def test_asking_while_training_removes_checkpoints(half, monkeypatch, place):
    """The checkpoint is dropped between the reading of its manifest and that of its tensors."""
    oldest, real = half.checkpoints()[0], saving.load_adapters

    def load(*args):
        half.prune(1, ())
        real(*args)

    monkeypatch.setattr(saving, "load_adapters", load)
    if place == "run":
        half.write("status.json", {**half.read("status.json"), "best": 0})
    saving.load_bundle(half.path if place == "run" else oldest)
    assert oldest.is_dir()
    half.prune(1, ())
    assert not oldest.exists()


@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGTERM])
def test_a_request_to_end_saves_the_step(half, kind):
    watch = at_step(None, lambda: os.kill(os.getpid(), kind))

    before = signal.getsignal(kind)
    run = resume(half.path, watch)
    assert signal.getsignal(kind) is before
    assert not run.finished
    assert run.checkpoints()[-1].name == "step-000005"


# -- inputs


@pytest.fixture
def data(tmp_path):
    """A data file, a topology, and a configuration of a growing run over both."""
    rows = [{"question": f"how many is {i}?", "answer": str(i)} for i in range(60)]
    path, shape = tmp_path / "data.jsonl", tmp_path / "second.json"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    shape.write_text('{"edges": [["a", "c"], ["b", "c"]]}')
    config = small(
        task={"name": "file", "options": {"path": str(path)}},
        growth={"stages": [["1", 1], [str(shape), 1]]},
        network={"topology": "1"},
        train={"steps": 2},
        evaluate={"test": 2, "validation": 2},
    )
    return path, shape, make_config(config)


def test_every_file_a_run_reads_is_known(data):
    path, shape, config = data
    assert set(digests(config)) == {str(path), str(shape)}
    assert digests(make_config(small())) == {}
    hub = small(task={"name": "hub", "options": {"train": str(path), "test": "test"}})
    assert set(digests(make_config(hub))) == {str(path)}


@pytest.mark.parametrize("which", ["data", "topology", "gone"])
def test_a_changed_input_is_refused_by_name(data, tmp_path, which):
    path, shape, config = data
    run = stopped(config, tmp_path / "run", 0)
    assert set(run.read("run.json")["inputs"]) == {str(path), str(shape)}
    file = shape if which == "topology" else path
    was = file.read_text()
    file.unlink() if which == "gone" else file.write_text(was.replace("b", "d").replace("7", "8"))
    before = {p: p.read_bytes() for p in run.path.rglob("*") if p.is_file()}
    with pytest.raises(RunError, match=file.name) as caught:
        resume(run.path, Stop())
    assert len(str(caught.value).splitlines()) == 1
    assert before == {p: p.read_bytes() for p in run.path.rglob("*") if p.is_file()}
    file.write_text(was)
    assert resume(run.path, Stop()).finished


def test_runs_of_older_versions_kept_no_digests(data, tmp_path):
    path, _, config = data
    run = stopped(config, tmp_path / "run", 0)
    facts = run.read("run.json")
    del facts["inputs"]
    run.write("run.json", facts)
    path.write_text(path.read_text().replace("7", "8"))
    assert resume(run.path, Stop()).finished
    check_unchanged(run.path, {"inputs": "nonsense"})


def test_a_strangers_repository_runs_nothing(tmp_path, monkeypatch):
    """A package installed into a checkout whose configuration names a program to run at every look."""
    import subprocess

    spy = tmp_path / "spy"
    spy.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
    spy.chmod(0o755)
    home = tmp_path / "repository"
    home.mkdir()
    (home / "provenance.py").write_text("")
    git = ["git", "-C", str(home), "-c", "user.name=a", "-c", "user.email=a@b"]
    for words in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "theirs"]):
        subprocess.run([*git, *words], check=True)
    subprocess.run([*git, "config", "core.fsmonitor", str(spy)], check=True)
    subprocess.run([*git, "status"], check=True, capture_output=True)
    assert (tmp_path / "ran").exists(), "git itself would run it"
    (tmp_path / "ran").unlink()
    monkeypatch.setattr(provenance, "__file__", str(home / "provenance.py"))
    assert provenance.about()["commit"]
    assert not (tmp_path / "ran").exists()
