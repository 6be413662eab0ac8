"""``neuromas export``: what is given away answers as the run does, and tells nothing it should not."""

from __future__ import annotations

import getpass
import json
import os
import re
import shutil
from pathlib import Path

import pytest
import torch

import neuromas
from fake_hub import card_faults
from neuromas.cli import main
from neuromas.models import precision
from neuromas.models.bundle import read_manifest

SMALL = ["model.backbone=tiny", "model.dtype=float32", "train.steps=1", "train.problems=2", "train.samples=2"]
FEW = ["evaluate.test=4", "evaluate.validation=2", "evaluate.every=0"]
ASKED = "largest? | 1, 2 | 3, 4"


def trained(path, *more):
    neuromas.train(neuromas.load_config(None, [*SMALL, *FEW, "task.name=max", *more]), path)
    return path


def exported(run, out, *flags):
    assert main(["export", str(run), "--out", str(out), *flags]) == 0
    return out


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return trained(tmp_path_factory.mktemp("runs") / "one")


@pytest.fixture(scope="module")
def single(tmp_path_factory):
    """One node whose adapter is far from nothing."""
    path = trained(tmp_path_factory.mktemp("runs") / "single", "network.topology=1", "network.question=all")
    scatter(path)
    return path


def scatter(path):
    """Give every adapter of the run's best checkpoint other numbers, and the manifest their hashes."""
    from safetensors.torch import load_file, save_file

    from neuromas.models.embedded import file_digest
    from neuromas.storage import Run

    folder = Run.open(path).handed_on
    manifest = json.loads((folder / "network.json").read_text())
    generator = torch.Generator().manual_seed(1)
    for file in sorted(folder.rglob("adapter_model.safetensors")):
        tensors = load_file(file)
        for name, tensor in sorted(tensors.items()):
            if "lora_B" in name:
                tensors[name] = torch.randn(tensor.shape, generator=generator) * 0.3
        save_file(tensors, file, metadata={"format": "pt"})
        manifest["files"][file.relative_to(folder).as_posix()] = file_digest(file)
    (folder / "network.json").write_text(json.dumps(manifest))


def test_an_exported_network_is_the_same_network(run, tmp_path, capsys):
    out = exported(run, tmp_path / "given", "--base", "org/base")
    assert "try: neuromas ask" in capsys.readouterr().out
    manifest = read_manifest(out)  # every file has the hash that is named
    assert "state" not in manifest
    assert {"README.md", "topology.svg", "neuromas.toml"} <= manifest["files"].keys()
    assert not list(out.rglob("optimisers*"))
    folders = sorted(path.name for path in (out / "adapters").iterdir())
    assert folders == ["layer-1-node-1", "layer-1-node-2", "layer-2-output"]
    for name in folders:
        config = json.loads((out / "adapters" / name / "adapter_config.json").read_text())
        assert config["base_model_name_or_path"] == "org/base"
    mine, given = neuromas.load(run), neuromas.load(out)
    assert given.trace(ASKED).turns == mine.trace(ASKED).turns
    again = exported(out, tmp_path / "again")  # what was exported can be exported, grown and pruned
    assert neuromas.grow(again, "3-1", 1, directory=tmp_path / "larger").topology.depth == 2


@pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")  # PEFT asks
def test_every_node_is_what_peft_makes_of_its_folder(run, tmp_path):
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    copy = shutil.copytree(run, tmp_path / "run")
    scatter(copy)
    out = exported(copy, tmp_path / "given", "--with-base")
    turns = neuromas.load(out).trace(ASKED).turns
    assert len({turn.ids for turn in turns}) == 3, "adapters that differ, or this shows nothing"
    folders = [f"adapters/{name}" for name in ("layer-1-node-1", "layer-1-node-2", "layer-2-output")]
    for turn, folder in zip(turns, folders, strict=True):
        base = AutoModelForCausalLM.from_pretrained(out / "base")
        node = PeftModel.from_pretrained(base, out / folder)
        ids = torch.tensor([turn.prefix_ids + turn.suffix_ids])
        said = node.generate(
            input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=len(turn.ids), do_sample=False
        )
        assert tuple(said[0, ids.shape[1] :].tolist()) == turn.ids


