"""Looking at real runs of the tiny model: the list, a whole trace, pages, one tracked run across a resume."""

from __future__ import annotations

import csv
import io
import json
import shutil
import sys
import types

import pytest

from neuromas.storage import Run
from neuromas.training import loop, trackers

SMALL = [
    "model.backbone=tiny",
    "model.dtype=float32",
    "model.device=cpu",
    "train.steps=2",
    "train.problems=2",
    "train.samples=2",
    "evaluate.test=4",
    "evaluate.validation=2",
    "evaluate.every=1",
    "network.message_tokens=3",
    "network.answer_tokens=3",
    "network.question=split",
    "task.options.n=4",
]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    from neuromas.cli import main

    path = tmp_path_factory.mktemp("looking") / "run"
    assert main(["train", *SMALL, "--run", str(path)]) == 0
    return Run.open(path)


def test_an_item_is_shown_as_its_nodes_read_and_wrote_it(run, cli):
    item = run.evaluation("test-after")[1][1]
    status, out, _ = cli("show", run.path, "--item", item["id"])
    assert status == 0
    assert out.count("reads\n") == 2 * 3
    read = run.prompts("test-after")[item["id"]]
    assert read[0] != read[1], "every node has a part of its own"
    shown = "".join(line.removeprefix("    │ ") for line in out.split("\n"))
    assert all(line in shown for text in read for line in text.split("\n") if line.isprintable())
    status, out, _ = cli("show", run.path, "--csv")
    assert len(list(csv.DictReader(io.StringIO(out)))) == 4
    status, out, _ = cli("show", run.path, "--item", item["id"], "--json")
    assert {one["kind"] for one in json.loads(out)} == {"text", "quote"}


def test_an_evaluation_made_later_can_be_shown_and_altered_messages_are_not_kept(run, cli, tmp_path):
    path = shutil.copytree(run.path, tmp_path / "copy")
    for way, kept in (("none", True), ("blank", False)):
        assert cli("evaluate", path, "--items", "3", "--messages", way, "--name", way)[0] == 0
        assert bool(Run.open(path).prompts(way)) == kept
    item = Run.open(path).evaluation("none")[1][0]["id"]
    assert "reads" in cli("show", path, "--evaluation", "none", "--item", item)[1]
    assert "was not kept" in cli("show", path, "--evaluation", "blank", "--item", item)[1]
    status, _, err = cli("evaluate", path, "--items", "1", "--name", "x.prompts")
    assert (status, "no ending '.prompts'" in err) == (2, True)


def test_every_page_of_a_run_in_every_form(run, cli, tmp_path):
    for page in ("run", "show", "lineage"):
        for form in ([], ["--markdown"], ["--csv"], ["--latex"], ["--json"]):
            status, out, err = cli("report", run.path, "--page", page, *form)
            assert (status, err) == (0, "")
            assert out
    status, out, _ = cli("report", run.path, "--page", "lineage", "--figures", tmp_path / "f", "--markdown")
    assert f"![ancestors of the network](<{tmp_path / 'f'}/lineage.svg>)".replace("_", "\\_") in out
    assert (tmp_path / "f" / "lineage.svg").read_text().startswith("<svg")


class Library(types.ModuleType):
    """Stands for wandb."""

    def __init__(self):
        super().__init__("wandb")
        self.begun, self.logged = [], []

    def init(self, **given):
        self.begun.append(given)

    def log(self, numbers, step):
        self.logged.append((step, numbers))

    def finish(self):
        """Nothing to do."""

    def Table(self, columns, data):
        return [dict(zip(columns, row, strict=True)) for row in data]


def test_an_interrupted_run_goes_on_as_the_same_tracked_run(cli, tmp_path, monkeypatch):
    wandb = Library()
    monkeypatch.setitem(sys.modules, "wandb", wandb)
    monkeypatch.setattr(trackers, "find_spec", lambda name: wandb)
    real = loop.train_step

    def once(trainer, *rest):
        if trainer.step == 1:
            raise KeyboardInterrupt
        return real(trainer, *rest)

    given = ["run.sinks=['wandb']", "run.project=thesis", "run.show=1", "run.checkpoint_every=1"]
    with monkeypatch.context() as change:
        change.setattr(loop, "train_step", once)
        assert cli("train", *SMALL, *given, "--run", tmp_path / "run")[0] == 130
    assert cli("train", "--resume", tmp_path / "run")[0] == 0
    first, second = wandb.begun
    assert first["id"] == second["id"]
    assert {first["project"], first["name"], first["resume"]} == {"thesis", "run", "allow"}
    assert [step for step, numbers in wandb.logged if "reward" in numbers] == [0, 1]
    steps = [step for step, _ in wandb.logged]
    assert steps == sorted(steps), "wandb refuses to go back"
    tables = {name: rows for _, numbers in wandb.logged for name, rows in numbers.items() if "/" in name}
    after = Run.open(tmp_path / "run").evaluation("test-after")
    assert [row["node 3"] for row in tables["test-after/items"]] == [row["messages"][2] for row in after[1]]
    numbers = {name: value for _, found in wandb.logged for name, value in found.items()}
    assert numbers["test-after/accuracy"] == after[0]["accuracy"]
    assert numbers["samples"][0]["question"]
