"""A network outlives its data; runs and evaluations are named by what they are of, none is overwritten."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from neuromas.cli import main
from neuromas.storage import Run

SMALL = [
    *("model.backbone=tiny", "model.dtype=float32", "train.steps=1", "train.problems=1", "train.samples=2"),
    *("evaluate.test=2", "evaluate.validation=1", "evaluate.every=0"),
    *("network.message_tokens=2", "network.answer_tokens=2", "task.name=file", "task.options.path=data.csv"),
]
NAME = "runs/file-data-2-1-tiny-seed0"
QUESTION = "What is 3 plus 1?"


def write(path, add):
    rows = [f"What is {i} plus {add}?,{i + add}" for i in range(60)]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(["question,answer", *rows]) + "\n")
    return path


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run on a file that is gone, under its default name."""
    folder = tmp_path_factory.mktemp("gone")
    write(folder / "data.csv", 1)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert main(["train", *SMALL]) == 0
    (folder / "data.csv").unlink()
    return folder / NAME


@pytest.fixture
def run(trained, tmp_path, monkeypatch):
    """A copy of it, seen from another folder."""
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    return shutil.copytree(trained, tmp_path / "run")


def names(run):
    return sorted(path.stem for path in (run / "evaluations").glob("*.json") if "test-after" not in path.stem)


def test_a_network_answers_without_its_data(cli, run):
    for words in (["ask", run, QUESTION], ["ask", run, QUESTION, "--trace"], ["lineage", run]):
        status, out, err = cli(*words)
        assert (status, err) == (0, ""), err
        assert out
    assert cli("prune", run, "--node", "1.1", "--out", "smaller")[0] == 0
    assert cli("ask", "smaller", QUESTION)[0] == 0, "from a network folder"


def test_evaluating_says_what_is_missing(cli, run):
    status, out, err = cli("evaluate", run, "--items", "2")
    assert (status, out) == (2, "")
    assert len(err.splitlines()) == 1
    assert "data.csv: cannot be read" in err
    assert "or name others with --task" in err
    assert names(run) == ["test-before"]


def test_evaluations_of_two_files_of_one_name_are_both_kept(cli, run, tmp_path):
    files = [write(tmp_path / folder / "plus.csv", add) for folder, add in (("one", 1), ("two", 2))]
    for file in files:
        for _ in range(2):  # the second time it takes its own place
            assert cli("evaluate", run, "--items", "2", "--task", "file", f"path={file}")[0] == 0
    kept = [name for name in names(run) if name != "test-before"]
    assert len(kept) == 2
    assert all(re.fullmatch(r"file-plus-[0-9a-f]{8}-test-2-none", name) for name in kept)
    found = [Run(run).evaluation(name)[0]["data"] for name in kept]
    assert {one["options"]["path"] for one in found} == set(map(str, files))
    assert {one["task"] for one in found} == {"file"}


def test_a_name_that_is_taken_by_other_data_is_not_overwritten(cli, run, tmp_path):
    for add in (1, 2, 2):
        file = write(tmp_path / "same.csv", add)
        words = ["evaluate", run, "--items", "2", "--task", "file", f"path={file}", "--name", "mine"]
        status, out, _ = cli(*words)
        assert status == 0
    other = [name for name in names(run) if name.startswith("mine-")]
    assert "('mine' is of other data or another checkpoint)" in out
    assert len(other) == 1, "the third is the second again"
    assert len({Run(run).evaluation(name)[0]["data"]["digest"] for name in ("mine", *other)}) == 2


def test_data_that_changed_under_the_own_task_are_other_data(cli, run):
    for add in (1, 2):
        write(Path("data.csv"), add)
        assert cli("evaluate", run, "--items", "2")[0] == 0
    assert len([name for name in names(run) if name.startswith("test-2-none")]) == 2


def test_evaluations_of_different_data_are_not_compared(cli, run, tmp_path):
    for add in (1, 2):
        file = write(tmp_path / f"plus{add}.csv", add)
        words = ["evaluate", run, "--items", "2", "--task", "file", f"path={file}", "--name", f"p{add}"]
        assert cli(*words)[0] == 0
    status, out, err = cli("compare", f"{run}:p1", f"{run}:p2")
    assert (status, out) == (2, "")
    assert len(err.splitlines()) == 1
    assert "plus1.csv" in err
    assert "plus2.csv" in err
    assert "have no items in common" in err
    lines = (run / "evaluations" / "p1.jsonl").read_text().splitlines()
    wrong = [json.dumps(json.loads(line) | {"gold": "0"}) for line in lines]
    Run(run).write_evaluation("p3", {**Run(run).evaluation("p1")[0]}, map(json.loads, wrong))
    assert "different questions under the same ids" in cli("compare", f"{run}:p1", f"{run}:p3")[2]


def test_a_directory_that_is_taken_is_seen_before_torch_is_loaded(trained, tmp_path):
    words = [["train", *SMALL], ["grow", NAME, "--to", "3-1", "--steps", "1", "--run", NAME]]
    write(trained.parents[1] / "data.csv", 1)
    code = f"""
import sys
from neuromas.cli import main
for words in {words!r}:
    assert main(words) == 2
assert not {{"torch", "transformers"}} & set(sys.modules)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=trained.parents[1]
    )
    (trained.parents[1] / "data.csv").unlink()
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("already holds a run; resume it with --resume") == 2
