"""What a finished run keeps, and what it still can do with that."""

from __future__ import annotations

import json
import shutil

import pytest
import torch

from neuromas.config import make_config
from neuromas.core.errors import RunError
from neuromas.growth.parent import ParentRun
from neuromas.growth.stages import settle
from neuromas.models.bundle import load_optimisers, read_manifest
from neuromas.storage import OPTIMISERS, Run, reading
from neuromas.storage.tidy import leftovers, remove
from neuromas.system import assemble as assembling
from neuromas.system.saving import load_bundle
from neuromas.training.checkpoints import settle_down
from neuromas.training.run import start
from neuromas.training.trainer import Trainer
from parity import Parity, small
from watched import Watch

# steps 0 to 4 with a checkpoint each; explicit numbers keep all of them as they are
ALL = {"checkpoint_every": 1, "keep": 99}


@pytest.fixture(autouse=True)
def parity(monkeypatch):
    monkeypatch.setattr(assembling, "make_task", lambda name, options: Parity())


def config(**sections):
    return make_config(small(**sections))


def names(run: Run) -> list[str]:
    return [path.name for path in run.checkpoints()]


def with_states(run: Run) -> list[str]:
    return [path.name for path in run.checkpoints() if (path / OPTIMISERS).is_file()]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A finished run of four steps with all of its checkpoints; its best is said to be that of step 2."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(assembling, "make_task", lambda name, options: Parity())
        path = tmp_path_factory.mktemp("trained") / "run"
        run = start(config(train={"steps": 4}, run=ALL), path, Watch())
    status = run.read("status.json")
    run.write("status.json", {**status, "best": 2, "checkpoint": "step-000002"})
    return run.path


@pytest.fixture
def whole(trained, tmp_path):
    """It, to do with it what one wants."""
    return Run(shutil.copytree(trained, tmp_path / "run"))


def test_a_run_ends_with_its_last_checkpoint_and_its_best(tmp_path):
    run = start(config(train={"steps": 4}, run={"checkpoint_every": 1}), tmp_path / "run", Watch())
    assert set(names(run)) == {"step-000004", run.handed_on.name}
    assert with_states(run) == ["step-000004"]
    for path in run.checkpoints():
        read_manifest(path)


def test_a_number_of_checkpoints_that_is_asked_for_stays(whole):
    assert names(whole) == with_states(whole) == [f"step-{step:06d}" for step in range(5)]


def test_only_the_newest_keeps_the_states_of_its_optimisers(whole):
    settle_down(whole, "step-000002", keep=99)
    assert len(names(whole)) == 5
    settle_down(whole, "step-000002", keep=None)
    leant_on = read_manifest(whole.checkpoint(4))["state"]["best"][2]
    assert set(names(whole)) == {"step-000002", "step-000004", leant_on}
    assert with_states(whole) == ["step-000004"]
    assert OPTIMISERS not in read_manifest(whole.checkpoint(2))["files"]
    before = [path.read_bytes() for path in sorted(whole.path.rglob("*")) if path.is_file()]
    settle_down(whole, "step-000002", keep=None)
    assert before == [path.read_bytes() for path in sorted(whole.path.rglob("*")) if path.is_file()]


def test_a_kill_between_manifest_and_file_is_made_good(whole):
    folder = whole.checkpoint(2)
    manifest = json.loads((folder / "network.json").read_text())
    del manifest["files"][OPTIMISERS]
    (folder / "network.json").write_text(json.dumps(manifest, indent=1, ensure_ascii=False) + "\n")
    assert ParentRun.of(whole.path).moments == whole.checkpoint(4), "nobody vouches for the file"
    settle_down(whole, "step-000002", keep=None)
    assert with_states(whole) == ["step-000004"]
    read_manifest(folder)


def test_while_somebody_reads_all_stays(whole):
    with reading(whole.path):
        settle_down(whole, "step-000002", keep=None)
        assert not remove(whole, leftovers(whole, whole.handed_on, (), resumable=False))
    assert len(with_states(whole)) == 5


def test_an_heir_takes_the_moments_of_the_best_or_else_of_the_newest(whole):
    assert ParentRun.of(whole.path).moments == whole.checkpoint(2)
    settle_down(whole, "step-000002", keep=None)
    heritage = ParentRun.of(whole.path)
    assert (heritage.folder, heritage.moments) == (whole.checkpoint(2), whole.checkpoint(4))
    remove(whole, leftovers(whole, whole.handed_on, (), resumable=False))
    assert ParentRun.of(whole.path).moments is None


def test_without_states_nothing_is_trained_on_and_going_back_keeps_the_present_ones(whole):
    assembly = load_bundle(whole.checkpoint(4))
    trainer = Trainer(assembly.network, assembly.model, assembly.config.train, assembly.config.seed)
    load_optimisers(whole.checkpoint(4), trainer.learner.optimisers)
    before = trainer.learner.optimisers[0].state_dict()["state"][0]["exp_avg"].clone()
    settle_down(whole, "step-000002", keep=None)
    load_optimisers(whole.checkpoint(2), trainer.learner.optimisers, required=False)
    assert torch.equal(before, trainer.learner.optimisers[0].state_dict()["state"][0]["exp_avg"])
    with pytest.raises(RunError, match=r"step-000002 has no optimiser states.*growth\.parent="):
        load_optimisers(whole.checkpoint(2), trainer.learner.optimisers)


def test_stages_keep_what_they_handed_on(tmp_path):
    data = small(growth={"stages": [["1-1", 2], ["2-1", 2]], "init": "zero"}, run={"checkpoint_every": 1})
    del data["network"]["topology"], data["train"]["steps"]
    run = start(settle(make_config(data)), tmp_path / "run", Watch())
    (row,) = run.lines("growth.jsonl")
    assert row["folder"] in names(run)
    assert with_states(run) == [names(run)[-1]]
    remove(run, leftovers(run, run.handed_on, (), resumable=False))
    assert row["folder"] in names(run), "evaluate --stage 1 reads it"
    assert with_states(run) == []
    load_bundle(run.path)