def test_a_shared_adapter_is_written_once(tmp_path):
    out = exported(trained(tmp_path / "run", "network.share=all"), tmp_path / "given")
    assert [path.name for path in (out / "adapters").iterdir()] == ["layer-1-node-1-and-2-more"]
    assert neuromas.load(out).trace(ASKED).turns == neuromas.load(tmp_path / "run").trace(ASKED).turns


@pytest.mark.parametrize(
    "folders",
    [
        ["adapters/../../x", "adapters/a", "adapters/b"],
        ["adapters/a", "adapters/a", "adapters/b"],
        ["adapters/a"],
        "adapters/a",
        [1, 2, 3],
    ],
)
def test_folders_that_a_manifest_cannot_name(run, tmp_path, capsys, folders):
    out = exported(run, tmp_path / "given")
    manifest = json.loads((out / "network.json").read_text())
    (out / "network.json").write_text(json.dumps({**manifest, "folders": folders}))
    assert main(["ask", str(out), ASKED]) == 2
    assert "'folders' does not name 3 folders of adapters" in capsys.readouterr().err


def test_the_card_says_what_it_is(run, tmp_path):
    out = exported(run, tmp_path / "given")
    card = (out / "README.md").read_text("utf-8")
    assert not card_faults(card)
    assert "base_model:" not in card, "nobody finds the tiny model"
    assert json.loads(next(out.rglob("adapter_config.json")).read_text())["base_model_name_or_path"] is None
    for words in ("after training", "messages blanked", "Gain: ", "adapters/layer-2-output", "## Licence"):
        assert words in card
    assert "which others cannot find under that name" in card
    again = neuromas.load_config(str(out / "neuromas.toml"))
    was = neuromas.make_config(json.loads((run / "config.json").read_text()))
    assert again == was.model_copy(update={"run": again.run})


def test_the_card_names_the_public_original_of_the_embedded_model(run, tmp_path):
    shutil.copytree(run, tmp_path / "run")
    for file in (tmp_path / "run").rglob("network.json"):
        file.write_text(file.read_text().replace('"tiny"', '"smollm2-135m"'))
    out = exported(tmp_path / "run", tmp_path / "given")
    card = (out / "README.md").read_text("utf-8")
    assert not card_faults(card)
    assert "base_model: HuggingFaceTB/SmolLM2-135M-Instruct" in card
    assert "its weights are not the same" in card


def test_the_card_marks_roles_and_prompts_of_ones_own(tmp_path):
    prompt = tmp_path / "lawyer.toml"
    prompt.write_text('[nodes]\n"1/1" = { role = "You are a lawyer.\\n" }\n', "utf-8")
    settings = [*SMALL[:2], *SMALL[3:], *FEW, "task.name=max", 'growth.stages=[["2-1",1],["4-1",1]]']
    neuromas.train(neuromas.load_config(None, [*settings, f"network.prompt={prompt}"]), tmp_path / "run")
    out = exported(tmp_path / "run", tmp_path / "given")
    card = (out / "README.md").read_text("utf-8")
    assert "`roles (lawyer.toml)`" in card
    assert "![lineage](lineage.svg)" in card
    assert (out / "lineage.svg").is_file()
    assert neuromas.load_config(str(out / "neuromas.toml")).network.prompt == "prompt.toml"


