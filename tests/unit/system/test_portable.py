"""What is said of a network elsewhere: a model by a name that resolves, and no place of this machine."""

from __future__ import annotations

import getpass
from pathlib import Path

import pytest

from neuromas.config import make_config
from neuromas.core.errors import ConfigError, RunError
from neuromas.system.portable import Base, base_of, check_no_places, last, without_places

PUBLIC = "HuggingFaceTB/SmolLM2-135M-Instruct"


@pytest.mark.parametrize(
    ("name", "given", "base"),
    [
        ("smollm2-135m", None, Base(PUBLIC, "near")),
        ("smollm2-135m", PUBLIC, Base(PUBLIC, "near")),
        ("smollm2-135m", "me/same", Base("me/same", "given")),
        ("tiny", None, Base("tiny", "none")),
        ("Qwen/Qwen3-0.6B", None, Base("Qwen/Qwen3-0.6B", "same")),
        ("/models/of/joe/qwen", None, Base("qwen", "none")),
        ("C:\\models\\qwen", None, Base("qwen", "none")),
        ("~/qwen", None, Base("qwen", "none")),
        ("~/qwen", "Qwen/Qwen3-0.6B", Base("Qwen/Qwen3-0.6B", "given")),
    ],
)
def test_a_base_is_named_as_others_find_it(name, given, base):
    assert base_of(name, given) == base


def test_a_folder_is_no_name_of_the_hub_though_it_looks_like_one(tmp_path, monkeypatch):
    (tmp_path / "Qwen" / "Qwen3-0.6B").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert base_of("Qwen/Qwen3-0.6B") == Base("Qwen3-0.6B", "none")
    for wrong in ("/home/joe/x", "a/b/c", "../x", "x y"):
        with pytest.raises(ConfigError, match="is no name of the hub"):
            base_of("tiny", wrong)


def test_of_a_path_the_last_part_is_kept_and_of_this_machine_nothing(monkeypatch):
    monkeypatch.setattr(getpass, "getuser", lambda: "joana")
    paths = {
        "/data/rows.csv": "rows.csv",
        "../rows.csv": "rows.csv",
        "data/rows.csv": "data/rows.csv",
        "data/joana/rows.csv": "rows.csv",
        "~/rows.csv": "rows.csv",
        "D:\\rows.csv": "rows.csv",
        "+-*/": "+-*/",
        "/": "/",
        "https://joana:secret@host/rows": "https://host/rows",
    }
    for path, kept in paths.items():
        config = make_config({"task": {"name": "file", "options": {"path": path}}}).model_dump(mode="json")
        config["engine"] = {"name": "vllm", "options": {"command": "/opt/vllm"}}
        config["model"]["backbone"] = "/m/qwen"
        config["run"] |= {"directory": "/scratch/joana", "trackers": ["wandb"]}
        lineage = [{"run": "/scratch/joana/first", "module": {"run": "C:\\runs\\module"}}]
        manifest = {"config": config, "backbone": {"name": "/m/qwen", "digest": "x"}, "lineage": lineage}
        found = without_places({**manifest, "state": {"step": 1}}, base_of("/m/qwen"))
        assert found["config"]["task"]["options"]["path"] == kept
        assert found["config"]["engine"] == {"name": "local", "options": {}}
        assert (found["config"]["run"]["directory"], found["config"]["run"]["trackers"]) == ("", [])
        assert found["config"]["model"]["backbone"] == found["backbone"]["name"] == "qwen"
        assert found["lineage"] == [{"run": "first", "module": {"run": "module"}}]
        assert "state" not in found
        assert config["run"]["directory"], "the original stays"
    assert last("a/b/") == "b"


def test_a_text_that_tells_of_a_place_is_found(tmp_path, monkeypatch):
    monkeypatch.setattr(Path, "home", lambda: Path("/home/joana"))
    (tmp_path / "out").mkdir()
    text = tmp_path / "out" / "prompt.toml"
    for harmless in ("home/joana", "x/home/joana", "/home/joanasson", "https://x/home/joana"):
        text.write_text(harmless)
        check_no_places(tmp_path / "out")
    for telling in ("see /home/joana/x", "'/home/joana'", f"{tmp_path}/run"):
        text.write_text(telling)
        with pytest.raises(RunError, match=r"prompt.toml would tell others of"):
            check_no_places(tmp_path / "out", tmp_path)
