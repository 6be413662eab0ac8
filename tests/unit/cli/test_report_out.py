"""``neuromas report`` writes its page where it may, and takes the place of nothing else."""

from __future__ import annotations

import json
import os
import socket

import pytest

from neuromas.cli import main


@pytest.fixture
def run(tmp_path):
    """As little as is a run."""
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"seed": 0, "task": {"name": "max"}}), "utf-8")
    (folder / "metrics.jsonl").write_text('{"step": 0, "reward": 0.5}\n', "utf-8")
    return folder


def kept(folder):
    """All files but the page, with their bytes."""
    return {
        file: file.read_bytes() for file in folder.rglob("*") if file.is_file() and file.suffix != ".html"
    }


def refused(capsys, *words):
    capsys.readouterr()
    assert main([str(word) for word in words]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("neuromas: ")
    assert err.count("\n") == 1
    return err


@pytest.mark.parametrize("name", ["metrics.jsonl", "config.json", "status.json", "evaluations.json"])
def test_no_file_of_a_run_is_written_over_or_made_up(run, capsys, name):
    before = kept(run)
    assert "ends in .html" in refused(capsys, "report", run, "--out", run / name)
    assert kept(run) == before


def test_only_a_page_gives_way_to_a_page(run, tmp_path, capsys):
    notes = tmp_path / "notes.txt"
    notes.write_text("mine", "utf-8")
    assert "no HTML page" in refused(capsys, "report", run, "--out", notes)
    assert notes.read_text("utf-8") == "mine"
    assert main(["report", str(run)]) == main(["report", str(run)]) == 0
    notes.write_text("", "utf-8")  # a name that was reserved, as mktemp does
    assert main(["report", str(run), "--out", str(notes)]) == 0
    assert notes.read_text("utf-8").startswith("<!doctype html>")


def test_a_pipe_or_a_socket_keeps_its_place(run, tmp_path, capsys):
    """What holds for these holds for devices: none is renamed over, which root could do."""
    pipe, plug, link = tmp_path / "pipe.html", tmp_path / "plug.html", tmp_path / "link.html"
    os.mkfifo(pipe)
    link.symlink_to(pipe)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(plug))
        for target in (pipe, plug, link):
            assert "no ordinary file" in refused(capsys, "report", run, "--out", target)
    assert pipe.is_fifo()
    assert plug.is_socket()
    assert link.is_symlink()


def test_a_link_is_replaced_and_what_it_names_is_not(run, tmp_path):
    page = tmp_path / "old.html"
    page.write_text("<!doctype html>old", "utf-8")
    (run / "report.html").symlink_to(page)
    assert main(["report", str(run)]) == 0
    assert page.read_text("utf-8") == "<!doctype html>old"
    assert not (run / "report.html").is_symlink()


def test_a_full_disk_leaves_the_earlier_page(run, capsys, monkeypatch):
    assert main(["report", str(run)]) == 0
    earlier = (run / "report.html").read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    assert "No space left" in refused(capsys, "report", run)
    assert (run / "report.html").read_bytes() == earlier
    assert [file.name for file in run.iterdir() if file.name.startswith(".report")] == []


def test_files_that_vanish_while_they_are_read_are_missing_and_no_more(run, monkeypatch):
    from neuromas.storage import Run

    read = Run.lines

    def vanish(self, name):
        if name == "metrics.jsonl":
            (run / name).unlink()
        return read(self, name)

    monkeypatch.setattr(Run, "lines", vanish)
    assert main(["report", str(run)]) == 0
    assert "<h1>" in (run / "report.html").read_text("utf-8")


def test_ctrl_c_while_the_page_is_written_leaves_nothing_half(run, capsys, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupted)
    assert main(["report", str(run)]) == 130
    assert sorted(file.name for file in run.iterdir() if "report" in file.name) == []
