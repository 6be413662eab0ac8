"""A chain of three nodes over the tiny model, for tests of algorithms that train it."""

from __future__ import annotations

from typing import Any

import torch
from reference import Twins, twins
from toys import network

from neuromas.config import TrainConfig
from neuromas.topology.shapes import build_shape
from neuromas.training.trainer import Trainer

CHAIN = build_shape("1-1-1+skip", "all")
_START: dict[str, Any] = {}


class Recorder(torch.optim.SGD):
    """Plain gradient descent that keeps every gradient it was given."""

    def __init__(self, parameter):
        super().__init__([parameter], lr=1.0)
        self.seen = []

    def step(self):
        self.seen.append(self.param_groups[0]["params"][0].grad.clone())
        super().step()


def fresh() -> Twins:
    """Twins as new: one pair is built and put back to its start for every test."""
    if not _START:
        pair = _START["pair"] = twins(adapters=3)
        _START["vectors"] = [p.detach().clone() for p in pair.model.bank.parameters]
    pair = _START["pair"]
    with torch.no_grad():
        for parameter, vector in zip(pair.model.bank.parameters, _START["vectors"], strict=True):
            parameter.copy_(vector)
            parameter.grad = None
    pair.model.bank.versions = [0, 0, 0]
    return pair


def trainer_of(pair, algorithm, engine=None, *, rates=(), options=(), topology=CHAIN, **settings) -> Trainer:
    """A trainer whose optimisers record; no limits, no warm-up, learning rate 1 unless asked for."""
    net = network(engine or pair.engine, topology, message_tokens=6, answer_tokens=5)
    free = {"lr": 1.0, "warmup": 0, "clip": 0.0, "max_kl": 0.0, "problems": 1, **settings}
    config = TrainConfig(algorithm=algorithm, algorithm_options=dict(options), **free)
    trainer = Trainer(net, pair.model, config, seed=3)
    trainer.learner.optimisers = [Recorder(parameter) for parameter in pair.model.bank.parameters]
    trainer.learner.lr_scale = dict(rates)
    return trainer


def gradients(trainer) -> list[torch.Tensor]:
    """The last gradient of every adapter, zeros for one that took no step."""
    pairs = zip(trainer.learner.optimisers, trainer.learner.model.bank.parameters, strict=True)
    return [one.seen[-1] if one.seen else torch.zeros_like(parameter) for one, parameter in pairs]
