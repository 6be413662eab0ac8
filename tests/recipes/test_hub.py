"""Pushing to a hub and pulling from it, against one on loopback: what is sent, what never, what fails."""

from __future__ import annotations

import hashlib
import json
import shutil

import pytest

import neuromas
from fake_hub import TOKEN, card_faults, fake_hub
from neuromas.cli import main

# how the client sends files
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")
SMALL = ["model.backbone=tiny", "model.dtype=float32", "train.steps=1", "train.problems=2", "train.samples=2"]
ASKED = "largest? | 1, 2 | 3, 4"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    config = neuromas.load_config(None, [*SMALL, "evaluate.test=2", "evaluate.validation=2", "task.name=max"])
    path = tmp_path_factory.mktemp("runs") / "one"
    neuromas.train(config, path)
    return path


@pytest.fixture
def hub(tmp_path, monkeypatch):
    with fake_hub() as found:
        for name, value in {
            "HF_ENDPOINT": found.url,
            "HF_TOKEN": TOKEN,
            "HF_HUB_DISABLE_XET": "1",
            "NEUROMAS_CACHE": str(tmp_path / "cache"),
        }.items():
            monkeypatch.setenv(name, value)
        # read once, when the client is imported
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", found.url)
        template = found.url + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)
        yield found


def test_what_is_pushed_is_listed_and_answers_the_same_when_it_is_pulled(cli, hub, run, tmp_path):
    status, said, err = cli("export", run, "--out", tmp_path / "net", "--push", "joe/net")
    assert status == 0, err
    repo = hub.repos["joe/net"]
    assert repo.private, "nobody else reads it unless --public is said"
    listed = [line.split()[-1] for line in said.splitlines() if line.startswith("  ")]
    out = tmp_path / "net"
    written = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
    assert set(listed) == set(repo.files) == written
    for word in ("episodes", "optimisers", "prompts.jsonl"):
        assert not any(word in file for file in repo.files)
    assert not card_faults(repo.files["README.md"].decode())
    assert TOKEN not in said + err
    wanted = neuromas.load(run).trace(ASKED).turns
    assert neuromas.load("hub:joe/net").trace(ASKED).turns == wanted
    assert cli("ask", "hub:joe/net", ASKED)[0] == 0
    asked = len(hub.asked)
    assert neuromas.load(f"hub:joe/net@{repo.sha}").trace(ASKED).turns == wanted
    assert len(hub.asked) == asked, "a commit that is here is not asked for"


def test_a_failed_push_leaves_the_folder_and_says_how_to_go_on(cli, hub, run, tmp_path):
    hub.refuse_commit = 403
    out = tmp_path / "net"
    status, said, err = cli("export", run, "--out", out, "--push", "joe/net", "--public")
    assert status == 2
    assert "pushed:" not in said
    assert f"go on with: neuromas export {out} --push joe/net --public" in err
    assert len(err.splitlines()) == 1
    assert TOKEN not in said + err, "also where the hub repeats it"
    assert not hub.repos["joe/net"].files, "all or nothing"
    assert neuromas.load(out).trace(ASKED)
    hub.refuse_commit, hub.sent[:] = 0, []
    assert cli("export", out, "--push", "joe/net", "--public")[0] == 0
    assert hub.repos["joe/net"].files
    assert not hub.sent, "large files were there already"


def test_without_a_token_nothing_is_written(cli, hub, run, tmp_path, monkeypatch):
    monkeypatch.delenv("HF_TOKEN")
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "none"))
    status, _, err = cli("export", run, "--out", tmp_path / "net", "--push", "joe/net")
    assert status == 2
    assert err.startswith("neuromas: no token for the hub: run 'hf auth login', or set HF_TOKEN")
    assert not (tmp_path / "net").exists()
    status, said, _ = cli("export", run, "--out", tmp_path / "net", "--push", "joe/net", "--dry-run")
    assert status == 0
    assert "adapters/layer-2-output/adapter_model.safetensors" in said
    assert "nothing was uploaded" in said
    assert not hub.asked


