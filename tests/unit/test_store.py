"""The run directory: whole files, whole lines, whole folders, whatever fails on the way."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import pytest

from neuromas import store
from neuromas.errors import RunError
from neuromas.store import MANIFEST, Run, read_json, replace_folder, write_atomic


@pytest.fixture
def run(tmp_path) -> Run:
    return Run.create(tmp_path / "run", {"seed": 1}, {"commit": None})


def full_disk(*args, **kwargs):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def checkpoint(run: Run, step: int) -> Path:
    return run.save_checkpoint(step, lambda folder: (folder / MANIFEST).write_text("{}"))


def test_a_new_run_and_back(run):
    assert Run.open(run.path).read("config.json") == {"seed": 1}
    assert not run.finished
    run.write("status.json", {"finished": True})
    assert run.finished


def test_a_directory_in_use_is_refused(run, tmp_path):
    with pytest.raises(RunError, match="already holds a run; resume it with --resume"):
        Run.create(run.path, {}, {})
    other = tmp_path / "other"
    other.mkdir()
    (other / "thesis.tex").write_text("all I have")
    with pytest.raises(RunError, match="not empty and not a run"):
        Run.create(other, {}, {})
    with pytest.raises(RunError, match="cannot write"):
        Run.create(other / "thesis.tex", {}, {})
    assert names(other) == ["thesis.tex"]


def test_a_directory_without_a_run(tmp_path):
    with pytest.raises(RunError, match="does not exist"):
        Run.open(tmp_path / "none")
    with pytest.raises(RunError, match="holds no run"):
        Run.open(tmp_path)


@pytest.mark.parametrize("failing", ["replace", "fsync"])
def test_a_failed_write_keeps_the_old_file_and_leaves_no_litter(run, monkeypatch, failing):
    before = names(run.path)
    monkeypatch.setattr(store.os, failing, full_disk)
    with pytest.raises(RunError, match=r"No space left.*nothing written earlier is lost") as caught:
        run.write("config.json", {"seed": 2})
    assert len(str(caught.value).splitlines()) == 1
    monkeypatch.undo()
    assert run.read("config.json") == {"seed": 1}
    assert names(run.path) == before


def test_an_interrupted_write_keeps_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "a.json"
    write_atomic(path, "old")

    def stop(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(store.os, "replace", stop)
    with pytest.raises(KeyboardInterrupt):
        write_atomic(path, "new")
    assert path.read_text() == "old"
    assert names(tmp_path) == ["a.json"]


def test_a_torn_last_line_is_left_out(run):
    run.append("metrics.jsonl", [{"step": 0}, {"step": 1}])
    with (run.path / "metrics.jsonl").open("ab") as stream:
        stream.write('{"step": 2, "text": "Grü'.encode()[:-1])  # in the middle of a letter
    assert [row["step"] for row in run.lines("metrics.jsonl")] == [0, 1]
    run.keep_lines("metrics.jsonl", lambda row: row["step"] < 5)
    run.append("metrics.jsonl", [{"step": 2}])
    assert [row["step"] for row in run.lines("metrics.jsonl")] == [0, 1, 2]
    assert list(run.lines("none.jsonl")) == []


def test_no_character_breaks_a_line(run):
    nasty = "a\u2028b\u2029c\x85d\x0be\x1cf\r\ng\ud800h\x00"
    run.append("episodes.jsonl", [{"text": nasty}, {"text": "next"}])
    assert [row["text"] for row in run.lines("episodes.jsonl")] == [nasty, "next"]
    run.keep_lines("episodes.jsonl", lambda row: True)
    assert [row["text"] for row in run.lines("episodes.jsonl")] == [nasty, "next"]
    run.write_evaluation("x", {"label": nasty}, [{"text": nasty}])
    assert run.evaluation("x") == ({"label": nasty}, [{"text": nasty}])


def test_lines_to_keep(run):
    run.append("metrics.jsonl", [{"step": step} for step in range(5)])
    run.keep_lines("metrics.jsonl", lambda row: row["step"] < 3)
    assert [row["step"] for row in run.lines("metrics.jsonl")] == [0, 1, 2]
    run.keep_lines("none.jsonl", lambda row: True)
    assert not (run.path / "none.jsonl").exists()


def test_evaluations_by_name(run):
    run.write_evaluation("test-after", {"accuracy": 0.5}, [{"id": "a"}])
    assert run.evaluation("test-after") == ({"accuracy": 0.5}, [{"id": "a"}])
    for name in ("test-aftr", "../config", ""):
        with pytest.raises(RunError, match=r"unknown evaluation.*test-after"):
            run.evaluation(name)


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"\xff", b"[" * 100_000])
def test_damaged_json_is_one_line(tmp_path, content):
    path = tmp_path / "status.json"
    path.write_bytes(content)
    with pytest.raises(RunError, match=r"status\.json is damaged") as caught:
        read_json(path)
    assert len(str(caught.value).splitlines()) == 1


def test_missing_json_is_one_line(tmp_path):
    with pytest.raises(RunError, match="No such file"):
        read_json(tmp_path / "none.json")


def test_checkpoints_are_complete_and_in_the_order_of_their_steps(run):
    for step in (10, 2, 1_000_000, 999_999):
        checkpoint(run, step)
    (run.path / "checkpoints" / "step-000011").mkdir()  # without a manifest: not a checkpoint
    (run.path / "checkpoints" / "step-old").mkdir()
    (run.path / "checkpoints" / "step-old" / MANIFEST).write_text("{}")
    steps = [int(path.name[5:]) for path in run.checkpoints()]
    assert steps == [2, 10, 999_999, 1_000_000]


def test_pruning_keeps_the_newest_and_the_best(run):
    for step in range(6):
        checkpoint(run, step)
    run.prune(2, {1})
    assert [path.name for path in run.checkpoints()] == ["step-000001", "step-000004", "step-000005"]
    run.prune(1, ())
    assert [path.name for path in run.checkpoints()] == ["step-000005"]


def test_a_checkpoint_that_cannot_be_written_leaves_nothing(run):
    checkpoint(run, 1)

    def fill(folder):
        (folder / "half").write_text("x")
        full_disk()

    with pytest.raises(RunError, match="No space left"):
        run.save_checkpoint(2, fill)
    assert names(run.path / "checkpoints") == ["step-000001"]


def test_a_folder_is_replaced_as_a_whole_or_not_at_all(tmp_path, monkeypatch):
    target = tmp_path / "network"
    replace_folder(target, lambda folder: (folder / "a").write_text("old"))
    assert target.stat().st_mode & 0o777 == 0o755
    rename = Path.rename

    def refuse(self, goal):
        if goal == target and self.name.startswith(".network-"):
            full_disk()
        return rename(self, goal)

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(OSError, match="No space"):
        replace_folder(target, lambda folder: (folder / "a").write_text("new"))
    assert (target / "a").read_text() == "old"
    monkeypatch.undo()
    replace_folder(target, lambda folder: (folder / "b").write_text("new"))
    assert names(target) == ["b"]
    assert names(tmp_path) == ["network"]


def test_one_process_at_a_time_works_on_a_run(run):
    other = Run.open(run.path)
    with run.lock(), pytest.raises(RunError, match="another process"), other.lock():
        raise AssertionError("two hold the lock")
    with other.lock():
        pass


def test_what_a_killed_process_left_behind_is_removed(run):
    left = run.path / "checkpoints" / ".step-000003-abc"
    left.mkdir()
    (left / "half").write_text("x")
    with run.lock():
        assert not left.exists()


def test_files_are_json_for_everybody(run):
    assert json.loads((run.path / "config.json").read_text("utf-8")) == {"seed": 1}
    assert (run.path / "config.json").stat().st_mode & 0o777 == 0o644
