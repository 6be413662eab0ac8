"""Tied, shared by layer, and untied copies side by side, through the real command line on the tiny model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from neuromas.cli import main
from neuromas.storage import MANIFEST, Run

SMALL = [
    *("model.backbone=tiny", "model.dtype=float32", "model.device=cpu", "model.rank=2"),
    *("train.problems=1", "train.samples=2", "train.kl=0.1", "train.entropy=0.01", "train.warmup=1"),
    *("evaluate.test=2", "evaluate.every=0", "network.message_tokens=2", "network.answer_tokens=2"),
    *("task.name=arithmetic", "task.options={ask = true, depth = 2, parts = 4}", "growth.init=copy"),
]
STAGES = (
    "stages=[{shape='1',steps=1},{shape='2-1',steps=1,task={depth=2,parts=2}},{shape='tree:2,2',steps=1}]"
)
WAYS = {
    "tied": (["growth.tied=true"], [0] * 7, 1),
    "layer": (["network.share=layer"], [0, 0, 0, 0, 1, 1, 2], 3),
    "untied": ([], [0, 1, 3, 4, 2, 5, 6], 7),
}


def manifest(folder: Path) -> dict:
    return json.loads((folder / MANIFEST).read_text())


@pytest.fixture(scope="module", params=WAYS)
def grown(request, tmp_path_factory):
    """A run that grew from one node over three to seven."""
    torch.set_num_threads(1)
    path = tmp_path_factory.mktemp(request.param) / "run"
    assert (
        main(["train", *SMALL, STAGES, "network.question=split", *WAYS[request.param][0], "--run", str(path)])
        == 0
    )
    return request.param, path


def test_adapters_are_as_many_as_are_not_shared_and_stay_so(grown, cli, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    way, path = grown
    _, rows, many = WAYS[way]
    folder = Run.open(path).handed_on
    assert manifest(folder)["assignment"] == rows
    assert len(list((folder / "adapters").iterdir())) == many
    weights = [load_file(file) for file in sorted(folder.glob("adapters/*/*.safetensors"))]
    for i, one in enumerate(weights):
        assert not any(all(torch.equal(one[key], two[key]) for key in one) for two in weights[:i]), (
            "all learn"
        )
    assert cli("export", path, "--out", "given")[0] == 0
    assert manifest(Path("given"))["assignment"] == rows, "PEFT folders, as many"
    assert len(list(Path("given/adapters").iterdir())) == many
    asked = [
        cli("ask", where, "What is A + B? | 1 + 2 | 3 + 4 | 5 + 6 | 7 + 8")[:2] for where in (path, "given")
    ]
    assert asked[0] == asked[1]
    assert asked[0][0] == 0, "loaded and asked"
    shared = [
        f"{' '.join(group)} share adapter {row}" for row, group in by_row(rows).items() if len(group) > 1
    ]
    for words in (("lineage", path), ("lineage", "given"), ("report", path, "--page", "run")):
        said = [line.strip() for line in cli(*words)[1].splitlines() if "share adapter" in line]
        assert said == shared, words
    options = ["--steps", "1", "task.options={ask = true, depth = 3, parts = 8}", "network.question=split"]
    status, _, err = cli("grow", path, "--to", "tree:2,3", "--copy", "--run", "more", *options)
    assert status == 0, err
    last = manifest(Run.open(Path("more")).handed_on)["assignment"]
    assert len(set(last)) == {"tied": 1, "layer": 4, "untied": 15}[way]
    if way == "tied":
        words = ["grow", path, "--to", "tree:2,3", "--copy", "--run", "own", *options, "growth.tied=false"]
        assert cli(*words)[0] == 0
        assert len(set(manifest(Run.open(Path("own")).handed_on)["assignment"])) == 15, "untied when asked"


def by_row(rows: list[int]) -> dict[int, list[str]]:
    names = ["1.1", "1.2", "1.3", "1.4", "2.1", "2.2", "3.1"]
    found: dict[int, list[str]] = {}
    for name, row in zip(names, rows, strict=True):
        found.setdefault(row, []).append(name)
    return found
