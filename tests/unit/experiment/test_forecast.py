"""What an experiment would take: figures by hand, what is not known, and the command that tells it."""

from __future__ import annotations

import csv
import io
import json

import pytest

from neuromas.cli import main
from neuromas.experiment.cells import lay_out
from neuromas.experiment.forecast import forecasts
from neuromas.experiment.plan import make_plan
from neuromas.growth.stages import goals
from neuromas.models.dims import TINY
from neuromas.report.pages.forecast import forecast_blocks
from neuromas.report.writers import as_text
from neuromas.system.cost import Load, estimate, pieces
from neuromas.topology.shapes import build_shape

ROWS = [f"Question {number}: is {number} even?" for number in range(100, 140)]  # 26 bytes each
PLAN = {
    "name": "cheap",
    "seeds": [0, 1, 2],
    "base": {
        "model": {"backbone": "tiny", "rank": 4},
        "network": {"style": "chat", "message_tokens": 5, "answer_tokens": 3},
        "train": {"problems": 2, "samples": 4},
        "evaluate": {"every": 4, "validation": 6, "test": 7},
    },
    "arms": [
        {"name": "grown", "stages": [["1-1", 10], ["2-1", 4]]},
        {"name": "base", "stages": [["1", 0]]},
        {"name": "voting", "of": "grown", "votes": 3},
    ],
}
TOML = """
name = "cheap"
seeds = [0, 1, 2]
[base]
model = { backbone = "tiny", rank = 4 }
task = { name = "file", options = { path = "data.jsonl", test_share = 0.5 } }
[[arms]]
name = "one"
network = { topology = "1" }
train = { steps = 3 }
[[arms]]
name = "paid"
network = { topology = "1" }
train = { steps = 3, credit = "difference" }
[[arms]]
name = "again"
network = { topology = "1" }
train = { steps = 3, passes = 2 }
[[arms]]
name = "absent"
model = { backbone = "no/model" }
network = { topology = "1" }
train = { steps = 3 }
"""


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder with forty questions of the same length."""
    rows = [{"question": one, "answer": "yes" if number % 2 else "no"} for number, one in enumerate(ROWS)]
    (tmp_path / "data.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "cheap.toml").write_text(TOML)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_stages_by_hand(here):
    """Stages are added up: their updates, the questions they answer, and three seeds of it."""
    task = {"task": {"name": "file", "options": {"path": "data.jsonl"}}}
    plan = make_plan(PLAN | {"base": PLAN["base"] | task})
    cells = lay_out(plan, here / "out")
    grown, base = forecasts(cells)
    assert (grown.arm, base.arm) == ("grown", "base"), "what votes is not estimated"
    assert (grown.seeds, grown.nodes) == (3, (2, 3))
    assert grown.parameters == (2 * 4 * 448, 3 * 4 * 448)
    assert grown.training == 3 * 8 * (10 * 2 + 4 * 3)
    load = Load(26, 5, 3, 2, 4, style="chat")
    first, second = (
        estimate(graph, TINY, assignment=range(len(graph.nodes)), ranks=[4] * len(graph.nodes), load=load)
        for graph in goals(cells[0].config)
    )
    # 10 steps have validations after 4 and 8 and at their end, 4 have one; 7 questions before and after
    by_hand = 10 * first.step_flops + (3 * 6 + 2 * 7) * first.answer_flops
    by_hand += 4 * second.step_flops + (6 + 2 * 7) * second.answer_flops
    assert grown.flops == pytest.approx(3 * by_hand)
    assert grown.hours(1e9) == pytest.approx(3 * by_hand / 1e9 / 3600)
    one = estimate(goals(cells[1].config)[0], TINY, assignment=[0], ranks=[4], load=load)
    assert base.training == 0
    assert base.flops == pytest.approx(3 * 7 * one.answer_flops)


def test_prompts_of_the_chat_style_are_counted():
    graph = build_shape("1")
    plain, chat = (
        estimate(graph, TINY, assignment=[0], ranks=[4], load=Load(style=style))
        for style in ("plain", "chat")
    )
    assert chat.prompt_tokens > plain.prompt_tokens + 50
    assert pieces("Is 12 + 3 even?") == 9


def test_the_command_estimates_and_writes_nothing(here, capsys):
    before = sorted(path.name for path in here.iterdir())
    assert main(["experiment", "cheap.toml", "--dry-run", "--csv", "--seeds", "0,2"]) == 0
    rows = {row["arm"]: row for row in csv.DictReader(io.StringIO(capsys.readouterr().out))}
    assert rows["one"]["seeds"] == "2"
    assert rows["one"]["trainable"] == "1,792"
    assert rows["one"]["calls of training"] == str(2 * 3 * 16 * 8)
    assert float(rows["one"]["GPU hours"]) == pytest.approx(float(rows["one"]["FLOP"]) / 20e12 / 3600)
    assert {rows[arm]["GPU hours"] for arm in ("paid", "again", "absent")} == {""}
    assert main(["experiment", "cheap.toml", "--dry-run", "--tflops", "7"]) == 0
    out = capsys.readouterr().out
    assert "estimate: 0.0 GPU hours in all, 3 of 4 arms left out" in out
    assert "assumed, not measured: a device that sustains 7 TFLOP/s" in out
    assert "not known: its credit, algorithm or passes take more" in out
    assert "not known: backbone 'no/model' is not downloaded" in out
    assert sorted(path.name for path in here.iterdir()) == before


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (["--tflops", "40"], "--tflops goes with --dry-run"),
        (["--dry-run", "--report"], "give one of them"),
        (["--csv"], "--csv goes with --report or --dry-run"),
        (["--dry-run", "--tflops", "0"], "'0' is not a whole number of at least 1"),
        (["--dry-run", "--arms", "two"], "unknown arm of the experiment 'two'"),
    ],
)
def test_flags_that_do_not_go_together(here, capsys, more, says):
    try:
        status = main(["experiment", "cheap.toml", *more])
    except SystemExit as left:
        status = left.code
    assert status != 0
    assert says in capsys.readouterr().err


def test_large_figures_are_short_and_whole_for_machines():
    row = {"task": "t", "arm": "a", "seeds": 1, "nodes": (3, 5), "parameters": (10, 2000), "training": 7}
    blocks = forecast_blocks([row | {"flops": 1.234e15, "hours": 2.5, "unknown": ""}], 20)
    assert "10 -> 2,000" in as_text(blocks)
    assert "1.23 P" in as_text(blocks)
    assert "estimate: 2.5 GPU hours in all\n" in as_text(blocks)


def test_a_task_that_is_not_chosen_needs_no_data(here, capsys):
    task = '[[tasks]]\nname = "file"\nlabel = "{0}"\noptions = {{ path = "{0}.jsonl" }}\n'
    text = TOML.replace('task = { name = "file", options = { path = "data.jsonl", test_share = 0.5 } }\n', "")
    (here / "two.toml").write_text(text + task.format("data") + task.format("gone"))
    assert main(["experiment", "two.toml", "--dry-run", "--tasks", "data"]) == 0
    capsys.readouterr()
    assert main(["experiment", "two.toml", "--dry-run"]) != 0
    assert "gone.jsonl" in capsys.readouterr().err
