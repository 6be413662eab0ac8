"""``neuromas evaluate RUN --messages … --node …`` through the real command line on the tiny model."""

from __future__ import annotations

import json
import re
import shlex

import pytest

from neuromas.cli import main
from neuromas.storage import Run

SMALL = [
    *("model.backbone=tiny", "model.dtype=float32", "model.device=cpu", "train.steps=1", "train.problems=2"),
    *("train.samples=2", "evaluate.test=4", "evaluate.validation=2", "evaluate.every=1"),
    *("network.message_tokens=3", "network.answer_tokens=3", "task.options.n=4", "network.question=split"),
]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A trained run of a 2-1 network."""
    path = tmp_path_factory.mktemp("nodes") / "run"
    assert main(["train", *SMALL, "--run", str(path)]) == 0
    return path


def names(run):
    return {path.stem for path in (run / "evaluations").glob("*.json")}


def test_nodes_that_are_named_are_altered_and_kept_beside_what_there_was(run, cli):
    before = {name: (run / "evaluations" / f"{name}.json").read_bytes() for name in names(run)}
    status, out, err = cli(
        *("evaluate", run, "--items", 4, "--messages", "blank", "--node", "1.2,1.1", "--node", "1.1")
    )
    assert status == 0, err
    assert "altered messages  of 1.1, 1.2; they could reach the output in 4 items" in out
    assert re.search(
        r"drop +[+-][\d.]+ points.* on 4 items against test-after, p = .*lost \d, gained \d", out
    )
    assert "kept as 'test-4-blank-node-1.1+1.2'" in out
    status, out, err = cli("evaluate", run, "--items", 3, "--messages", "shuffle", "--node", "1.2", "--json")
    assert json.loads(out)["altered"] == ["1.2"]
    status, out, err = cli("evaluate", run, "--items", 3, "--messages", "blank", "--node", "1.2")
    assert "not known: no evaluation of the same questions" in out
    assert all((run / "evaluations" / f"{name}.json").read_bytes() == was for name, was in before.items())


def test_both_nodes_named_are_all_messages(run, cli):
    """What is written may only depend on what is read: blanking both is blanking all."""
    cli("evaluate", run, "--items", 4, "--messages", "blank", "--node", "1.1,1.2", "--name", "both")
    kept = Run.open(run)
    both, every = (kept.evaluation(name)[1] for name in ("both", "test-after-blank"))
    assert [item["messages"] for item in both] == [item["messages"] for item in every]


def test_each_measures_all_nodes_against_the_network_as_it_is(run, cli):
    status, out, err = cli("evaluate", run, "--items", 4, "--messages", "blank", "--node", "each")
    assert status == 0, err
    head, columns, *rows = out.splitlines()
    assert head == "influence of single nodes against test-4-none: message blanked"
    assert re.split(r" {2,}", columns) == [
        *("node", "accuracy", "drop", "lost, gained, tied", "p", "p, Holm", "items", "heard")
    ]
    assert [row.partition("  ")[0] for row in rows[:4]] == [
        "no message altered",
        "1.1",
        "1.2",
        "constant answer",
    ]
    made = {"test-4-none", "test-4-blank-node-1.1", "test-4-blank-node-1.2"}
    assert made <= names(run)
    assert all(f"kept as '{name}'" in out for name in made)
    status, out, err = cli("evaluate", run, "--items", 4, "--messages", "blank", "--node", "each", "--json")
    told = json.loads(out)
    assert [row["node"] for row in told["nodes"]] == ["1.1", "1.2"]
    for row in told["nodes"]:
        kept = Run.open(run).evaluation(f"test-4-blank-node-{row['node']}")[0]
        assert (row["accuracy"], kept["altered"]) == (kept["accuracy"], [row["node"]])
        assert row["drop"] == pytest.approx(told["baseline"]["accuracy"] - row["accuracy"])
    status, out, err = cli("report", run, "--out", run / "page.html")
    assert status == 0, err
    assert (run / "page.html").read_text("utf-8").count('class="small above"') == 2


def test_a_typed_name_and_swapped_positions_tell_evaluations_apart(run, cli):
    words = ("evaluate", run, "--items", 2, "--messages", "blank", "--node", "each", "--name", "mine")
    assert cli(*words)[0] == 0
    assert (
        cli("evaluate", run, "--items", 2, "--messages", "blank", "--node", "each", "--positions", "swapped")[
            0
        ]
        == 0
    )
    assert {"mine", "mine-blank-node-1.1", "mine-blank-node-1.2"} <= names(run)
    assert {"test-2-none-swapped", "test-2-blank-swapped-node-1.1"} <= names(run)
    assert Run.open(run).evaluation("mine")[0]["intervention"] == "none"


def test_a_checkpoint_keeps_nothing(run, cli):
    before = names(run)
    folder = run / "checkpoints" / "step-000001"
    status, out, err = cli("evaluate", folder, "--items", 2, "--messages", "blank", "--node", "each")
    assert (status, err) == (0, "")
    assert out.count("not kept: RUN is a checkpoint") == 1
    assert cli("evaluate", folder, "--items", 2, "--messages", "blank", "--node", "1.1")[0] == 0
    assert names(run) == before


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("--messages blank --node 1.3", "unknown node '1.3'; did you mean '1."),
        (
            "--messages blank --node 2.1",
            "node '2.1' is the output node, whose message nobody reads (valid: 1.1, 1.2)",
        ),
        ("--node 1.1", "it needs --messages blank or shuffle"),
        ("--node each", "it needs --messages blank or shuffle"),
        ("--messages blank --node each,1.1", "--node each is all nodes"),
        ("--messages blank --node 1.1,", "unknown node ''"),
        ("--messages blank --node 1.1 --method direct", "do not go together"),
        ("--messages blank --node 1.1 --votes 3", "do not go together"),
        ("--messages blank --node 1.1 --name a/b", "use no '/'"),
        ("--items 1 --messages shuffle --node 1.1", "at least two problems"),
    ],
)
def test_what_cannot_be_is_one_line_and_keeps_nothing(run, cli, words, says):
    before = names(run)
    status, out, err = cli("evaluate", run, *shlex.split(words))
    assert (status, out) == (2, "")
    assert says in err
    assert len(err.splitlines()) == 1
    assert names(run) == before


def test_a_network_of_one_node_says_so(tmp_path, cli):
    words = [word for word in SMALL if not word.startswith("network.question")]
    assert cli("train", *words, "network.topology=1", "--run", tmp_path / "one")[0] == 0
    status, _, err = cli("evaluate", tmp_path / "one", "--messages", "blank", "--node", "each")
    assert (status, len(err.splitlines())) == (2, 1)
    assert "the network has one node, '1.1', whose message nobody reads" in err
