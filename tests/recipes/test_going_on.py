"""``train --resume RUN key=value``: a finished run is trained on, and nothing else is changed by it."""

from __future__ import annotations

import json
import sys

import pytest
from test_cli import SMALL

from neuromas.storage import Run

WORDS = [*SMALL, "run.keep=9", "run.checkpoint_every=1"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    from neuromas.cli import main

    path = tmp_path_factory.mktemp("going") / "run"
    assert main(["train", *WORDS, "--run", str(path)]) == 0
    return path


@pytest.fixture
def run(trained, tmp_path):
    import shutil

    return Run(shutil.copytree(trained, tmp_path / "run"))


def test_a_finished_run_is_trained_on_and_is_the_longer_run(cli, run, tmp_path):
    status, out, err = cli("train", "--resume", run.path, "train.steps=4")
    assert status == 0, err
    lines = err.splitlines()
    assert "goes on with train.steps = 4 (was 2)" in lines
    assert "step 3/4" in err
    assert "step 2/4" not in err
    assert "gain" in out
    assert "step 2: goes on with train.steps = 4 (was 2)" in out, "in every report from now on"
    status, _, err = cli("train", *WORDS, "train.steps=4", "--run", tmp_path / "whole")
    assert status == 0, err
    ours, theirs = (
        json.loads((path / "checkpoints" / "step-000004" / "network.json").read_text())["files"]
        for path in (run.path, tmp_path / "whole")
    )
    assert ours == theirs
    assert run.evaluation("test-after") == Run(tmp_path / "whole").evaluation("test-after")
    status, out, err = cli("compare", f"{run.path}:test-after-step-2", run.path)
    assert status == 0, err


def test_again_the_same_is_the_report(cli, run):
    status, out, err = cli("train", "--resume", run.path, "train.steps=2")
    assert (status, err) == (0, "")
    assert "gain" in out


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["train.problems=3"], "train.problems = 3, but the run was trained with 2"),
        (["train.steps=1"], "train.steps: stage 1 has had 2 steps, more than 1"),
        (["run.keep=3"], "is finished, and run.keep = 3 (was 9) gives it nothing to do"),
        (["train.stesp=3"], "did you mean 'train.steps'"),
        (["demo.toml"], "--resume takes the run's own configuration"),
        (["train.steps=3", "--run", "x"], "--resume takes the run's own configuration"),
        (["train.steps=3", "--continue"], "--resume takes the run's own configuration"),
        (["train.steps=-3"], "train.steps = -3"),
    ],
)
def test_what_does_not_go_on_is_one_line_and_changes_nothing(cli, run, words, says):
    before = {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file()}
    status, out, err = cli("train", "--resume", run.path, *words)
    assert (status, out) == (2, "")
    assert says in err
    assert len(err.splitlines()) == 1
    assert before == {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file()}


def test_continue_names_the_key_that_differs(cli, run):
    status, _, err = cli("train", *WORDS, "train.lr=0.5", "--run", run.path, "--continue")
    assert status == 2
    assert "holds a run of another configuration: train.lr = 0.001 there, 0.5 here" in err


def test_a_mistyped_key_costs_no_second(run):
    """Torch is not loaded for it."""
    import subprocess

    code = (
        "import sys; from neuromas.cli import main\n"
        f"status = main(['train', '--resume', {str(run.path)!r}, 'train.stesp=3'])\n"
        "print(status, 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["2", "False"]
