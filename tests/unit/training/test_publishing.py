"""An engine that holds copies of the adapters is told of every change: it draws what the local one draws."""

from __future__ import annotations

import pytest
from test_stages import eventful, judge_by, swinging

from neuromas.config import make_config
from neuromas.system import assemble as assembling
from neuromas.training.run import resume, start
from parity import Parity
from watched import Watch, left_at, lines


@pytest.fixture(autouse=True)
def parity(monkeypatch):
    monkeypatch.setattr(assembling, "make_task", lambda name, options: Parity())
    judge_by(monkeypatch, swinging)


def served():
    """The eventful configuration with an engine of its own."""
    return make_config({**eventful().model_dump(mode="json"), "engine": {"name": "served:Served"}})


def drawn(path):
    """All that depends on what was drawn."""
    kept = [{**row, "seconds": 0} for row in lines(path / "metrics.jsonl")]
    return kept, *(lines(path / f"{name}.jsonl") for name in ("validation", "episodes", "events"))


def test_a_run_with_growth_going_back_and_undoing_is_the_same_with_copies(tmp_path):
    start(eventful(), tmp_path / "local", Watch())
    start(served(), tmp_path / "served", left_at(5, tmp_path / "served", tmp_path / "resumed"))
    assert drawn(tmp_path / "served") == drawn(tmp_path / "local")
    assert max(row["sampler_drift"] for row in lines(tmp_path / "served" / "metrics.jsonl")) < 1e-4

    assert len(lines(tmp_path / "resumed" / "metrics.jsonl")) == 6
    resume(tmp_path / "resumed", Watch())
    assert drawn(tmp_path / "resumed") == drawn(tmp_path / "local")
