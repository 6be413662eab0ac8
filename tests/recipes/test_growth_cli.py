"""grow, prune and lineage through the real command line, and what they refuse in one line."""

from __future__ import annotations

import json
import shlex
import shutil
from pathlib import Path
from xml.etree import ElementTree

import pytest
import torch

from neuromas.cli import main
from neuromas.storage import MANIFEST, Run

SMALL = [
    "model.backbone=tiny",
    "model.dtype=float32",
    "model.device=cpu",
    "train.problems=1",
    "train.samples=2",
    "evaluate.test=2",
    "evaluate.validation=2",
    "evaluate.every=1",
    "network.message_tokens=3",
    "network.answer_tokens=3",
    "task.options.n=4",
]
HOSTILE = 'a<b>&"\x1b[2J\u202e\nrun'


@pytest.fixture(scope="module")
def parent(tmp_path_factory):
    """A trained run of two nodes in a directory whose name would act on a terminal or in XML."""
    path = tmp_path_factory.mktemp("cli") / HOSTILE
    torch.set_num_threads(1)  # so small a model only waits for more
    stages = "growth.stages=[['1-1', 1]]"
    assert main(["train", *SMALL, stages, "--run", str(path)]) == 0
    return path


@pytest.fixture(scope="module")
def heir(parent):
    """Its heir, in the directory ``grow`` chooses."""
    assert main(["grow", str(parent), "--to", "2-1", "--steps", "1", "growth.init=clone"]) == 0
    return Path(f"{parent}-to-2-1")