@pytest.mark.parametrize("strange", ["run", "checkpoint", "changed"])
def test_only_what_was_exported_is_pushed(cli, hub, run, tmp_path, strange):
    folder = next((run / "checkpoints").iterdir()) if strange == "checkpoint" else run
    if strange == "changed":
        folder = tmp_path / "net"
        cli("export", run, "--out", folder)
        (folder / "README.md").write_text("another card")
    status, _, err = cli("export", folder, "--push", "joe/net")
    assert status == 2
    assert ("was not exported" if strange != "changed" else "README.md is damaged or was changed") in err
    assert not hub.asked


def test_files_that_came_into_the_folder_later_stay(cli, hub, run, tmp_path):
    out = tmp_path / "net"
    cli("export", run, "--out", out)
    (out / "episodes.jsonl").write_text("{}")
    (out / "adapters" / "notes.txt").write_text("mine")
    assert cli("export", out, "--push", "joe/net")[0] == 0
    assert not {"episodes.jsonl", "adapters/notes.txt"} & hub.repos["joe/net"].files.keys()


def test_a_public_repository_is_not_filled_by_mistake(cli, hub, run, tmp_path):
    out = tmp_path / "net"
    assert cli("export", run, "--out", out, "--push", "joe/net", "--public")[0] == 0
    status, _, err = cli("export", out, "--push", "joe/net")
    assert status == 2
    assert "everybody reads it" in err
    assert "go on with" in err
    assert hub.repos["joe/net"].commits == 1
    status, _, err = cli("export", out, "--push", "jane/net")
    assert status == 2
    assert "jane/net was not pushed" in err


def test_ctrl_c_says_how_to_go_on(cli, hub, run, tmp_path, monkeypatch):
    def stopped(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("huggingface_hub.HfApi.upload_folder", stopped)
    out = tmp_path / "net"
    status, _, err = cli("export", run, "--out", out, "--push", "joe/net")
    assert status == 130
    assert f"the folder is whole, go on with: neuromas export {out} --push joe/net" in err


def test_a_merged_node_is_pushed_by_its_list(cli, hub, run, tmp_path):
    out = tmp_path / "node"
    status, _, err = cli("export", run, "--out", out, "--merged", "--node", "2.1", "--push", "joe/node")
    assert status == 0, err
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= hub.repos["joe/node"].files.keys()
    assert not card_faults(hub.repos["joe/node"].files["README.md"].decode())


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("hub:joe", "is no name of a repository"),
        ("hub:joe/../x", "is no name of a repository"),
        ("hub:joe/net@a b", "is not hub:USER/NAME"),
        ("hub:joe/none", "joe/none cannot be pulled"),
    ],
)
def test_what_cannot_be_pulled_is_one_line(cli, hub, name, says):
    status, _, err = cli("ask", name, ASKED)
    assert status == 2
    assert says in err
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize("evil", ["../../evil.txt", "/etc/evil", ".cache/x", "*", "a//b"])
def test_a_strangers_manifest_names_no_file_elsewhere(cli, hub, run, tmp_path, evil):
    cli("export", run, "--out", tmp_path / "net", "--push", "joe/net")
    files = hub.repos["joe/net"].files
    manifest = json.loads(files["network.json"])
    manifest["files"][evil] = hashlib.sha256(b"x").hexdigest()
    files["network.json"], files[str(evil)] = json.dumps(manifest).encode(), b"x"
    status, _, err = cli("ask", "hub:joe/net", ASKED)
    assert status == 2
    assert "its network.json names" in err or "cannot be pulled" in err
    assert not list(tmp_path.rglob("evil*"))


def test_what_was_changed_on_the_way_is_refused(cli, hub, run, tmp_path):
    cli("export", run, "--out", tmp_path / "net", "--push", "joe/net")
    hub.repos["joe/net"].files["neuromas.toml"] += b"# and more"
    status, _, err = cli("ask", "hub:joe/net", ASKED)
    assert status == 2
    assert "neuromas.toml is damaged or was changed" in err
    assert main(["ask", str(shutil.copytree(tmp_path / "net", tmp_path / "copy")), ASKED]) == 0
