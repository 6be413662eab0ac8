"""Messages too long for their reader, from the rollout to the report: what a network breaks itself is wrong.

The real run with the tiny model, its context cut so far that the output node can read short messages only.
Every answer that is given earns all, so whatever is below 1 is what the network lost by overflowing.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from neuromas.config import make_config
from neuromas.core.task import Score
from neuromas.models.backbone import load_backbone
from neuromas.report.pages.run import run_report
from neuromas.storage import Run
from neuromas.system import assemble as assembling
from neuromas.training.run import start
from parity import Parity, small

CONTEXT = 84  # tokens; the output node's prompt has 60 to 110, by what it is told


class Generous(Parity):
    """Pays for every answer that is given at all."""

    def score(self, problem, text):
        return Score(1.0, text or "empty")


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Run:
    """A trained run in which some messages overflow the reader's context."""
    config = make_config(
        small(
            network={"topology": "1-1", "message_tokens": 12, "answer_tokens": 4},
            train={"steps": 10, "problems": 4, "samples": 8, "lr": 0.02, "warmup": 0},
            evaluate={"every": 2, "validation": 24, "test": 24},
        )
    )
    backbone = replace(load_backbone("tiny", "float32", "cpu"), context=CONTEXT)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(assembling, "make_task", lambda name, options: Generous())
        return start(config, tmp_path_factory.mktemp("overflow") / "run", backbone=backbone)


def test_training_pays_nothing_for_what_overflowed(run):
    rows = list(run.lines("metrics.jsonl"))
    episodes = 4 * 8
    assert any(0 < row["failed_episodes"] < episodes for row in rows)
    for row in rows:
        assert row["reward"] == pytest.approx(1 - row["failed_episodes"] / episodes)
        assert row["calls"] == 2 * episodes - row["failed_episodes"], "a node that cannot read says nothing"
    # whoever wrote too much is told so: in a group with one overflow, all first messages carry gradient
    learned = [row["learned_messages"] for row in rows if 0 < row["failed_episodes"] < episodes]
    assert min(learned) > 0


def test_validation_counts_it_as_wrong_and_chooses_the_best_checkpoint_so(run):
    rows = {row["step"]: row for row in run.lines("validation.jsonl")}
    assert any(row["failed"] for row in rows.values())
    for row in rows.values():
        assert row["accuracy"] == pytest.approx(1 - row["failed"] / row["items"])
        assert (row["items"], row["unasked"]) == (24, 0)
        assert row["interval"]["low"] < row["accuracy"] or row["accuracy"] == 0
    status = run.read("status.json")
    assert rows[status["best"]]["failed"] == min(row["failed"] for row in rows.values())
    assert len({row["failed"] for row in rows.values()}) > 1, "else any checkpoint would be the best"


def test_the_report_says_how_many_failed_and_why(run):
    shown = run_report(run)
    for when in ("before", "after"):
        summary = run.read(f"evaluations/test-{when}.json")
        assert summary["accuracy"] == pytest.approx(1 - summary["failed"] / 24)
        assert 0 < summary["failed"] < 24
        line = next(line for line in shown.splitlines() if line.startswith(f"failed {when}: "))
        why = "most often \"node '2.1': a prompt of"
        assert line.startswith(f"failed {when}: {summary['failed']} of 24; {why}")


def test_items_keep_what_was_said_and_no_answer(run):
    kept = list(run.lines("evaluations/test-after.jsonl"))
    lost = [item for item in kept if item["failure"]]
    assert lost
    for item in lost:
        assert (item["score"], item["parsed"], item["answer"]) == (0.0, None, "")
        assert len(item["messages"]) == 1
        assert "do not fit the model's context of 84" in item["failure"]
