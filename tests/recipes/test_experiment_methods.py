"""Methods as arms of an experiment through the real command line: untrained networks, costs, refusals."""

from __future__ import annotations

import csv
import json
import sys

import pytest
from test_experiment import Inline

from neuromas.experiment.launchers import local
from neuromas.storage import Run

RIVALS = """
name = "rivals"
seeds = [0]
[base]
model = { backbone = "tiny", dtype = "float32", device = "cpu", rank = 4 }
network = { message_tokens = 3, answer_tokens = 3 }
task = { name = "max", options = { n = 4 } }
train = { problems = 2, samples = 4, lr = 0.01, warmup = 1 }
evaluate = { every = 1, validation = 3, test = 6 }
[[arms]]
name = "untrained"
stages = [{ shape = "SHAPE", steps = 0, task = { n = 5 } }]
[[arms]]
name = "trained"
stages = [{ shape = "SHAPE", steps = 1, task = { n = 5 } }]
[[arms]]
name = "direct"
of = "untrained"
method = "direct"
[[arms]]
name = "direct-again"
of = "trained"
method = "direct"
[[arms]]
name = "constant"
of = "untrained"
method = "constant"
[[arms]]
name = "sc"
of = "trained"
method = "self-consistency"
options = { votes = 2, temperature = 1.0 }
[[compare]]
first = "direct"
second = "direct-again"
equal = ["calls", "tokens", "flops", "parameters", "training"]
[[compare]]
first = "direct"
second = "sc"
equal = "flops"
why = "a rival"
"""


@pytest.fixture
def inline(monkeypatch):
    """Cells run in our process; their names as they begin."""
    began = []

    def launch(cell, environment):
        began.append(cell.arm.name)
        return Inline(cell, environment)

    monkeypatch.setattr(local, "launch", launch)
    return began


@pytest.mark.parametrize(("shape", "nodes"), [("1", 1), ("2-1", 3), ("tree:2,2", 7)])
def test_methods_of_untrained_networks_cost_what_they_cost(tmp_path, inline, cli, shape, nodes):
    file, out = tmp_path / "rivals.toml", tmp_path / "out"
    file.write_text(RIVALS.replace("SHAPE", shape))
    status, said, err = cli("experiment", file, "--out", out)
    assert (status, err) == (0, ""), said
    assert sorted(inline) == sorted(["untrained", "trained", "direct", "direct-again", "constant", "sc"])
    found = json.loads((out / "results.json").read_text())
    points = {point["arm"]: point for point in found["points"]}
    nothing = dict.fromkeys(("steps", "calls", "prompt_tokens", "new_tokens", "seconds"), 0)
    for name in ("untrained", "direct", "direct-again", "constant"):
        assert points[name]["spent"] == nothing, name
        assert (points[name]["rollouts"], points[name]["flops"]) == (0, 0), name
    for name in ("trained", "sc"):
        assert (points[name]["rollouts"], points[name]["spent"]["calls"]) == (8, 8 * nodes), name
    assert [points[name]["calls_a_question"] for name in ("direct", "constant", "sc")] == [1, 0, 2 * nodes]
    each = points["trained"]["trainable"] / nodes
    assert [points[name]["trainable"] for name in ("untrained", "direct", "sc")] == [
        nodes * each,
        0,
        nodes * each,
    ]
    run, other = (Run(out / "cells" / "max" / name / "seed-0") for name in ("untrained", "trained"))
    first, second = (one.evaluation("method-direct-stage-1-of-6")[1] for one in (run, other))
    assert first == second, "the frozen model knows nothing of any training"
    fair, unfair = found["comparisons"]
    assert fair["refused"] == []
    assert len(unfair["refused"]) == 1
    assert "direct:1 -> sc:1, equal flops (a rival)\n    refused: " in said
    status, table, _ = cli("experiment", file, "--out", out, "--report", "--csv")
    blocks = [list(csv.DictReader(block.splitlines())) for block in table.split("\n\n")]
    (row,) = [
        row for block in blocks for row in block if row.get("method", "").startswith("self-consistency")
    ]
    assert (row["method"], row["calls/question"]) == (
        "self-consistency votes=2 temperature=1.0",
        str(2.0 * nodes),
    )
    assert (row["training rollouts"], row["search calls"]) == ("8.0", "0.0")
    assert inline[6:] == []


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (('method = "direct"', 'method = "direkt"'), "unknown method 'direkt'; did you mean 'direct'?"),
        (("votes = 2,", "vote = 2,"), "arm 'sc': unknown option of method 'self-consistency' 'vote'"),
        (('"flops"\n', '"calls"\n'), "'direct' and 'sc' of 'max': 1 and 6 calls a question differ by 83.3 %"),
        (('"flops"\n', '"flop"\n'), "compare[2].equal[1] = 'flop'"),
    ],
)
def test_what_can_not_be_is_refused_before_anything_runs(tmp_path, inline, cli, change, says):
    file = tmp_path / "rivals.toml"
    file.write_text(RIVALS.replace("SHAPE", "2-1").replace(*change, 1))
    status, _, err = cli("experiment", file, "--out", tmp_path / "out")
    assert (status, err.count("\n"), inline) == (2, 1, [])
    assert says in err
    assert not (tmp_path / "out").exists()


OWN = '''
from neuromas.methods.direct import Direct

class Broken(Direct):
    """Its code fails while it is asked."""

    def answer(self, bench, problems, samples=1):
        return []
'''


def test_a_method_that_fails_is_named_and_the_matrix_goes_on(tmp_path, inline, cli, monkeypatch):
    (tmp_path / "own_broken.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "own_broken", raising=False)
    file = tmp_path / "rivals.toml"
    text = RIVALS.replace("SHAPE", "1").replace('"constant"\n[[', '"own_broken:Broken"\n[[')
    file.write_text(text)
    status, said, _ = cli("experiment", file, "--out", "out")
    assert status == 1
    assert "constant/seed-0  failed: method 'own_broken:Broken' does not give one answer" in said
    assert inline[-1] == "sc", "the others go on"
    cause = json.loads((tmp_path / "out" / "failures.json").read_text())["max/constant/seed-0"]
    assert cause.startswith("method 'own_broken:Broken' does not give one answer to every problem")
    assert "not run of max: constant" in said


def test_what_a_method_raises_is_the_cause_of_its_cell(tmp_path, inline, cli, monkeypatch):
    (tmp_path / "own_raising.py").write_text(OWN.replace("return []", r'raise ValueError("kaputt\nzwei")'))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "own_raising", raising=False)
    file = tmp_path / "rivals.toml"
    file.write_text(RIVALS.replace("SHAPE", "1").replace('"constant"\n[[', '"own_raising:Broken"\n[['))
    assert cli("experiment", file, "--out", "out")[0] == 1
    says = "method 'own_raising:Broken': ValueError: kaputt zwei"
    assert json.loads((tmp_path / "out" / "failures.json").read_text()) == {"max/constant/seed-0": says}
    run = tmp_path / "out" / "cells" / "max" / "untrained" / "seed-0"
    status, _, err = cli("evaluate", run, "--items", 2, "--method", "own_raising:Broken")
    assert (status, err) == (2, f"neuromas: {says}\n")
