"""An engine from outside the package: by ``module:Name`` or an entry point, through the real command line."""

from __future__ import annotations

import json
import sys

import pytest
import torch

from neuromas.storage import MANIFEST
from neuromas.testing import check_engine

SOURCE = '''
"""An engine of one's own: it recites, as the scripted one does, and counts."""
from neuromas.engines.scripted import ScriptedEngine


class Mine:
    written = 0

    def __init__(self, config, model):
        text = config.engine.options.get("text", "7")
        self.inner = ScriptedEngine(lambda prompt, adapter: text, model.backbone.context)
        self.capabilities, self.codec, self.context = (
            self.inner.capabilities, self.inner.codec, self.inner.context)

    def version(self, adapter):
        return self.inner.version(adapter)

    def publish(self, bank):
        self.inner.publish(bank)

    def generate(self, requests, temperature, ends):
        Mine.written += len(requests)
        return self.inner.generate(requests, temperature, ends)


class Silent(Mine):
    """Like a chat endpoint: it gives no log-probabilities."""

    def __init__(self, config, model):
        from neuromas.engines.base import Capabilities

        super().__init__(config, model)
        self.capabilities = Capabilities()
'''
SMALL = [
    *("model.backbone=tiny", "model.dtype=float32", "model.device=cpu", "model.rank=2", "evaluate.every=1"),
    *("train.steps=2", "train.problems=2", "train.samples=2", "evaluate.test=4", "evaluate.validation=2"),
    *("network.message_tokens=3", "network.answer_tokens=3", "train.entropy=0.01"),
]
OWN = ["engine.name=my_engine:Mine", "engine.options.text=six", "alarms.drift=0"]


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """A working directory with a module of the user's; nothing has been named yet."""
    torch.set_num_threads(1)
    (tmp_path / "my_engine.py").write_text(SOURCE, "utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setenv("NEUROMAS_STATE", str(tmp_path / "user"))
    yield tmp_path
    sys.modules.pop("my_engine", None)


def test_it_passes_the_shipped_check():
    check_engine("my_engine:Mine", {"text": "12"})
    check_engine("my_engine:Silent")


def test_it_trains_evaluates_and_answers(here, cli):
    status, _, err = cli("train", *SMALL, *OWN, "--run", "run")
    assert status == 0, err
    config = json.loads((here / "run" / "config.json").read_text())
    assert config["engine"] == {"name": "my_engine:Mine", "options": {"text": "six"}}
    lines = (here / "run" / "episodes.jsonl").read_text().splitlines()
    said = [json.loads(line)["messages"] for line in lines]
    assert said
    assert {message for row in said for message in row} == {"six"}
    (manifest,) = (here / "run").glob(f"checkpoints/step-000002/{MANIFEST}")
    assert sum(json.loads(manifest.read_text())["versions"]) > 0, "what was written was learned from"
    assert cli("ask", "run", "How many?")[1].strip() == "six"
    before = sys.modules["my_engine"].Mine.written
    assert cli("evaluate", "run", "--items", 2)[0] == 0
    assert sys.modules["my_engine"].Mine.written > before


def test_messages_that_are_not_the_models_are_an_error_unless_they_are_wanted(cli):
    status, _, err = cli("train", *SMALL, *OWN[:2], "--run", "run")
    assert status == 2
    assert "sampler and trainer disagree" in err
    assert "alarms.drift" in err


def test_without_log_probabilities_nothing_is_trained_and_nothing_is_left(here, cli):
    status, _, err = cli("train", *SMALL, "engine.name=my_engine:Silent", "--run", "run")
    assert status == 2
    assert "engine.name = 'my_engine:Silent' gives no log-probabilities" in err
    assert len(err.splitlines()) == 1
    assert not (here / "run").exists()
    steps = [one if not one.startswith("train.steps") else "train.steps=0" for one in SMALL]
    assert cli("train", *steps, "engine.name=my_engine:Silent", "--run", "run")[0] == 0
    assert cli("evaluate", "run", "--items", 2)[0] == 0


def test_an_installed_package_offers_one_by_name(here, cli):
    about = here / "mine-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: mine\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[neuromas.engines]\nmine = my_engine:Mine\n")
    sys.path.insert(0, str(here))
    assert cli("train", *SMALL, "engine.name=mine", "alarms.drift=0", "--run", "run")[0] == 0
    assert cli("ask", "run", "How many?")[1].strip() == "7"
    status, _, err = cli("train", *SMALL, "engine.name=mien", "--run", "other")
    assert status == 2
    assert "unknown engine 'mien'; did you mean 'mine'? (valid: local, scripted, openai, vllm, mine)" in err


@pytest.mark.parametrize(
    ("named", "says"),
    [
        ({"name": "my_engine:Mine"}, "engine.name = 'my_engine:Mine'"),
        ({"name": "os:system"}, "engine.name = 'os:system'"),
        ({"name": "scripted", "options": {"text": "x"}}, "engine.options.text = 'x'"),
    ],
)
def test_a_network_from_elsewhere_chooses_no_engine(here, cli, named, says):
    assert cli("train", *SMALL, "--run", "run")[0] == 0
    for file in [here / "run" / "config.json", *(here / "run").glob(f"checkpoints/*/{MANIFEST}")]:
        data = json.loads(file.read_text())
        (data["config"] if file.name == MANIFEST else data)["engine"] |= named
        file.write_text(json.dumps(data))
    for command in (
        ("ask", "run", "How many?"),
        ("evaluate", "run"),
        ("grow", "run", "--to", "3-1", "--steps", 1, "--run", "grown"),
        ("prune", "run", "--node", "1.1", "--out", "pruned"),
    ):
        status, _, err = cli(*command)
        assert status == 2, command
        assert says in err
        assert "--trust" in err
        assert "my_engine" not in sys.modules


def test_mistakes_are_one_line(cli):
    for settings, says in (
        (["engine.name=scripted", "engine.options.txt=1"], "unknown option 'txt'; did you mean 'text'"),
        (["engine.name=scripted", "engine.options.text=1"], "engine.options.text = 1 should be text, in"),
        (["engine.options.rows=1"], "engine 'local': unknown option 'rows' (valid: none)"),
        (["engine.name=my_engine:Nine"], "cannot be imported"),
        (["engine.name=my_engine:SOURCE"], "cannot be imported"),
        (["engine.nme=local"], "engine.name"),
    ):
        status, _, err = cli("train", *SMALL, *settings, "--run", "run")
        assert status == 2, settings
        assert says in err
        assert len(err.splitlines()) == 1
