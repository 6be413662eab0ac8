"""``neuromas figure``: what is written, what is refused in one line, and what it loads."""

from __future__ import annotations

import csv
import errno
import os
import re
import subprocess
import sys

import pytest

from neuromas.cli import main
from neuromas.config import Config
from neuromas.storage import Run


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A run that made two steps and was never tested, in the working directory."""
    monkeypatch.chdir(tmp_path)
    found = Run.create(tmp_path / "run", Config().model_dump(mode="json"), {})
    found.append("metrics.jsonl", [{"step": step, "reward": 0.5, "entropy": 1.0} for step in range(2)])
    return found


def said(capsys, *words):
    status = main(["figure", *words])
    out, err = capsys.readouterr()
    return status, out, err


def test_a_figure_and_its_numbers_are_written(run, tmp_path, capsys):
    words = (
        "run",
        "--kind",
        "curves",
        "--out",
        "a.svg",
        "--data",
        "a.csv",
        "--title",
        "<b>",
        "--width",
        "200",
    )
    assert said(capsys, *words) == (0, "wrote a.svg\nwrote a.csv\n", "")
    assert "&lt;b&gt;" in (tmp_path / "a.svg").read_text("utf-8")
    rows = list(csv.DictReader((tmp_path / "a.csv").read_text("utf-8").splitlines()))
    assert [(row["what"], row["step"], row["value"]) for row in rows] == [
        ("reward", "1.0", "0.5"),
        ("reward", "2.0", "0.5"),
    ]
    for file, begin in (("a.PNG", b"\x89PNG"), ("a.pdf", b"%PDF")):
        assert said(capsys, "run", "--kind", "curves", "--out", file, "--dark")[0] == 0
        assert (tmp_path / file).read_bytes().startswith(begin)
    assert said(capsys, "run", "--kind", "topology", "--out", "t.png", "--scale", "1")[0] == 0
    assert said(capsys, "run", "--kind", "topology", "--out", "t.svg")[0] == 0
    assert (tmp_path / "t.svg").read_text("utf-8").startswith("<svg")


def test_without_a_kind_those_that_fit_are_listed(run, capsys):
    status, out, _ = said(capsys, "run")
    assert status == 0
    assert [line.split()[0] for line in out.splitlines()[:3]] == ["curves", "topology", "health"]
    assert "not growth: " in out
    assert "depth" not in out, "what is of experiments"


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (
            "run --kind curve --out a.svg",
            "unknown --kind 'curve'; did you mean 'curves'? (valid: curves, topology,",
        ),
        ("run --out a.svg", "--kind is missing (valid: curves, topology,"),
        ("run --kind curves", "--out is missing: name a file that ends in .svg, .png or .pdf"),
        ("run --kind curves --out a.gif", "--out 'a.gif': unknown ending '.gif'"),
        ("run --kind curves --out a", "--out 'a': unknown ending ''"),
        ("run --kind curves --out none/a.svg", "--out 'none/a.svg': the folder 'none' does not exist"),
        ("run --kind curves --out run", "--out 'run': unknown ending ''"),
        ("run --kind curves --data a.txt", "--data 'a.txt': the numbers are written as CSV"),
        ("run --kind topology --data a.csv", "--data: the figure 'topology' has no numbers behind it"),
        ("run --kind topology --out a.svg --title x", "the figure 'topology' has no room for --title"),
        ("run --kind topology --out a.svg --width 200", "has the size of its network"),
        ("run --kind topology --out a.png --dark", "a topology is drawn on light ground"),
        ("run --kind curves --out a.svg --scale 2", "--scale goes with .png"),
        ("run --kind curves --out a.svg --dark", "--dark goes with .png or .pdf"),
        ("run --kind growth --out a.svg", "was tested after one stage alone"),
        ("run --kind labels --out a.svg", "has no evaluation on test questions"),
        ("run --kind depth --out a.svg", "the figure 'depth' is of an experiment, and 'run' is none"),
        ("none --kind curves --out a.svg", "'none' does not exist (a run has config.json"),
        (". --kind curves --out a.svg", "'.' is neither a run nor an experiment"),
        ("run run --kind topology --out a.svg", "is of one run, not of 2"),
        ("run --kind health --out a.png --width 4000 --height 4000 --scale 10", "pixels is too large"),
    ],
)
def test_what_cannot_be_drawn_is_one_line_and_nothing_is_written(run, tmp_path, capsys, words, line):
    status, out, err = said(capsys, *words.split())
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert line in err
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


@pytest.mark.parametrize("words", ["--width 99", "--height 4001", "--width x", "--scale 0.1", "--scale nan"])
def test_sizes_have_bounds(run, capsys, words):
    with pytest.raises(SystemExit):
        main(["figure", "run", "--kind", "curves", "--out", "a.png", *words.split()])
    assert capsys.readouterr().err.count("\n") == 1


def test_a_full_disk_is_one_line_and_leaves_what_was_there(run, tmp_path, capsys, monkeypatch):
    (tmp_path / "a.svg").write_text("before")

    def full(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    status, _, err = said(capsys, "run", "--kind", "topology", "--out", "a.svg")
    assert (status, err.count("\n")) == (2, 1)
    assert "cannot write a.svg: No space left on device" in err
    assert (tmp_path / "a.svg").read_text() == "before"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.svg", "run"]


def test_it_needs_no_torch_and_what_only_looks_no_charts(run):
    """Nothing but a drawing loads what draws; a page as text and the list of runs do without."""
    code = """
import sys
from neuromas.cli import main
main(["runs", "."])
from neuromas.report.pages.experiment import experiment_page
from neuromas.report.writers import WRITERS
print(WRITERS["text"](experiment_page({"points": [], "comparisons": [], "items": {}}, "x")))
early = {"altair", "vl_convert", "torch"} & set(sys.modules)
status = main(["figure", "run", "--kind", "health", "--out", "a.svg"])
print("FOUND", status, sorted(early), sorted({"torch", "altair", "vl_convert", "pandas"} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert re.search(r"FOUND 0 \[\] \['altair', 'vl_convert'\]", done.stdout), done.stdout
