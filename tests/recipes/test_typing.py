"""What a user types: mistakes are found before any work is done for them, and answered with one line."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from neuromas.cli import main
from neuromas.cli.parser import parse
from neuromas.storage import Run

SMALL = [
    "model.backbone=tiny",
    "model.dtype=float32",
    "model.device=cpu",
    "train.steps=1",
    "train.problems=1",
    "train.samples=2",
    "evaluate.test=2",
    "evaluate.validation=1",
    "evaluate.every=0",
    "network.message_tokens=2",
    "network.answer_tokens=2",
    "task.options.n=4",
]
HOSTILE = "a\x1b[2Jb\u202ec"


@pytest.fixture
def refused(cli):
    """``refused("train", ...)``: the one line of an expected error; status 2, nothing on stdout."""

    def call(*arguments: str) -> str:
        status, out, err = cli(*arguments)
        assert (status, out) == (2, ""), err
        assert len(err.splitlines()) == 1, err
        assert err.startswith("neuromas")
        assert "Traceback" not in err
        assert not set("\x1b\u202e\0") & set(err)
        assert len(err) < 2200
        return err

    return call


@pytest.fixture(autouse=True)
def empty(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    path = tmp_path_factory.mktemp("typing") / "run"
    assert main(["train", *SMALL, "--run", str(path)]) == 0
    return path


@pytest.fixture
def grown(tmp_path_factory):
    """A run of two stages."""
    path = tmp_path_factory.mktemp("typing") / "grown"
    stages = "growth.stages=[['1-1', 1], ['2-1', 1]]"
    words = [word for word in SMALL if not word.startswith("train.steps")]
    assert main(["train", *words, stages, "--run", str(path)]) == 0
    return path


HUGE = "9" * 5000


@pytest.mark.parametrize(
    "words",
    [
        ["train", f"seed={HUGE}"],
        ["train", f"task.options.n={HUGE}"],
        ["train", f"task.options.n=0x{HUGE}"],
        ["train", f"{HUGE}={HUGE}"],
        ["train", f"growth.stages=[['1-1', {HUGE}]]"],
        ["train", "run.directory=\ud800"],
        ["train", "model.backbone=\udcff"],
        ["train", "task.options.path=\udcff", "task.name=file"],
        ["train", "\ud800"],
        ["train", "--run", "a\0b"],
        ["train", "train.lr=1e39"],
        ["train", "model.alpha=1e308"],
        ["train", "model.backbone=~nosuchuser"],
        ["train", "model.backbone=~nosuchuser/x"],
        ["train", "train.problems=65536", "train.samples=65536"],
        ["train", f"network.topology={'1-' * 5000}1"],
        ["train", f"network.topology={HUGE}"],
        ["train", "task.name=" + "x" * 5000],
        ["topology", "2-1", "--rank", HUGE],
        ["topology", "2-1", "--out", ""],
        ["topology", "2-1", "--svg", " "],
        ["topology", "2-1", "--svg", "."],
        ["topology", "2-1", "--svg", "a.svg", "--out", "none/a.json"],
        ["topology", "2-1", "--svg", "none/a.svg", "--out", "a.json"],
        ["validate", "max", f"n={HUGE}"],
        ["validate", "max", f"n=0x{HUGE}"],
        ["validate", "max", "--items", HUGE],
        ["validate", "max", "--items", "100001"],
        ["validate", "file", "path=a\ud800"],
        ["tasks", "x" * 5000],
        ["experiment", "none.toml", "--jobs", "100000"],
        ["x" * 5000],
        [HOSTILE],
        ["train", HOSTILE + "=1"],
        ["topology", HOSTILE],
        ["tasks", HOSTILE],
    ],
)
def test_no_word_is_a_traceback(refused, empty, words):
    if words[0] == "train":
        given = {word.partition("=")[0] for word in words}
        words = [*words, *(word for word in SMALL if word.partition("=")[0] not in given)]
    refused(*words)
    assert list(empty.iterdir()) == [], "and nothing stays behind"


def test_a_config_of_numbers_and_broken_text(refused, empty):
    for text in (f"seed = {HUGE}", 'run.directory = "a\\u0000b"', "[" * 5000, "task.options.x = 2020-01-01"):
        Path("c.toml").write_text(text)
        assert len(refused("train", "c.toml")) < 500
    Path("c.toml").write_bytes(b"\xff\xfe")
    assert "is not TOML" in refused("train", "c.toml")
    assert [path.name for path in empty.iterdir()] == ["c.toml"]


def test_a_pipe_or_a_device_is_not_waited_for(refused):
    for name in ("pipe.toml", "pipe.json"):
        os.mkfifo(name)
    Path("zero.toml").symlink_to("/dev/zero")
    for words in (
        ["train", "pipe.toml"],
        ["train", "/dev/zero"],
        ["train", *SMALL, "network.topology=pipe.json"],
        ["train", *SMALL, "network.topology=zero.toml"],
        ["topology", "pipe.json"],
        ["experiment", "pipe.toml"],
        ["experiment", "zero.toml"],
    ):
        assert "is not a regular file" in refused(*words)


def test_a_command_that_does_not_exist_is_guessed(refused):
    assert "unknown command 'trian'; did you mean 'train'? (valid: train, evaluate" in refused("trian")
    assert "did you mean 'experiment'?" in refused("experimnt", "x.toml")


def test_an_empty_name_is_not_taken_for_none_given(refused, run):
    for words in (
        ["train", "--run", ""],
        ["train", "--resume", ""],
        ["evaluate", str(run), "--name", ""],
        ["evaluate", str(run), "--task", ""],
        ["prune", str(run), "--node", "", "--out", "p"],
        ["prune", str(run), "--node", "1.1", "--out", ""],
        ["experiment", "x.toml", "--out", ""],
    ):
        assert "is empty; leave the option out" in refused(*words)


def test_names_of_evaluations_that_training_writes_are_reserved(refused, grown):
    before = Run.open(grown).evaluation("stage-1")
    for name in ("stage-1", "stage-12", "test-before", "test-after", "test-after-blank", ".x"):
        assert "leave test-before, test-after and stage-N to training" in refused(
            "evaluate", str(grown), "--items", "1", "--name", name
        )
    for name in ("a/b", "a\x1b", "a\nb", "é" * 101):
        assert "invisible characters" in refused("evaluate", str(grown), "--items", "1", "--name", name)
    assert Run.open(grown).evaluation("stage-1") == before


def test_the_name_chosen_for_an_evaluation_is_checked_before_it_runs(refused, run):
    said = refused("evaluate", str(run), "--items", "1", "--name", "x" * 201)
    assert "at most 200 bytes" in said
    assert not list((run / "evaluations").glob("x*"))


def test_votes_are_bounded(refused, run):
    assert "is more than 1000" in refused("evaluate", str(run), "--votes", "99999999")
    said = refused("evaluate", str(run), "--votes", "1000", "--items", "1000")
    assert "--votes 1000 on --items 1000 are 1000000 passes, at most 100000" in said
    for text in ("nan", "inf", "-1", "11", "hot"):
        said = refused("evaluate", str(run), "--votes", "3", "--temperature", text)
        assert "is not a number from 0 to 10" in said


def test_votes_of_an_experiment_are_bounded(refused, empty):
    Path("plan.toml").write_text(
        'name = "v"\nbase.model.backbone = "tiny"\nbase.evaluate.test = 1000\n'
        '[[arms]]\nname = "a"\nstages = [["1", 1]]\n[[arms]]\nname = "b"\nof = "a"\nvotes = 101\n'
    )
    said = refused("experiment", "plan.toml", "--out", "out")
    assert "arm 'b': votes = 101 on evaluate.test = 1000 are 101000 passes, at most 100000" in said
    assert [path.name for path in empty.iterdir()] == ["plan.toml"]


def test_prune_names_what_there_is(refused, run, empty):
    said = refused("prune", str(run), "--node", "1.9", "--out", "p")
    assert "1.9" in said
    Path("file").write_text("")
    assert "'file' is not a folder" in refused("prune", str(run), "--node", "1.1", "--out", "file/p")
    assert [path.name for path in empty.iterdir()] == ["file"]


def test_prune_of_an_empty_name_is_refused_by_the_function_too(run):
    from neuromas.core.errors import NeuromasError
    from neuromas.growth.parent import prune

    with pytest.raises(NeuromasError):
        prune(run, Path("p"), "")
    assert not Path("p").exists()


def test_places_that_cannot_be_written_are_refused_before_work(refused, run, empty):
    Path("file").write_text("")
    Path("plan.toml").write_text(
        'name = "p"\nbase.model.backbone = "tiny"\n[[arms]]\nname = "a"\nstages = [["1", 1]]\n'
    )
    assert "'file' is not a folder" in refused("experiment", "plan.toml", "--out", "file/x")
    assert "'file' is not a folder" in refused("experiment", "plan.toml", "--out", "file")
    assert "does not exist" in refused("lineage", str(run), "--svg", "none/x.svg")
    assert "is a folder" in refused("topology", "2-1", "--out", ".")
    if os.geteuid() != 0:
        Path("locked").mkdir(mode=0o500)
        assert "nothing can be written" in refused("topology", "2-1", "--out", "locked/a.json")
        assert "nothing can be written" in refused("prune", str(run), "--node", "1.1", "--out", "locked/p")


def test_what_was_typed_is_never_echoed_raw(cli, run, tmp_path, monkeypatch):
    hub = tmp_path / "hub"
    (hub / f"models--x--{HOSTILE}").mkdir(parents=True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(hub))
    odd = shutil.copytree(run, tmp_path / HOSTILE)
    for words in (
        ["backbones"],
        ["topology", "2-1", "--svg", f"{HOSTILE}.svg"],
        ["topology", "2-1", "--out", f"{HOSTILE}.json"],
        ["evaluate", str(odd), "--items", "1"],
        ["evaluate", str(odd), "--items", "1", "--name", "mine"],
        ["compare", str(odd), f"{odd}:mine"],
        ["train", "--resume", str(odd)],
        ["lineage", str(odd)],
    ):
        _, out, err = cli(*words)
        assert not set("\x1b\u202e") & set(out + err), words


MISTYPED = [
    ["trian"],
    ["train", "train.learning_rate=1"],
    ["train", "train.steps=x"],
    ["train", "task.name=maxx"],
    ["train", "network.topology=2-2"],
    ["train", "--resume", "none"],
    ["evaluate", "none"],
    ["ask", "none", "hello"],
    ["grow", "none", "--to", "2-1", "--steps", "1"],
    ["grow", "none", "--to", "2-1", "--steps", "1", "growth.innit=gate"],
    ["prune", "none", "--node", "1.1", "--out", "p"],
    ["lineage", "none"],
    ["experiment", "none.toml"],
]


def test_a_mistyped_word_is_answered_without_torch():
    code = f"""
import sys
from neuromas.cli import main
for words in {MISTYPED!r}:
    try:
        status = main(words)
    except SystemExit as left:
        status = left.code
    heavy = {{"torch", "transformers"}} & set(sys.modules)
    assert status == 2 and not heavy, (words, status, heavy)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert len(done.stderr.splitlines()) == len(MISTYPED)


def test_a_home_that_does_not_exist_is_a_folder_that_does_not(cli):
    status, out, _ = cli("topology", "2-1", "--backbone", "~nosuchuser")
    assert status == 0
    assert "no such folder" in out


def test_a_wrong_key_of_grow_is_named_before_the_network_is_looked_for(refused):
    said = refused("grow", "none", "--to", "2-1", "--steps", "1", "growth.innit=gate")
    assert "did you mean 'growth.init'?" in said
    assert parse(["grow", "r", "--to", "2-1", "--steps", "1", "task.options.x.y=1"]).settings
