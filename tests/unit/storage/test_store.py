"""The run directory: whole files, whole lines, whole folders, whatever fails on the way."""

from __future__ import annotations

import contextlib
import errno
import json
import os
from pathlib import Path

import pytest

from neuromas.core.errors import RunError
from neuromas.storage import MANIFEST, Run, disk, read_json, reading, replace_folder, write_atomic


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
    monkeypatch.setattr(disk.os, failing, full_disk)
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

    monkeypatch.setattr(disk.os, "replace", stop)
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


def test_damaged_lines_are_left_out_and_counted(run):
    """Those behind them are still read: a run would lose all that it wrote since."""
    text = '{"step": 0}\n{"step": 1\n[2]\n{"step": 3}\n\0\0\0\n{"step": 5}\n{"st'
    (run.path / "events.jsonl").write_text(text)
    assert [row["step"] for row in run.lines("events.jsonl")] == [0, 3, 5]
    assert run.damaged_lines("events.jsonl") == 3, "a last one without an end is no damage, but a kill"
    assert run.damaged_lines("none.jsonl") == 0


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


def test_what_a_killed_evaluation_left_goes_with_the_next_of_its_name(run):
    run.write_evaluation("other", {"accuracy": 0.5}, [])
    folder = run.path / "evaluations"
    for name in (".vote-2.json-dfbb5b29", ".vote-2.jsonl-00000000", ".vote-2.prompts.jsonl-0123abcd"):
        (folder / name).write_text("half")
    (folder / ".other.json-dfbb5b29").write_text("another process writes this one")
    run.keep_evaluation("vote-2", {"accuracy": 0.5}, [{"id": "a"}])
    left = {path.name for path in folder.iterdir() if path.name.startswith(".")}
    assert left == {".other.json-dfbb5b29"}


@pytest.mark.parametrize("writes", range(8))
def test_an_evaluation_killed_anywhere_is_the_old_one_the_new_one_or_none(run, writes, monkeypatch):
    """Never a summary of one writing beside the items of another."""
    run.write_evaluation("test", {"of": 1}, [{"id": "a", "of": 1}], {"a": ["1"]})
    real, left = {name: getattr(os, name) for name in ("replace", "unlink", "fsync")}, [writes]

    def dying(name):
        def call(*args, **options):
            if left[0] == 0:
                os._exit(9)
            left[0] -= 1
            return real[name](*args, **options)

        return call

    child = os.fork()
    if child == 0:
        for name in real:
            monkeypatch.setattr(os, name, dying(name))
        run.write_evaluation("test", {"of": 2}, [{"id": "a", "of": 2}], {"a": ["2"]})
        os._exit(0)
    os.waitpid(child, 0)
    if (run.path / "evaluations/test.json").exists():
        summary, items = run.evaluation("test")
        assert items == [{"id": "a", "of": summary["of"]}]
        assert run.prompts("test") == {"a": [str(summary["of"])]}
    run.write_evaluation("test", {"of": 3}, [{"id": "a", "of": 3}])
    assert run.evaluation("test") == ({"of": 3}, [{"id": "a", "of": 3}])
    assert not [path for path in (run.path / "evaluations").iterdir() if path.name.startswith(".")]


def test_a_full_disk_keeps_the_old_evaluation(run, monkeypatch):
    run.write_evaluation("test", {"of": 1}, [{"id": "a", "of": 1}])

    def full(handle):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(RunError, match="No space left"):
        run.write_evaluation("test", {"of": 2}, [{"id": "a", "of": 2}])
    assert run.evaluation("test") == ({"of": 1}, [{"id": "a", "of": 1}])


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


def test_what_a_kill_left_inside_a_checkpoint_is_removed(run):
    folder = run.path / "checkpoints" / "step-000005"
    folder.mkdir(parents=True)
    (folder / ".network.json-727ab0ac").write_text("{")
    (folder / "network.json").write_text("{}")
    with run.lock():
        assert [path.name for path in folder.iterdir()] == ["network.json"]


def test_what_a_killed_process_left_behind_is_removed(run):
    left = run.path / "checkpoints" / ".step-000003-abcd1234"
    left.mkdir()
    (left / "half").write_text("x")
    with run.lock():
        assert not left.exists()


def test_files_are_json_for_everybody(run):
    assert json.loads((run.path / "config.json").read_text("utf-8")) == {"seed": 1}
    assert (run.path / "config.json").stat().st_mode & 0o777 == 0o644