def test_nothing_tells_where_it_was_trained(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(getpass, "getuser", lambda: "joana")
    (tmp_path / "joana").mkdir()
    data = tmp_path / "joana" / "rows.jsonl"
    data.write_text("".join(json.dumps({"q": f"{i} + 1?", "a": str(i + 1)}) + "\n" for i in range(40)))
    columns = ["task.options.question=q", "task.options.answer=a", f"task.options.path={data}"]
    more = ["task.name=file", *columns, f"run.directory={tmp_path}/joana/runs", "network.question=all"]
    first = trained(tmp_path / "joana" / "first", *more)
    second = tmp_path / "joana" / "second"
    neuromas.grow(first, "3-1", 1, directory=second)
    out = exported(second, tmp_path / "given")
    for file in filter(Path.is_file, out.rglob("*")):
        text = file.read_bytes().decode("latin-1")
        for place in (str(tmp_path), str(Path.home()) + "/", "joana"):
            assert place not in text, file.name
        if file.suffix in (".json", ".toml"):
            assert not re.search(r'"(/|~|\.\./)\w', text), file.name
    assert "rows.jsonl" in (out / "neuromas.toml").read_text()
    assert neuromas.load(out).ask("3 + 1?") == neuromas.load(second).ask("3 + 1?")
    # what a user wrote into the prompts cannot be left out: it is said, and nothing is exported
    prompt = tmp_path / "p.toml"
    prompt.write_text(f'[plain]\noutput = "see {tmp_path}/joana/third\\n"\n')
    third = trained(tmp_path / "joana" / "third", f"network.prompt={prompt}")
    monkeypatch.chdir(tmp_path)
    assert main(["export", str(third), "--out", str(tmp_path / "not")]) == 2
    assert "prompt.toml would tell others of" in capsys.readouterr().err
    assert not (tmp_path / "not").exists()


def test_a_folder_that_exists_stays(run, tmp_path, capsys):
    (tmp_path / "there").mkdir()
    for merged in ([], ["--merged"]):
        assert main(["export", str(run), "--out", str(tmp_path / "there"), *merged]) == 2
        assert "exists; name a new folder" in capsys.readouterr().err
    assert not list((tmp_path / "there").iterdir())


def test_a_hostile_manifest_writes_no_markup(run, tmp_path):
    out = exported(run, tmp_path / "given")
    manifest = json.loads((out / "network.json").read_text())
    evil = "x`](javascript:1)<script>\n# forged\n---\nlicense: mine"
    manifest["backbone"]["name"] = manifest["prompts"] = manifest["config"]["task"]["name"] = evil
    manifest["config"]["task"]["name"] = f"gym/{evil}"
    manifest["lineage"] = [
        {"to": evil, "operators": [evil, "```"], "new": [], "origin": {}, "run": evil, "step": 1}
        | {"topology": manifest["topology"], "spent": manifest["spent"], "copies": {evil: evil}}
        | {"init": evil, "positions": evil, "optimiser": evil}
    ]
    (out / "network.json").write_text(json.dumps(manifest))
    bad = exported(out, tmp_path / evil.replace("/", "").replace("\n", " "))
    card = (bad / "README.md").read_text("utf-8")
    metadata, _, body = card.removeprefix("---\n").partition("\n---\n")
    assert "license: mine" not in metadata.split("\n")
    assert not card_faults(card)
    fences = re.split(r"^````?\w*$", body, flags=re.MULTILINE)
    outside = "".join(fences[::2])
    assert "<" not in outside
    assert "](javascript" not in outside
    assert "\n# forged" not in body
    for picture in bad.glob("*.svg"):
        assert "<script" not in picture.read_text("utf-8")


def test_a_merged_node_answers_as_the_node_does(single, tmp_path, capsys):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    out = exported(single, tmp_path / "whole", "--merged")
    assert "20 of 20 answers are the node's" in capsys.readouterr().out
    model, tokenizer = AutoModelForCausalLM.from_pretrained(out), AutoTokenizer.from_pretrained(out)
    mine = neuromas.load(single)
    spoken = set()
    for question in ("largest of 1, 2, 3?", "naïve — 7\tor 'x' {{ 1 }}?", "\\ {% raw %}"):
        (turn,) = mine.trace(question).turns
        chat = [{"role": "user", "content": question}]
        ids = tokenizer.apply_chat_template(chat, return_tensors="pt", return_dict=True)
        assert tuple(ids["input_ids"][0].tolist()) == turn.prefix_ids + turn.suffix_ids
        said = model.generate(**ids)[0, ids["input_ids"].shape[1] :]
        assert tuple(said.tolist()) == turn.ids
        spoken.add(turn.ids)
    assert len(spoken) > 1
    card = (out / "README.md").read_text("utf-8")
    assert not card_faults(card)
    assert "library_name: transformers" in card
    tuned = neuromas.load_config(None, [*SMALL, "task.name=max", f"model.backbone={out}"])
    assert neuromas.untrained(tuned).ask("largest of 1 | 2 | 3?"), "a model for anything that takes a folder"


def test_one_node_of_many_is_merged_when_it_is_named(run, tmp_path, capsys):
    assert main(["export", str(run), "--out", str(tmp_path / "a"), "--merged"]) == 2
    assert "name one with --node (valid: 1.1, 1.2, 2.1)" in capsys.readouterr().err
    assert main(["export", str(run), "--out", str(tmp_path / "a"), "--merged", "--node", "3.1"]) == 2
    assert "3.1" in capsys.readouterr().err
    out = exported(run, tmp_path / "a", "--merged", "--node", "2.1")
    assert "20 of 20 answers are the node's" in capsys.readouterr().out
    assert not (out / "chat_template.jinja").exists(), "no template can write what others tell it"


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """A run that left its precision open, of a machine that multiplies bfloat16; this one does not."""
    monkeypatch.setattr(precision, "flags", lambda: frozenset({"amx_bf16"}))
    settings = [word for word in SMALL if not word.startswith("model.dtype")]
    path = tmp_path / "elsewhere"
    neuromas.train(neuromas.load_config(None, [*settings, *FEW, "model.device=cpu", "task.name=max"]), path)
    monkeypatch.setattr(precision, "flags", frozenset)
    return path


def test_a_network_of_another_machine_keeps_its_precision(elsewhere, tmp_path, capsys):
    assert neuromas.load(elsewhere).assembly.model.backbone.dtype == torch.float32, "as this machine is fast"
    merged = exported(elsewhere, tmp_path / "merged", "--merged", "--node", "2.1")
    assert json.loads((merged / "config.json").read_text())["dtype"] == "bfloat16"
    assert json.loads((merged / "merged.json").read_text())["backbone"]["precision"] == "bfloat16"
    assert re.search(r"precision of the frozen model +\| bfloat16", (merged / "README.md").read_text("utf-8"))
    pruned = tmp_path / "pruned"
    assert main(["prune", str(elsewhere), "--node", "1.2", "--out", str(pruned)]) == 0
    manifest = read_manifest(pruned)
    assert (manifest["backbone"]["precision"], manifest["config"]["model"]["dtype"]) == ("bfloat16", "auto")
    capsys.readouterr()
    assert main(["evaluate", str(elsewhere), "--items", "2", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["precision"] == "bfloat16"


@pytest.mark.parametrize(
    ("typed", "says"),
    [
        ([], "name the new folder with --out"),
        (["--push", "joe/x", "--merged"], "--merged is for a new folder"),
        (["--out", "OUT", "--node", "1.1"], "give --merged with it"),
        (["--out", "OUT", "--merged", "--with-base"], "do not go together"),
        (["--out", "OUT", "--public"], "give --push"),
        (["--out", "OUT", "--dry-run"], "give --push"),
        (["--out", "OUT", "--push", "../x"], "is no name of a repository"),
        (["--out", "OUT", "--base", "/home/me/model"], "is no name of the hub"),
    ],
)
def test_options_that_do_not_go_together(run, tmp_path, capsys, typed, says):
    words = [word.replace("OUT", str(tmp_path / "out")) for word in typed]
    assert main(["export", str(run), *words]) == 2
    assert says in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.real
@pytest.mark.skipif(os.environ.get("NEUROMAS_EXAMPLES") != "1", reason="a minute: make examples runs it")
def test_a_merged_node_of_the_real_model_says_the_same(tmp_path):
    settings = ["model.dtype=float32", *SMALL[2:], *FEW, "task.name=arithmetic", "network.topology=1"]
    neuromas.train(neuromas.load_config(None, [*settings, "network.question=all"]), tmp_path / "run")
    out = exported(tmp_path / "run", tmp_path / "whole", "--merged")
    assert "20 of 20 test questions" in (out / "README.md").read_text("utf-8")
