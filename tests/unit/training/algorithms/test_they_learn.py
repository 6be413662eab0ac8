"""Rivals that are trained learn a toy: an answer that begins with an even byte."""

from __future__ import annotations

import math

import pytest
import torch
from chains import CHAIN, fresh
from toys import ToyTask, network, problems

from neuromas.config import TrainConfig
from neuromas.system.rollout import Sampling, rollout
from neuromas.training.step import train_step
from neuromas.training.trainer import Trainer

TASK = ToyTask(lambda problem, text: float(bool(text) and text.encode()[0] % 2 == 0))


def mean(trainer) -> float:
    """The mean reward of 200 episodes of other problems."""
    asked = problems(40)[20:]
    episodes = rollout(trainer.network, TASK, asked, 10, Sampling(1.0, 17))
    return math.fsum(one.score.value for one in episodes) / len(episodes)


@pytest.mark.parametrize(
    ("algorithm", "options", "steps", "more"),
    [
        ("malt", {"sft_steps": 99}, 24, {"problems": 2}),
        ("malt", {"sft_steps": 0, "dpo_rate": 1.0}, 12, {"problems": 2}),
        ("at-grpo", {}, 20, {"problems": 3, "samples": 6}),
    ],
)
def test_the_toy_is_learned(algorithm, options, steps, more):
    torch.manual_seed(0)
    pair = fresh()
    net = network(pair.engine, CHAIN, message_tokens=3, answer_tokens=3)
    settings = TrainConfig(algorithm=algorithm, algorithm_options=options, lr=0.02, warmup=0, **more)
    trainer = Trainer(net, pair.model, settings, seed=5)
    before = mean(trainer)
    for _ in range(steps):
        train_step(trainer, TASK, problems(20)[: more["problems"]])
    after = mean(trainer)
    assert before < 0.65
    assert after > before + 0.15, (before, after)