# -- from here: what a kill, a full disk, or another hand may do at any moment


class Order:
    """File operations of the process in their order: flushes, renames."""

    def __init__(self, monkeypatch) -> None:
        self.seen: list[tuple[str, str]] = []
        fsync, replace, rename = os.fsync, os.replace, Path.rename

        def flush(handle):
            self.seen.append(("fsync", os.path.basename(os.readlink(f"/proc/self/fd/{handle}"))))
            fsync(handle)

        def moved(source, target):
            self.seen.append(("rename", os.path.basename(target)))
            replace(source, target)

        def renamed(source, target):
            self.seen.append(("rename", os.path.basename(target)))
            return rename(source, target)

        monkeypatch.setattr(os, "fsync", flush)
        monkeypatch.setattr(os, "replace", moved)
        monkeypatch.setattr(Path, "rename", renamed)


linux = pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="reads /proc")


@linux
def test_a_file_is_flushed_before_its_rename_and_its_folder_after(run, monkeypatch):
    order = Order(monkeypatch)
    run.write("status.json", {})
    (first, work), rename, last = order.seen
    assert first == "fsync"
    assert work.startswith(".status.json-")
    assert (rename, last) == (("rename", "status.json"), ("fsync", "run"))


@linux
def test_a_checkpoint_is_flushed_with_every_file_and_the_lines_before_it(run, monkeypatch):
    run.append("metrics.jsonl", [{"step": 0}])

    def fill(folder):
        (folder / "adapters").mkdir()
        (folder / "adapters" / "weights").write_text("x")
        (folder / MANIFEST).write_text("{}")

    order = Order(monkeypatch)
    run.save_checkpoint(1, fill)
    at = order.seen.index(("rename", "step-000001"))
    flushed = [name for what, name in order.seen[:at] if what == "fsync"]
    assert {"metrics.jsonl", "weights", "adapters", MANIFEST} <= set(flushed)
    assert flushed[-1].startswith(".step-000001-"), "the folder's own list of names comes last"
    assert ("fsync", "checkpoints") in order.seen[at:]


def test_no_moment_of_a_replacement_loses_the_only_copy(run, monkeypatch):
    """At every rename the process is gone; the next lock finds the old network or the new one, whole."""
    target = checkpoint(run, 1)
    (target / "which").write_text("old")
    rename, left = Path.rename, 0

    def killed(source, goal):
        nonlocal left
        left -= 1
        if left < 0:
            raise SystemExit
        return rename(source, goal)

    def fill(folder):
        (folder / MANIFEST).write_text("{}")
        (folder / "which").write_text("new")

    found = []
    for n in range(3):
        left = n
        monkeypatch.setattr(Path, "rename", killed)
        monkeypatch.setattr(disk.shutil, "rmtree", lambda *a, **k: None)  # nothing of ours runs after a kill
        with contextlib.suppress(SystemExit):
            run.save_checkpoint(1, fill)
        monkeypatch.undo()
        with run.lock():
            assert names(run.path / "checkpoints") == ["step-000001"]
        found.append((target / "which").read_text())
    assert found == ["old", "old", "new"]


WHOLE = {".lock", "checkpoints", "config.json", "evaluations", "run.json"}
BEGINNINGS = [
    [],
    [".lock"],
    [".lock", "checkpoints/"],
    [".lock", "checkpoints/", "evaluations/", ".run.json-0a1b2c3d"],
    [".lock", "checkpoints/", "evaluations/", "run.json"],
    [".lock", "checkpoints/", "evaluations/", "run.json", ".config.json-xyz_12ab"],
    ["checkpoints/", "evaluations/", "run.json"],  # as 0.1.0 left it, without a lock
]


def made(folder: Path, entries: list[str]) -> Path:
    folder.mkdir()
    for entry in entries:
        path = folder / entry
        path.mkdir() if entry.endswith("/") else path.write_text("{")
    return folder


@pytest.mark.parametrize("entries", BEGINNINGS, ids=len)
def test_what_a_kill_left_of_a_creation_is_taken_over(tmp_path, entries):
    path = made(tmp_path / "run", entries)
    Run.create(path, {"seed": 2}, {})
    assert Run.open(path).read("config.json") == {"seed": 2}
    assert {*names(path), ".lock"} == WHOLE


