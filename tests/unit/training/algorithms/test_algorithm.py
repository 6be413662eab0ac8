"""What every training algorithm is: chosen by name, its options by name, its memory in checkpoints."""

from __future__ import annotations

import json
import shutil

import pytest
import torch

from neuromas.cli import main
from neuromas.config import make_config
from neuromas.core.errors import ConfigError, RunError
from neuromas.models.bundle import load_memory
from neuromas.storage import MANIFEST, Run
from neuromas.system import assemble as assembling
from neuromas.system.trust import outside
from neuromas.training.algorithms.base import Memory
from neuromas.training.algorithms.build import make_algorithm
from neuromas.training.algorithms.reinforce import Reinforce
from neuromas.training.run import resume, start
from parity import Parity, small
from watched import left_at

MODULE = '''
"""REINFORCE whose learning rate falls with the steps it made, as a stranger would write it."""

from dataclasses import dataclass, field

import torch

from neuromas.training.algorithms.base import Memory
from neuromas.training.algorithms.reinforce import Reinforce


@dataclass
class Tired(Reinforce):
    """Every step is shorter than the one before."""

    falls: float = 0.5
    left: torch.Tensor = field(init=False, default_factory=lambda: torch.ones(1))
    made: int = field(init=False, default=0)

    def step(self, trainer, task, problems):
        lr = trainer.lr
        trainer.lr = lr * float(self.left)
        try:
            report, episodes = super().step(trainer, task, problems)
        finally:
            trainer.lr = lr
        self.left, self.made = self.left * self.falls, self.made + 1
        return {**report, "left": float(self.left)}, episodes

    def state(self):
        return Memory({"left": self.left}, {"made": self.made})

    def load(self, memory):
        self.left, self.made = memory.tensors["left"], int(memory.facts["made"])


class Refuses(Reinforce):
    """Refuses."""

    def __init__(self, most: int = 3):
        raise ValueError(f"most = {most} is refused")


class Nothing:
    """No algorithm."""
'''


@pytest.fixture
def own(tmp_path, monkeypatch):
    (tmp_path / "own_algorithms.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(assembling, "make_task", lambda name, options: Parity())
    return "own_algorithms"


def train(**keys):
    return small(train={"algorithm": "own_algorithms:Tired", **keys})


def hashes(run):
    return json.loads((run.checkpoints()[-1] / MANIFEST).read_text())["files"]


def test_the_default_is_reinforce_and_keeps_nothing():
    made = make_algorithm(make_config({}).train)
    assert type(made) is Reinforce
    assert made.state() == Memory()
    with pytest.raises(ValueError, match="keeps nothing"):
        made.load(Memory({}, {"made": 3}))


def test_an_unknown_algorithm_lists_the_valid_ones():
    with pytest.raises(ConfigError) as caught:
        make_config({"train": {"algorithm": "reinforse"}})
    text = str(caught.value)
    for part in ("train.algorithm", "'reinforse'", "did you mean 'reinforce'", "module:Name"):
        assert part in text
    assert len(text.splitlines()) == 1


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        ({"algorithm": "own_algorithms:Tired", "algorithm_options": {"fals": 1}}, "did you mean 'falls'"),
        ({"algorithm_options": {"falls": 1}}, "unknown option of 'reinforce' 'falls'"),
        ({"algorithm": "own_algorithms:Refuses"}, "most = 3 is refused"),
        ({"algorithm": "own_algorithms:Nothing"}, "is no Algorithm"),
        ({"algorithm": "own_algorithms:Absent"}, "cannot be imported"),
    ],
)
def test_what_cannot_be_used_is_one_line(own, keys, says):
    with pytest.raises(ConfigError) as caught:
        make_algorithm(make_config({"train": keys}).train)
    assert says in str(caught.value)
    assert "train.algorithm" in str(caught.value) or "algorithm 'own" in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_one_of_ones_own_is_the_users_choice(own):
    assert ("train.algorithm", "own_algorithms:Tired") in outside(make_config(train()))
    assert not any(key == "train.algorithm" for key, _ in outside(make_config(small())))


def test_its_memory_goes_on_bit_by_bit(own, tmp_path):
    config = make_config(train(algorithm_options={"falls": 0.75}))
    whole = start(config, tmp_path / "whole", left_at(4, tmp_path / "whole", tmp_path / "half"))
    half = Run.open(tmp_path / "half")
    assert len(list(half.lines("metrics.jsonl"))) == 5
    assert torch.equal(load_memory(half.checkpoints()[-1])["left"], torch.tensor([0.75**4]))
    resumed = resume(tmp_path / "half")
    assert hashes(resumed) == hashes(whole)
    lefts = [row["left"] for row in resumed.lines("metrics.jsonl")]
    assert lefts == [0.75**n for n in range(1, 7)]


def test_a_checkpoint_without_its_memory_is_refused(own, tmp_path):
    run = start(make_config(train()), tmp_path / "run")
    other = Run(shutil.copytree(run.path, tmp_path / "other"))
    folder = other.checkpoints()[-1]
    manifest = json.loads((folder / MANIFEST).read_text())
    del manifest["state"]["algorithm"]
    (folder / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(RunError, match="no state of algorithm 'own_algorithms:Tired'"):
        resume(other.path, overrides=["train.steps=8"])


def test_reinforce_writes_what_it_wrote_before(own, tmp_path):
    run = start(make_config(small()), tmp_path / "run")
    manifest = json.loads((run.checkpoints()[-1] / MANIFEST).read_text())
    assert "algorithm" not in manifest["state"]
    assert load_memory(run.checkpoints()[-1]) == {}


def test_the_command_tells_of_an_algorithm(own, capsys):
    assert main(["methods"]) == 0
    said = capsys.readouterr().out
    for name in ("reinforce", "marft", "collm-cc", "collm-dc", "malt", "at-grpo"):
        assert f"train.algorithm = {name} " in said
    assert main(["methods", "marft"]) == 0
    told = capsys.readouterr().out
    for part in (
        "train.algorithm = marft",
        "arXiv:2504.16129",
        "Differs: nodes have no roles",
        "  gamma = 0.99",
    ):
        assert part in told
    assert main(["methods", "own_algorithms:Tired"]) == 0
    assert "  falls = 0.5" in capsys.readouterr().out