@pytest.fixture
def empty(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_grow_may_leave_the_network_as_it_is_made(parent, tmp_path, cli):
    words = ["grow", str(parent), "--to", "2-1", "--copy", "--steps", "0", "--run", str(tmp_path / "made")]
    assert cli(*words)[0] == 0
    assert not list(Run.open(tmp_path / "made").lines("metrics.jsonl"))
    assert cli("evaluate", str(tmp_path / "made"), "--items", "2")[0] == 0


def test_grow_trains_on(heir, cli):
    run = Run.open(heir)
    assert run.finished
    assert len(json.loads((run.checkpoints()[-1] / MANIFEST).read_text())["assignment"]) == 3
    status, out, _ = cli("lineage", str(heir))
    first, change, last = out.splitlines()
    assert status == 0
    assert first.startswith("1-1  ")
    assert "\\x1b[2J\\u202e\\n" in first, "the run's name cannot act"
    assert "step 1: 1 steps, " in first
    assert change.startswith("  └ 2-1 (widen layer 1; init clone; old nodes keep their position numbers")
    assert last.startswith("2-1  2 steps, ")
    status, _, err = cli("grow", str(heir.parent / HOSTILE), "--to", "2-1", "--steps", "1")
    assert status == 2
    assert "already holds a run" in err


def test_lineage_is_drawn_as_xml(heir, parent, cli, empty):
    folder = empty / "copy"
    shutil.copytree(Run.open(heir).checkpoints()[-1], folder)
    data = json.loads((folder / MANIFEST).read_text())
    data["lineage"][0]["operators"] = [HOSTILE]
    (folder / MANIFEST).write_text(json.dumps(data))
    for path, count in ((heir, 2), (folder, 2), (parent, 1)):
        status, out, err = cli("lineage", str(path), "--svg", "tree.svg")
        assert (status, out.splitlines()[-1]) == (0, "wrote tree.svg"), err
        assert "\x1b" not in out
        text = (empty / "tree.svg").read_text("utf-8")
        root = ElementTree.fromstring(text)
        assert len(root.findall("{http://www.w3.org/2000/svg}svg")) == count
        assert not set("\x1b\u202e") & set(text)


def test_prune_writes_a_network_that_answers(heir, cli, empty):
    status, out, _ = cli("prune", str(heir), "--node", "1.1", "--out", "less")
    assert (status, out) == (0, "remove node 1.1: 1-1, written to less\n")
    assert cli("ask", "less", "What is the largest number? 3 17 12 8")[0] == 0
    assert "remove node 1.1" in cli("lineage", "less")[1]
    assert cli("prune", str(heir), "--node", "1.2", "--out", "less")[0] == 2


def test_a_damaged_lineage_is_one_line(parent, cli, empty):
    folder = shutil.copytree(Run.open(parent).checkpoints()[-1], empty / "network")
    text = (folder / MANIFEST).read_text()
    for change in ({"lineage": 3}, {"lineage": [{}]}, {"spent": {}}, {"topology": {}}):
        (folder / MANIFEST).write_text(json.dumps({**json.loads(text), **change}))
        for words in (
            ["lineage", "network", "--svg", "x.svg"],
            ["prune", "network", "--node", "1.1", "--out", "x"],
            ["grow", "network", "--to", "2-1", "--steps", "1", "--run", "x"],
        ):
            if change == {"spent": {}} and words[0] != "lineage":
                continue
            status, out, err = cli(*words)
            assert (status, out, len(err.splitlines())) == (2, "", 1), (change, words, err)
    assert [path.name for path in empty.iterdir()] == ["network"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ("grow none --to 2-1 --steps 1", "run 'none' does not exist"),
        ("grow RUN --to 2-1 --steps -1", "not a whole number of at least 0"),
        ("grow RUN --to 2-1", "required: --steps"),
        ("grow RUN --to 1 --steps 1", "growth stage 1: 1-1 cannot grow into 1: a trained node"),
        ("grow RUN --to tre:2 --steps 1", "did you mean 'tree'?"),
        ("grow RUN --to cycle.json --steps 1", "the graph has a cycle"),
        ("grow RUN --to sinks.json --steps 1", "one output node, this graph has 2"),
        ("grow RUN --to lost.json --steps 1", "one output node"),
        ("grow RUN --to none.json --steps 1", "No such file"),
        ("grow RUN --to 2-1 --steps 1 train.steps=9", "growth.stages make it 1"),
        ("grow RUN --to 2-1 --steps 1 network.topology=3-1", "growth.stages make it '2-1'"),
        ("grow RUN --to 2-1 --steps 1 growth.init=gates", "growth.init: 'gates'"),
        ("grow RUN --to 2-1 --steps 1 model.backbone=none", "none"),
        ("grow RUN --to 200-1 --steps 1", "context of 2048"),
        ("lineage none", "run 'none' does not exist"),
        ("lineage RUN --svg no/x.svg", "the folder 'no' does not exist"),
        ("prune none --node a --out x", "run 'none' does not exist"),
        ("prune RUN --out x", "one of the arguments --node --edge is required"),
        ("prune RUN --node 2.1 --out x", "is the output and cannot be removed"),
        ("prune RUN --node 9 --out x", "unknown node"),
        ("prune RUN --edge 1.1 2.1 --out x", "one output node"),
        ("prune RUN --edge 1.1 1.1 --out x", "there is no edge"),
        ("prune RUN --node 1.1 --out cycle.json", "is not a folder"),
        ("""train "growth.stages=[['2-2-1',5],['1-1-1',5]]" """, "2-2-1 cannot grow into 1-1-1"),
        ("""train "growth.stages=[['1-1',1],['cycle.json',1]]" """, "cycle"),
        ("""train "growth.stages=[['1-1',1],['2-1']]" """, "['2-1'] is not [shape, steps]"),
        ("""train "growth.stages=[['1-1',1.5]]" """, "is not [shape, steps]"),
        ("""train "growth.stages=[['1-1',-1]]" """, "is not [shape, steps]"),
        ("train growth.stages=3", "growth.stages = 3: should be a list"),
        ("train growth.stages=1-1", "growth.stages = '1-1'"),
        (
            """train "growth.stages=[['1-1',1]]" train.steps=2""",
            "train.steps = 2, but growth.stages make it 1",
        ),
        ("train growth.parent=none", "run 'none' does not exist"),
        ("train growth.stage=3", "did you mean 'growth.stages'?"),
    ],
)
def test_what_is_refused_is_one_line_and_nothing_is_written(parent, cli, empty, arguments, says):
    names = ["a", "b", "o"]
    files = {
        "cycle.json": [["a", "b"], ["b", "a"], ["b", "o"]],
        "sinks.json": [["a", "b"], ["a", "o"]],
        "lost.json": [["a", "o"]],
    }
    for name, edges in files.items():
        (empty / name).write_text(json.dumps({"nodes": names, "edges": edges}))
    words = [word.replace("RUN", str(parent)) for word in shlex.split(arguments)]
    if words[0] == "train":
        words[1:1] = SMALL
    if words[0] in ("train", "grow"):
        words += ["--run", "run"]
    before = sorted(parent.parent.iterdir())
    status, out, err = cli(*words)
    assert (status, out) == (2, ""), err
    assert len(err.splitlines()) == 1, err
    assert says in err
    assert sorted(path.name for path in empty.iterdir()) == sorted(files)
    assert sorted(parent.parent.iterdir()) == before