@pytest.mark.parametrize(
    "entries",
    [
        ["checkpoints/", "checkpoints/mine"],
        ["run.json"],
        ["evaluations"],
        [".lock", "checkpoints/", "evaluations/", "run.json", "thesis.tex"],
        [".git/"],
    ],
)
def test_what_is_no_creation_is_left_alone(tmp_path, entries):
    path = made(tmp_path / "run", entries)
    before = names(path)
    with pytest.raises(RunError, match="not empty and not a run"):
        Run.create(path, {}, {})
    assert names(path) == before


def test_a_run_is_locked_from_its_first_moment(tmp_path):
    path = tmp_path / "run"
    with Run.begin(path, {}, {}):
        with pytest.raises(RunError, match="another process"), Run(path).lock():
            raise AssertionError("two hold the lock")
        assert Run(path).busy
    assert not Run(path).busy
    (path / "config.json").unlink()
    with Run(path).lock(), pytest.raises(RunError, match="another process"):
        Run.create(path, {}, {})


def test_a_full_disk_at_any_operation_of_a_creation_can_be_tried_again(tmp_path, monkeypatch):
    real = {"open": os.open, "replace": os.replace, "fsync": os.fsync, "mkdir": os.mkdir}
    stopped = 0
    for n in range(40):
        path, left = tmp_path / f"run-{n}", n

        def fail(name):
            def act(*args, **more):
                nonlocal left
                left -= 1
                return full_disk() if left < 0 else real[name](*args, **more)

            return act

        for name in real:
            monkeypatch.setattr(os, name, fail(name))
        said = ""
        try:
            Run.create(path, {"n": n}, {})
        except RunError as error:
            said = str(error)
        monkeypatch.undo()
        if said:
            stopped += 1
            assert "No space left" in said
            assert len(said.splitlines()) == 1
            assert not path.exists(), "nothing half-written"
        if not (path / "config.json").exists():
            Run.create(path, {"n": n}, {})
        assert Run.open(path).read("config.json") == {"n": n}
        assert {*names(path), ".lock"} == WHOLE
    assert 8 < stopped < 40


def test_leftovers_of_kills_go_at_the_next_lock_and_nothing_else(run):
    litter = [
        run.path / ".status.json-0a1b2c3d",
        run.path / ".metrics.jsonl-abc_1234",
        run.path / "evaluations" / ".test-after.jsonl-0a1b2c3d",
        run.path / "checkpoints" / ".step-000002-0a1b2c3d",
    ]
    mine = [run.path / ".notes", run.path / "my-notes.json", run.path / "checkpoints" / "step-000002"]
    for path in (*litter, *mine):
        path.mkdir() if "step" in path.name else path.write_text("{")
    with run.lock():
        assert not any(path.exists() for path in litter)
        assert all(path.exists() for path in mine)


def test_pruning_never_leaves_half_a_checkpoint_in_its_place(run, monkeypatch):
    for step in range(3):
        checkpoint(run, step)
    monkeypatch.setattr(disk.shutil, "rmtree", full_disk)  # gone before it removed anything
    with pytest.raises(OSError, match="No space"):
        run.prune(1, ())
    monkeypatch.undo()
    assert [path.name for path in run.checkpoints()] == ["step-000001", "step-000002"]
    with run.lock():
        assert names(run.path / "checkpoints") == ["step-000001", "step-000002"]


def test_nothing_is_pruned_while_a_network_is_read(run):
    for step in range(3):
        checkpoint(run, step)
    for place in (run.path, run.checkpoint(0)):
        with reading(place), reading(place):
            run.prune(1, ())
            assert len(run.checkpoints()) == 3
    run.prune(1, ())
    assert len(run.checkpoints()) == 1
    with reading(run.path / "none"):
        pass


def check_all_but(*damaged: int):
    """Reads a manifest, unless the checkpoint is one of these."""

    def check(folder: Path) -> dict:
        if int(folder.name[5:]) in damaged:
            raise RunError(f"{folder.name} is damaged")
        return read_json(folder / MANIFEST)

    return check


def nothing(manifest) -> list[Path]:
    return []


def test_a_damaged_newest_checkpoint_is_set_aside_for_the_one_before(run):
    for step in (2, 4, 6):
        checkpoint(run, step)
    found, causes = run.newest_intact(check_all_but(6), nothing)
    assert found == run.checkpoint(4)
    assert causes == ["step-000006 is damaged"]
    assert names(run.path / "checkpoints") == ["damaged-step-000006", "step-000002", "step-000004"]
    assert run.newest_intact(check_all_but(6), nothing) == (found, [])


