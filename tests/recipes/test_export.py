"""``neuromas export``: what is given away answers as the run does, and holds no training state."""

from __future__ import annotations

import json

import pytest

import neuromas
from neuromas.cli import main
from neuromas.models.bundle import read_manifest
from neuromas.system.exporting import public_base

SMALL = ["model.backbone=tiny", "model.dtype=float32", "train.steps=1", "train.problems=2", "train.samples=2"]
ASKED = "largest? | 1, 2 | 3, 4"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    config = neuromas.load_config(None, [*SMALL, "evaluate.test=4", "evaluate.every=0", "task.name=max"])
    path = tmp_path_factory.mktemp("runs") / "one"
    neuromas.train(config, path)
    return path


def test_an_exported_network_is_the_same_network(run, tmp_path, capsys):
    out = tmp_path / "given"
    assert main(["export", str(run), "--out", str(out), "--base", "org/base"]) == 0
    assert "try: neuromas ask" in capsys.readouterr().out
    manifest = read_manifest(out)  # every file has the hash that is named
    assert "state" not in manifest
    assert "README.md" in manifest["files"]
    assert not list(out.rglob("optimisers*"))
    config = json.loads((out / "adapters" / "adapter-00" / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == "org/base"
    mine, given = neuromas.load(run), neuromas.load(out)
    assert given.trace(ASKED).turns == mine.trace(ASKED).turns
    again = tmp_path / "again"  # what was exported can be exported, grown and pruned
    assert main(["export", str(out), "--out", str(again)]) == 0
    assert neuromas.grow(again, "3-1", 1, directory=tmp_path / "larger").topology.depth == 2


def test_the_card_says_what_it_is(run, tmp_path):
    main(["export", str(run), "--out", str(tmp_path / "given")])
    card = (tmp_path / "given" / "README.md").read_text("utf-8")
    assert "base_model: tiny" in card
    assert "| after |" in card
    assert "`adapters/adapter-02`" in card
    assert public_base("smollm2-135m") == "HuggingFaceTB/SmolLM2-135M-Instruct"


def test_the_card_marks_roles_and_prompts_of_ones_own(tmp_path):
    prompt = tmp_path / "lawyer.toml"
    prompt.write_text('[nodes]\n"1/1" = { role = "You are a lawyer.\\n" }\n', "utf-8")
    stages = 'growth.stages=[["2-1",1],["4-1",1]]'
    settings = [*SMALL[:2], *SMALL[3:], "evaluate.test=2", "evaluate.validation=2", "task.name=max", stages]
    config = neuromas.load_config(None, [*settings, f"network.prompt={prompt}"])
    neuromas.train(config, tmp_path / "run")
    assert main(["export", str(tmp_path / "run"), "--out", str(tmp_path / "given")]) == 0
    assert "`roles (lawyer.toml)`" in (tmp_path / "given" / "README.md").read_text("utf-8")


def test_a_folder_that_exists_stays(run, tmp_path, capsys):
    (tmp_path / "there").mkdir()
    assert main(["export", str(run), "--out", str(tmp_path / "there")]) == 2
    assert "exists; name a new folder" in capsys.readouterr().err
    assert not list((tmp_path / "there").iterdir())


def test_a_hostile_manifest_writes_no_markup(run, tmp_path, capsys):
    out = tmp_path / "given"
    main(["export", str(run), "--out", str(out)])
    manifest = json.loads((out / "network.json").read_text())
    manifest["backbone"]["name"] = "x`](javascript:1)<script>\n# forged"
    (out / "network.json").write_text(json.dumps(manifest))
    assert main(["export", str(out), "--out", str(tmp_path / "bad")]) == 0
    card = (tmp_path / "bad" / "README.md").read_text("utf-8")
    assert "<" not in card.replace("<=", "")
    assert "](javascript" not in card
    assert "\n# forged" not in card
