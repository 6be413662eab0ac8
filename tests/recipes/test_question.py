"""Who reads the question is what the topology file says, for every command that trains."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from test_experiment import Inline

from neuromas.experiment.launchers import local
from neuromas.models.bundle import read_manifest
from neuromas.storage import Run
from neuromas.topology.files import load_topology
from neuromas.topology.graph import Topology

SMALL = [
    "model.backbone=tiny",
    "model.dtype=float32",
    "model.device=cpu",
    "train.problems=1",
    "train.samples=2",
    "evaluate.test=2",
    "evaluate.validation=1",
    "evaluate.every=0",
    "network.message_tokens=2",
    "network.answer_tokens=2",
    "task.options.n=4",
]
ONE = [*SMALL, "train.steps=1"]
SPLIT = '{"question": "split", "edges": [["a", "c"], ["b", "c"]]}'
TABLE = '{"question": {"a": "1/2", "b": "2/2", "c": "all"}, "edges": [["a", "c"], ["b", "c"]]}'
LISTED = (
    '{"nodes": [{"name": "a", "question": "1/2"}, {"name": "b", "question": "2/2"}, "c"],'
    ' "edges": [["a", "b"], ["b", "c"]]}'
)
SILENT = '{"edges": [["a", "c"], ["b", "c"]]}'


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def net(text: str, name: str = "net.json") -> str:
    Path(name).write_text(text)
    return name


def trained(path: str) -> Topology:
    """The network of a run's last checkpoint."""
    return Topology.from_dict(read_manifest(Run.open(Path(path)).checkpoints()[-1])["topology"])


def reads(topology: Topology) -> list[str]:
    return [node.question for node in topology.nodes]


@pytest.mark.parametrize(
    ("text", "expected", "recorded"),
    [
        (SPLIT, ["1/2", "2/2", "stem"], "split"),
        (TABLE, ["1/2", "2/2", "all"], "auto"),
        (LISTED, ["1/2", "2/2", "all"], "auto"),
        (SILENT, ["all", "all", "all"], "all"),
    ],
)
def test_train_obeys_the_file(cli, text, expected, recorded):
    file = net(text)
    status, out, err = cli("train", *ONE, f"network.topology={file}", "--run", "run")
    assert status == 0, err
    assert trained("run") == load_topology(file), "what the topology command draws"
    assert reads(trained("run")) == expected
    assert Run.open(Path("run")).read("config.json")["network"]["question"] == recorded
    status, out, err = cli("train", *ONE, f"network.topology={file}", "--run", "run", "--continue")
    assert status == 0, err
    assert "already trained" in out


def test_the_default_directory_is_named_by_what_is_read(cli):
    status, _, err = cli("train", *ONE, f"network.topology={net(SPLIT)}")
    assert status == 0, err
    assert Path("runs/max-net-split-tiny-seed0").is_dir()
    status, _, err = cli("train", *ONE)
    assert status == 0, err
    assert Path("runs/max-2-1-tiny-seed0").is_dir()


@pytest.mark.parametrize("mode", ["all", "first"])
@pytest.mark.parametrize("text", [SPLIT, TABLE, LISTED])
def test_a_mode_against_the_file_is_refused(cli, text, mode):
    file = net(text)
    words = [f"network.topology={file}", f"network.question={mode}"]
    for command in (
        ["train", *ONE, *words, "--run", "run"],
        ["train", *SMALL, f"network.question={mode}", f"growth.stages=[['1-1', 1], ['{file}', 1]]"],
        ["topology", file, "--question", mode],
    ):
        status, out, err = cli(*command)
        assert (status, out) == (2, ""), command
        assert len(err.splitlines()) == 1
        assert f"question = '{mode}' contradicts {file!r}" in err
        assert not Path("run").exists()
        assert not Path("runs").exists()


def test_a_mode_that_agrees_or_fills_in_is_taken(cli):
    file = net(SPLIT)
    words = [f"network.topology={file}", "network.question=split"]
    assert cli("train", *ONE, *words, "--run", "a")[0] == 0
    assert cli("topology", file, "--question", "split")[0] == 0
    silent = net(SILENT, "silent.json")
    status, _, err = cli("train", *ONE, f"network.topology={silent}", "network.question=split", "--run", "b")
    assert status == 0, err
    assert reads(trained("b")) == ["1/2", "2/2", "stem"]