def test_a_checkpoint_that_leans_on_a_damaged_one_is_passed_over(run):
    for step, best in ((2, None), (4, 4), (6, 4)):
        run.save_checkpoint(step, lambda f, best=best: (f / MANIFEST).write_text(json.dumps({"best": best})))

    def needs(manifest):
        return [run.checkpoint(manifest["best"])] if manifest["best"] else []

    found, causes = run.newest_intact(check_all_but(4), needs)
    assert found == run.checkpoint(2)
    assert causes == ["step-000004 is damaged"] * 2


def test_where_no_checkpoint_is_intact_nothing_is_touched(run):
    assert run.newest_intact(check_all_but(), nothing) == (None, [])
    for step in (2, 4):
        checkpoint(run, step)
    with pytest.raises(RunError, match=r"no checkpoint of .* is intact; the newest: step-000004 is damaged"):
        run.newest_intact(check_all_but(2, 4), nothing)
    assert names(run.path / "checkpoints") == ["step-000002", "step-000004"]


@pytest.mark.parametrize("deed", ["unlink", "write", "swap"])
def test_lines_removed_or_changed_by_another_hand_are_noticed(run, deed):
    path = run.path / "metrics.jsonl"
    run.append("metrics.jsonl", [{"step": 0}])
    if deed == "unlink":
        path.unlink()
    elif deed == "write":
        path.write_text(path.read_text() * 2)
    else:
        (run.path / "copy").write_text(path.read_text())
        (run.path / "copy").replace(path)
    with pytest.raises(RunError, match="removed or changed by somebody else"):
        run.append("metrics.jsonl", [{"step": 1}])
    again = Run.open(run.path)
    again.keep_lines("metrics.jsonl", lambda row: True)
    again.append("metrics.jsonl", [{"step": 1}])
    assert again.missing_steps(2) == (1 if deed == "unlink" else 0)


def test_a_full_disk_leaves_no_half_line(run, monkeypatch):
    run.append("metrics.jsonl", [{"step": 0}])
    write = os.write
    monkeypatch.setattr(os, "write", lambda h, data: write(h, data[:5]) if len(data) > 9 else full_disk())
    with pytest.raises(RunError, match="No space left"):
        run.append("metrics.jsonl", [{"step": 1}])
    monkeypatch.undo()
    run.append("metrics.jsonl", [{"step": 1}])
    assert (run.path / "metrics.jsonl").read_text() == '{"step": 0}\n{"step": 1}\n'


@pytest.mark.parametrize("name", [".lock", "metrics.jsonl", "checkpoints", "evaluations/test-after.json"])
def test_a_strangers_link_out_of_a_run_is_refused_before_anything_is_written(run, tmp_path, name):
    victim = tmp_path / "victim"
    victim.mkdir() if name == "checkpoints" else victim.write_text("all I have")
    place = run.path / name
    if place.is_dir():
        place.rmdir()
    place.unlink(missing_ok=True)
    place.symlink_to(victim)
    for act in (lambda: run.lock().__enter__(), lambda: run.write_evaluation("x", {}, [])):
        with pytest.raises(RunError, match=r"is a link that leads out of .*; nothing was written"):
            act()
    assert victim.is_dir() or victim.read_text() == "all I have"


def test_links_within_a_run_are_its_own_business(run):
    checkpoint(run, 1)
    (run.path / "latest").symlink_to("checkpoints/step-000001")
    with run.lock():
        pass


def test_a_pipe_in_a_run_does_not_hang(run):
    os.mkfifo(run.path / "metrics.jsonl")
    with pytest.raises(RunError, match="neither a file nor a folder"), run.lock():
        raise AssertionError("locked")


@pytest.mark.parametrize("mask", [0o000, 0o022, 0o077, 0o027])
def test_modes_are_those_the_umask_gives(tmp_path, mask):
    def fill(folder):
        (folder / MANIFEST).write_text("{}")
        (folder / MANIFEST).chmod(0o600)  # as libraries do

    before = os.umask(mask)
    try:
        run = Run.create(tmp_path / "run", {}, {})
        run.append("metrics.jsonl", [{"step": 0}])
        run.write_evaluation("x", {}, [])
        run.save_checkpoint(1, fill)
    finally:
        os.umask(before)
    for path in run.path.rglob("*"):
        assert path.stat().st_mode & 0o777 == (0o777 if path.is_dir() else 0o666) & ~mask, path
