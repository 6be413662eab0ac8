"""Runs whose nodes are credited apart: their draws, their cost, and that they go on where they stopped."""

from __future__ import annotations

import json

import pytest
from test_resume import weights

from neuromas.config import make_config
from neuromas.storage import MANIFEST, Run
from neuromas.system import assemble as assembling
from neuromas.system.assemble import assemble
from neuromas.training.run import resume, start
from neuromas.training.step import train_step
from neuromas.training.trainer import Trainer
from parity import Parity, small
from watched import left_at

CREDITS = {
    "difference": {"baseline": "ema"},
    "solo": {"baseline": "grpo_global", "length_penalty": 0.1},
    "counterfactual": {"baseline": "rloo", "alternatives": 2},
    "c3": {"baseline": "rloo", "alternatives": 2, "samples": 1, "entropy": 0.01},
}
EXTRA = {"difference": 2, "solo": 2, "counterfactual": 10, "c3": 10}  # calls an episode of two nodes and one


@pytest.fixture
def parity(monkeypatch):
    monkeypatch.setattr(assembling, "make_task", lambda name, options: Parity())


def lines(run, name):
    return [json.loads(line) for line in (run.path / name).read_text().splitlines()]


@pytest.mark.parametrize("credit", CREDITS)
def test_a_run_that_goes_on_is_the_same_run_and_knows_what_it_cost(credit, tmp_path, parity):
    config = make_config(small(train={"steps": 4, "credit": credit, **CREDITS[credit]}))
    whole = start(config, tmp_path / "whole", left_at(2, tmp_path / "whole", tmp_path / "half"))
    assert len(lines(Run.open(tmp_path / "half"), "metrics.jsonl")) == 3
    half = resume(tmp_path / "half")
    assert weights(half.path) == weights(whole.path)
    rows, again = lines(whole, "metrics.jsonl"), lines(half, "metrics.jsonl")
    for row, other in zip(rows, again, strict=True):
        assert {**row, "seconds": 0} == {**other, "seconds": 0}
        episodes = 2 * config.train.samples
        assert row["replayed"]["calls"] == EXTRA[credit] * episodes
        assert row["calls"] == (3 + EXTRA[credit]) * episodes
        assert row["rollouts"] == episodes + row["replayed"]["episodes"]
        assert set(row["seconds"]) == {"rollout", "replay", "learn"}
        assert any(row["gradient_norm"])
    manifest = json.loads((Run(whole.path).checkpoints()[-1] / MANIFEST).read_text())
    for name in ("calls", "prompt_tokens", "new_tokens"):
        assert manifest["spent"][name] == sum(row[name] for row in rows)


def stepped(monkeypatch, twice=False, **train):
    """The first step of a small network, what was asked of the engine, and the adapters after it."""
    config = make_config(small(train={"accumulate": 2, **train}))
    assembly = assemble(config, task=Parity())
    trainer = Trainer(assembly.network, assembly.model, config.train, config.seed)
    engine, asked = type(assembly.network.engine), []
    real = engine.generate

    def generate(self, requests, temperature, ends):
        asked.append(list(requests))
        return real(self, requests, temperature, ends)

    problems = [Parity().problem("train", 0 if twice else place) for place in range(4)]
    with monkeypatch.context() as patch:
        patch.setattr(engine, "generate", generate)
        report, _ = train_step(trainer, Parity(), problems)
    return report, asked, [vector.detach().clone() for vector in assembly.model.bank.parameters]


@pytest.mark.parametrize("credit", CREDITS)
def test_every_draw_of_a_step_is_another_one(credit, monkeypatch):
    report, asked, after = stepped(monkeypatch, twice=True, credit=credit, **CREDITS[credit])
    seeds = [request.seed for batch in asked for request in batch]
    assert len(set(seeds)) == len(seeds) == report["calls"], "though all four problems are the same one"
    again, _, same = stepped(monkeypatch, twice=True, credit=credit, **CREDITS[credit])
    assert {**again, "seconds": 0} == {**report, "seconds": 0}
    assert all(bool((a == b).all()) for a, b in zip(after, same, strict=True))


def test_a_layer_is_one_batch_for_all_problems_nodes_and_alternatives(monkeypatch):
    _, asked, _ = stepped(monkeypatch, credit="c3", alternatives=3)
    # two batches of two problems and four samples; then of either: 3 x 2 first messages, and 3 x 3 answers
    assert [len(batch) for batch in asked] == [16, 8, 16, 8, 48, 72, 48, 72]


def test_the_shared_reward_is_the_default_and_reports_nothing_more(monkeypatch):
    report, _, after = stepped(monkeypatch)
    same, _, again = stepped(monkeypatch, credit="shared")
    assert {**report, "seconds": 0} == {**same, "seconds": 0}
    assert "replayed" not in report
    assert set(report["seconds"]) == {"rollout", "learn"}
    assert all(bool((a == b).all()) for a, b in zip(after, again, strict=True))
