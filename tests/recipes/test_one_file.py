"""The one-file twin is the method: same seeds, same messages, rewards, losses and gradient norms."""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from neuromas.config import TrainConfig
from neuromas.engines.base import Generation, Request
from neuromas.engines.local.engine import LocalEngine
from neuromas.models.adapters import LoraSpec
from neuromas.models.backbone import load_backbone
from neuromas.models.resident import ResidentModel
from neuromas.system import rollout
from neuromas.system.network import Network
from neuromas.topology.graph import Topology
from neuromas.training.step import train_step
from neuromas.training.trainer import Trainer

FILE = Path(__file__).parents[2] / "recipes" / "one_file_reinforce.py"


@pytest.fixture(scope="module")
def twin():
    spec = importlib.util.spec_from_file_location("one_file_reinforce", FILE)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


def house(topology, s) -> Trainer:
    """The real trainer with the twin's settings."""
    model = ResidentModel.around(
        load_backbone("tiny", "float32", "cpu"), LoraSpec(s.rank, s.alpha), len(topology.nodes), s.seed
    )
    network = Network(
        topology,
        LocalEngine(model),
        tuple(range(len(topology.nodes))),
        message_tokens=s.message_tokens,
        answer_tokens=s.answer_tokens,
    )
    settings = TrainConfig(
        steps=s.steps,
        problems=s.problems,
        samples=s.samples,
        lr=s.lr,
        warmup=s.warmup,
        clip=s.clip,
        max_kl=0.0,  # the twin does not hold its steps back
    )
    return Trainer(network, model, settings, s.seed)


@pytest.mark.parametrize(("shape", "seed"), [("2-1", 0), ("2-1", 1), ("1-1", 2)])
def test_three_steps_are_the_same(twin, shape, seed):
    torch.set_num_threads(1)
    s = replace(twin.Settings(), seed=seed, clip=0.05, samples=4, message_tokens=3)  # clipping takes part
    topology = Topology.parse(shape)
    slow, fast, task = twin.Network(topology, s), house(topology, s), twin.Digits()
    moved = 0.0
    for step in range(3):
        problems = [task.problem("train", step * s.problems + i) for i in range(s.problems)]
        mine, said = twin.train_step(slow, task, problems)
        theirs, episodes = train_step(fast, task, problems)
        assert [[turn.ids for turn in turns] for turns in said] == [
            [list(turn.ids) for turn in episode.turns] for episode in episodes
        ]
        assert [[turn.text for turn in turns] for turns in said] == [
            [turn.text for turn in episode.turns] for episode in episodes
        ]
        assert [turns[0].prompt for turns in said] == [e.turns[0].prefix_ids for e in episodes]
        assert mine["reward"] == pytest.approx(theirs["reward"], rel=1e-9)
        assert mine["loss"] == pytest.approx(theirs["loss"], rel=1e-4, abs=1e-6)
        assert mine["gradient_norm"] == pytest.approx(theirs["gradient_norm"], rel=1e-4, abs=1e-7)
        moved += sum(mine["gradient_norm"])
    assert moved > 0.1, "rewards that never differ would prove nothing"
    for node, adapter in enumerate(slow.adapters):
        for slot, down, up in fast.learner.model.bank.factors(node):
            for mine, theirs in zip(adapter[slot.path], (down, up), strict=True):
                # AdamW divides by a gradient's own size: where that is rounding noise, so is the step
                assert ((mine.detach() - theirs).abs() > 1e-4).float().mean() < 0.02


@pytest.mark.parametrize(
    "text", ["a\u2028b\n", "a\x0bb\n", "a\x85b\r", "a\x1cb\n", "\x0c\n", "a b\r", "\n", ""]
)
def test_a_message_ends_at_the_same_line_end(twin, text):
    """What the twin makes of tokens that a model may write is what the house makes of them."""
    topology, s = Topology.parse("1"), replace(twin.Settings(), answer_tokens=9)
    slow, fast = twin.Network(topology, s), house(topology, s)
    ids = tuple(text.encode()) if text else (256,)

    def dictated(node, so_far):
        logits = torch.zeros(1, 257)
        logits[0, ids[len(so_far) - 1]] = 1000.0
        return logits

    slow.logits = dictated
    mine = twin.write(slow, 0, (65,), 0)
    request = Request(0, (65,), (), 9, 0)
    turn = rollout._turn(fast.network, 0, (request, Generation(ids, (0.0,) * len(ids), True)), 1.0, 0)
    assert (tuple(mine.ids), mine.text) == (turn.ids, turn.text)


def test_it_stays_small_and_borrows_facts_and_prompts_only():
    text = FILE.read_text("utf-8")
    assert len(text.splitlines()) <= 210
    borrowed = {line.split()[1] for line in text.splitlines() if line.startswith("from neuromas")}
    assert borrowed == {
        "neuromas.prompts.codec",
        "neuromas.engines.local.sampling",
        "neuromas.models.tiny",
        "neuromas.prompts.build",
        "neuromas.core.seeds",
        "neuromas.core.task",
        "neuromas.topology.graph",
    }
    assert "import uniforms\n" in text, "of sampling it takes the random numbers alone"


def test_it_runs_as_its_header_says(twin, capsys):
    assert f".venv/bin/python recipes/{FILE.name}" in twin.__doc__
    twin.main(replace(twin.Settings(), steps=2, samples=2))
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("  ")[0].split() for line in lines] == [["step"], ["step"]]
    assert all("gradient norms" in line for line in lines)