def test_grow_by_copies_prints_its_map_and_keeps_it(heir, cli, empty):
    words = ["grow", str(heir), "--to", "tree:2,2", "--steps", "1", "--run", "tree", "network.question=first"]
    status, out, err = cli(*words, "--copy", "--map", "1.3=1.2", "2.2=1.1")
    assert status == 0, err
    lines = ["1.1 2.2 = copy of 1.1", "1.2 1.3 1.4 = copy of 1.2", "2.1 3.1 = copy of 2.1"]
    assert out.splitlines()[:3] == lines, "before training"
    manifest = json.loads((Run.open(Path("tree")).checkpoints()[-1] / MANIFEST).read_text())
    assert manifest["lineage"][-1]["copies"]["2.2"] == "1.1"
    assert len(set(manifest["assignment"])) == 7
    told = cli("lineage", "tree")[1]
    assert "copy 1.1 to 1.1 2.2" in told
    assert "exact copies; every node is told its own position" in told
    assert all(f"    {line}\n" in told for line in lines)
    again = [*words[:2], "--to", "tree:2,2", "--steps", "1", "--run", "tied", "growth.tied=true"]
    assert cli(*again, "--copy", "network.question=first")[0] == 0
    manifest = json.loads((Run.open(Path("tied")).checkpoints()[-1] / MANIFEST).read_text())
    assert manifest["assignment"] == [0, 2, 0, 2, 1, 1, 1], "rows of the parent"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--copy", "--map", "9.9=1.1"], "9.9"),
        (["--copy", "--map", "1.1=7"], "trained node in growth.map"),
        (["--copy", "--map", "1.1"], "is not new=old"),
        (["--map", "1.1=1.1"], "needs --copy"),
        (["growth.map={'1.1' = '1.1'}"], "needs growth.init = 'copy'"),
        (["--copy", "--map", "1.2=2.1", "1.4=2.1"], "no new node copies the trained node '1.2'"),
        (["--copy", "train.only=['9.9']"], "train.only: unknown node '9.9'"),  # the map itself is right
    ],
)
def test_maps_that_are_no_maps_are_one_line_and_write_nothing(heir, cli, empty, words, says):
    settings = [word for word in words if word.startswith(("growth.", "train."))]
    options = [word for word in words if word not in settings]
    status, out, err = cli(
        "grow", str(heir), "--to", "tree:2,2", "--steps", "1", "--run", "x", *settings, *options
    )
    assert (status, out, len(err.splitlines())) == (2, "", 1), err
    assert says in err
    assert not list(empty.iterdir())


def test_grow_by_a_graft_prints_who_copies_whom_and_goes_on(parent, heir, cli, empty):
    words = ["grow", heir, "--graft", "1.2", "--steps", "1", "--run", "own"]
    status, out, err = cli(*words)
    assert status == 0, err
    assert out.splitlines()[:3] == [
        *("1.1 1.2_1.1 = copy of 1.1", "1.2_1.2 = copy of 1.2", "1.2_2.1 2.1 = copy of 2.1"),
    ]
    status, out, err = cli(*words[:4], "--module", "own", *words[4:-1], "both")
    assert status == 0, err
    assert "1.2_1.2_2.1 = copy of own:1.2_2.1\n" in out
    told = cli("lineage", "both", "--svg", "both.svg")[1]
    assert "own, grafted in: 3 steps, " in told
    assert told.splitlines()[-2].split("  ")[1].startswith("4 steps, "), "common ancestors once"
    assert (empty / "both.svg").read_text().count("<svg ") == 1 + 6
    assert cli("report", "both")[0] == 0
    assert cli("runs", ".")[1].count("{") == 0, "no shape of a hundred words"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("--graft 7", "unknown node to graft at '7'"),
        ("--graft 2.1", "reads messages"),
        ("--graft 1.1 --module none", "run 'none' does not exist"),
        ("--module none", "one of the arguments --to --graft is required"),
        ("--to 3-1 --module none", "needs --graft"),
        ("--to 3-1 --graft 1.1", "not allowed with"),
        ("--graft 1.1 --map 1.1=1.2", "needs --copy"),
        ("--graft 1.1 network.question=split", "contradicts"),
        ("--graft 1.1 growth.module=none", "run 'none' does not exist"),
    ],
)
def test_grafts_that_cannot_be_are_one_line_and_write_nothing(heir, cli, empty, words, says):
    status, out, err = cli("grow", heir, *words.split(), "--steps", "1", "--run", "x")
    assert (status, out, len(err.splitlines())) == (2, "", 1), err
    assert says in err
    assert not list(empty.iterdir())


def test_a_module_of_another_rank_is_one_line_and_writes_nothing(heir, cli, empty):
    assert (
        cli("train", *SMALL, "model.rank=2", "network.topology=1-1", "train.steps=1", "--run", "two")[0] == 0
    )
    status, out, err = cli("grow", heir, "--graft", "1.1", "--module", "two", "--steps", "1", "--run", "x")
    assert (status, out, len(err.splitlines())) == (2, "", 1), err
    assert "model.rank = 2 there, 8 here" in err
    assert [path.name for path in empty.iterdir()] == ["two"]
