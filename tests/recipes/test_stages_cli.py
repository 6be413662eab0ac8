"""A run of [[stages]] as the documentation has it, and every command on it and on its checkpoints."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from neuromas.storage import MANIFEST, Run

DOCS = Path(__file__).parents[2] / "docs" / "grow.md"
SMALL = [
    *("model.backbone=tiny", "model.dtype=float32", "model.device=cpu", "model.rank=4"),
    *("train.problems=2", "train.samples=2", "train.entropy=0.01", "evaluate.every=1"),
    *("evaluate.validation=3", "evaluate.test=3", "stages.1.steps=2", "stages.2.steps=2", "stages.3.steps=1"),
]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    from neuromas.cli import main

    folder = tmp_path_factory.mktemp("staged")
    found = re.search(r"<!-- staged -->\n```toml\n(.*?)```", DOCS.read_text("utf-8"), re.S)
    (folder / "staged.toml").write_text(found.group(1), "utf-8")
    assert main(["train", str(folder / "staged.toml"), *SMALL, "--run", str(folder / "run")]) == 0
    return folder / "run"


def test_the_documented_example_trains(trained):
    run = Run(trained)
    assert run.finished
    assert [row["to"] for row in run.lines("growth.jsonl")] == ["2-1", "2-2-1"]
    assert len(list(run.lines("metrics.jsonl"))) == 5


@pytest.mark.parametrize(
    "words",
    [
        ["evaluate", "RUN", "--items", "3"],
        ["evaluate", "RUN", "--items", "3", "--stage", "2", "--view", "first"],
        ["evaluate", "RUN/checkpoints/step-000004", "--items", "2", "--view", "first"],
        ["ask", "RUN", "What is the largest of 3, 8?"],
        ["ask", "RUN/checkpoints/step-000002", "What is the largest number? | 3 | 8"],
        ["show", "RUN"],
        ["report", "RUN", "--page", "run"],
        ["runs", "RUN"],
        ["lineage", "RUN"],
        ["lineage", "RUN/checkpoints/step-000004"],
        ["compare", "RUN:test-before", "RUN:test-after"],
        ["export", "RUN/checkpoints/step-000004", "--out", "TMP/out"],
        ["prune", "RUN/checkpoints/step-000004", "--node", "1.1", "--out", "TMP/out"],
        ["grow", "RUN/checkpoints/step-000004", "--to", "3-1", "--steps", "1", "--run", "TMP/out"],
        ["train", "--resume", "RUN"],
    ],
    ids=lambda words: "-".join(words[:2]).replace("/", "-"),
)
def test_commands_take_it_as_any_other(cli, trained, tmp_path, words):
    shutil.copytree(trained, tmp_path / "run")
    typed = [word.replace("RUN", str(tmp_path / "run")).replace("TMP", str(tmp_path)) for word in words]
    status, _, err = cli(*typed)
    assert status == 0, err
    assert "Traceback" not in err


def test_the_report_and_the_lineage_say_what_the_stages_were(cli, trained, tmp_path):
    _, said, _ = cli("report", trained, "--page", "run")
    rows = [" ".join(line.split()) for line in said.splitlines() if line[:1] in "123" and " of " in line]
    assert [row.partition(" of ")[0] for row in rows] == [
        "1 2-1 max n=4 parts=2 digits=1 split 2",
        "2 2-1 same split -> all, linear, to 1 2",
        "3 2-2-1 from 2-1 n=6 all 1",
    ]
    assert all(row.endswith(" steps") and " at " in row for row in rows)
    _, said, _ = cli("report", trained, "--page", "run", "--json")
    table = next(block for block in json.loads(said) if block.get("title") == "stages")
    assert [row[0] for row in table["rows"]] == [1, 2, 3]
    assert table["rows"][0][table["columns"].index("validation")] == 0.0
    assert cli("report", trained, "--out", tmp_path / "page.html")[0] == 0
    assert "split -&gt; all, linear, to 1" in (tmp_path / "page.html").read_text("utf-8")
    lines = [line for line in cli("lineage", trained)[1].splitlines() if "└" not in line]
    assert [line.rpartition("; ")[2] for line in lines] == ["reads split", "reads split -> all", "reads all"]
    assert [" n=6 " in line for line in lines] == [False, False, True]


def test_a_child_does_not_lift_its_parents_view_again(cli, trained, tmp_path):
    status, _, err = cli(
        "grow", trained / "checkpoints/step-000004", "--to", "3-1", "--steps", 1, "--run", tmp_path / "c"
    )
    assert status == 0, err
    config = json.loads((tmp_path / "c/config.json").read_text("utf-8"))
    assert (config["lift"]["view"], config["network"]["question"], config["growth"]["until"]) == (
        [],
        "all",
        0.0,
    )
    assert all("lifted" not in row for row in Run(tmp_path / "c").lines("metrics.jsonl"))


def test_a_view_must_be_there_to_be_asked_for(cli, trained):
    status, _, err = cli("evaluate", trained, "--items", 2, "--view", "first")
    assert status == 2
    assert err.strip().endswith("its lift.view is empty")


def test_a_strangers_stage_imports_nothing(cli, trained, tmp_path, monkeypatch):
    run = tmp_path / "run"
    shutil.copytree(trained, run)
    (tmp_path / "stranger.py").write_text("raise SystemExit('imported')\n", "utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("NEUROMAS_STATE", str(tmp_path / "state"))
    evil = {"name": "stranger:Task"}
    for file, key in [(run / "config.json", None), *((f / MANIFEST, "plan") for f in Run(run).checkpoints())]:
        data = json.loads(file.read_text("utf-8"))
        (data if key is None else data[key])["stages"][1]["task"] = evil
        file.write_text(json.dumps(data), "utf-8")
    (run / "status.json").write_text('{"finished": false, "step": 5, "seconds": 0}', "utf-8")
    status, _, err = cli("train", "--resume", run)
    assert status == 2
    assert "stranger:Task" in err
    for words in (["ask", run, "3, 8?"], ["lineage", run], ["show", run], ["runs", run]):
        assert "imported" not in cli(*words)[2]