def test_a_run_of_version_0_1_0_resumes_as_it_was(cli, monkeypatch):
    """It recorded "all" whether or not that was asked for, and trained with it whatever the file says."""
    from neuromas.cli import progress

    silent = net(SILENT)
    stages = f"growth.stages=[['1-1', 1], ['{silent}', 2]]"

    class StopError(BaseException):
        pass

    def stop(self, event):
        raise StopError

    with monkeypatch.context() as patch:
        patch.setattr(progress.Progress, "on_step_end", stop)
        with pytest.raises(StopError):
            cli("train", *SMALL, stages, "run.checkpoint_every=1", "--run", "run")
    config = json.loads(Path("run/config.json").read_text())
    assert config["network"]["question"] == "all"
    net(SPLIT)  # what 0.1.0 would have trained with "all" all the same; it kept no digests of its inputs
    about = json.loads(Path("run/run.json").read_text())
    Path("run/run.json").write_text(json.dumps({k: v for k, v in about.items() if k != "inputs"}))
    status, _, err = cli("train", "--resume", "run")
    assert status == 0, err
    assert reads(trained("run")) == ["all", "all", "all"]


def test_grow_obeys_the_file(cli):
    assert cli("train", *ONE, "network.topology=1-1", "--run", "run")[0] == 0
    file = net('{"question": {"n": "stem"}, "edges": [["1.1", "2.1"], ["1.1", "n"], ["n", "2.1"]]}')
    status, _, err = cli("grow", "run", "--to", file, "--steps", "1", "--run", "heir")
    assert status == 0, err
    assert reads(trained("heir")) == reads(load_topology(file)) == ["all", "stem", "all"]
    status, _, err = cli("grow", "run", "--to", file, "--steps", "1", "--run", "no", "network.question=all")
    assert status == 2
    assert "contradicts" in err
    assert not Path("no").exists()


def test_an_heir_keeps_its_parents_mode(cli):
    assert cli("train", *ONE, "network.topology=2-1", "network.question=split", "--run", "run")[0] == 0
    status, _, err = cli("grow", "run", "--to", "2-1-1", "--steps", "1", "--run", "heir")
    assert status == 0, err
    assert reads(trained("heir"))[:2] == ["1/2", "2/2"]


PLAN = """
name = "files"
seeds = [0]
[base]
model = {{backbone = "tiny", dtype = "float32", device = "cpu"}}
train = {{problems = 1, samples = 2}}
evaluate = {{test = 4, validation = 1, every = 0}}
[base.network]
message_tokens = 2
answer_tokens = 2
{mode}
[base.task]
name = "max"
options = {{n = 4}}
[[arms]]
name = "own"
stages = [["{file}", 1]]
"""


def test_experiment_obeys_the_file_and_finds_its_cells_again(cli, monkeypatch):
    began = []
    monkeypatch.setattr(local, "launch", lambda *cell: began.append(cell) or Inline(*cell))
    Path("plan.toml").write_text(PLAN.format(file=net(TABLE), mode=""))
    status, _, err = cli("experiment", "plan.toml", "--out", "out", "--jobs", "1")
    assert status == 0, err
    assert reads(trained("out/cells/max/own/seed-0")) == ["1/2", "2/2", "all"]
    assert cli("experiment", "plan.toml", "--out", "out", "--report")[0] == 0
    Path("plan.toml").write_text(PLAN.format(file=net(SPLIT, "split.json"), mode=""))
    assert cli("experiment", "plan.toml", "--out", "two", "--jobs", "1")[0] == 0
    assert reads(trained("two/cells/max/own/seed-0")) == ["1/2", "2/2", "stem"]
    assert len(began) == 2
    assert cli("experiment", "plan.toml", "--out", "two", "--jobs", "1")[0] == 0
    assert len(began) == 2, "its cells were found"


def test_experiment_refuses_a_mode_against_the_file(cli):
    Path("plan.toml").write_text(PLAN.format(file=net(TABLE), mode='question = "first"'))
    status, out, err = cli("experiment", "plan.toml", "--out", "out")
    assert (status, out) == (2, "")
    assert "arm 'own'" in err
    assert "contradicts" in err
    assert not Path("out").exists()
