"""Cleaning a run, and recipes by name, through the real command line."""

from __future__ import annotations

import re
import shutil

import pytest

from neuromas.cli import main
from neuromas.storage import OPTIMISERS, Run

SMALL = [
    *("model.backbone=tiny", "model.dtype=float32", "model.device=cpu", "train.steps=3", "train.problems=2"),
    *("train.samples=2", "evaluate.test=4", "evaluate.validation=2", "evaluate.every=1"),
    *("network.message_tokens=3", "network.answer_tokens=3", "run.checkpoint_every=1"),
]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    path = tmp_path_factory.mktemp("keeping") / "run"
    assert main(["train", "demo", *SMALL, "run.keep=9", "--run", str(path)]) == 0
    return path


@pytest.fixture
def run(trained, tmp_path):
    return shutil.copytree(trained, tmp_path / "run")


def size(folder):
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def test_a_recipe_is_found_by_its_name(trained):
    config = Run.open(trained).read("config.json")
    assert (config["task"]["name"], config["task"]["options"]) == ("max", {"n": 6})


def test_a_file_goes_before_a_recipe_of_its_name(cli, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "demo").write_text('task = { name = "nonsense" }\n')
    status, _, err = cli("train", "demo")
    assert status == 2
    assert "nonsense" in err


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["train", "dmo"], r"config 'dmo': .*did you mean 'demo'"),
        (["experiment", "depht"], r"experiment 'depht': .*did you mean 'depth'"),
        (["train", "demo.toml"], r"config 'demo.toml': No such file or directory$"),
        (["recipes", "dmo"], r"unknown recipe 'dmo'; did you mean 'demo'"),
    ],
)
def test_a_name_that_is_none_gets_a_guess(cli, tmp_path, monkeypatch, words, says):
    monkeypatch.chdir(tmp_path)
    status, out, err = cli(*words)
    assert (status, out) == (2, "")
    assert re.search(says, err.rstrip())
    assert len(err.splitlines()) == 1


def test_recipes_are_listed_and_printed(cli):
    status, out, _ = cli("recipes")
    assert status == 0
    assert re.search(r"^  demo +The demo: three nodes", out, re.MULTILINE)
    assert re.search(r"^  depth +\S", out, re.MULTILINE)
    status, out, _ = cli("recipes", "demo")
    assert status == 0
    assert 'topology = "2-1"' in out


def test_cleaning_says_what_it_will_free_and_frees_it(cli, run):
    question = "Which? | 1, 2, 3 | 4, 5, 6"
    before, answer = size(run), cli("ask", run, question)[1]
    status, plan, _ = cli("clean", run, "--dry-run")
    assert status == 0
    assert size(run) == before
    assert re.search(r"would free \d+\.\d of \d+\.\d MB", plan)
    status, done, _ = cli("clean", run)
    assert status == 0
    assert done.replace("freed", "would free") == plan
    assert not list(run.rglob(OPTIMISERS))
    assert {path.name for path in Run(run).checkpoints()} == {"step-000003", Run(run).handed_on.name}
    assert size(run) < before / 3
    assert cli("ask", run, question)[1] == answer
    assert cli("evaluate", run, "--items", "4")[0] == 0
    assert cli("train", "--resume", run)[0] == 0, "a finished run is reported"
    status, again, _ = cli("clean", run)
    assert status == 0
    assert "freed 0.0 of" in again


def test_a_cleaned_run_still_grows(cli, run, tmp_path):
    assert cli("clean", run)[0] == 0
    grown = tmp_path / "grown"
    assert cli("grow", run, "--to", "2-2-1", "--steps", "1", "--run", grown)[0] == 0


def test_a_run_that_is_not_finished_is_not_cleaned(cli, run):
    status = Run(run).read("status.json")
    Run(run).write("status.json", {**status, "finished": False})
    code, out, err = cli("clean", run)
    assert (code, out) == (2, "")
    assert "is not finished" in err
    assert "train --resume" in err
    Run(run).write("status.json", status)
    with Run(run).lock():
        code, out, err = cli("clean", run)
    assert (code, out) == (2, "")
    assert "another process is working on this run" in err
    assert list(run.rglob(OPTIMISERS))


def test_what_is_no_run_is_not_cleaned(cli, tmp_path):
    code, _, err = cli("clean", tmp_path)
    assert code == 2
    assert "holds no run" in err
