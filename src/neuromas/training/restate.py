"""How new layers begin where they are to restate: a few supervised steps on the network's own messages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch

from neuromas.core.episode import Episode, Turn
from neuromas.core.seeds import derive
from neuromas.core.task import Problem, Task
from neuromas.growth.operators import Growth
from neuromas.learner.scorer import Message
from neuromas.learning.losses import Weights
from neuromas.system.assemble import Assembly
from neuromas.system.rollout import Sampling, rollout
from neuromas.tasks.stream import training_problems
from neuromas.topology.graph import Topology
from neuromas.training.step import imitate
from neuromas.training.trainer import Trainer


def teach(
    trainer: Trainer, assembly: Assembly, change: Growth, new: Sequence[int], first: int
) -> list[Episode]:
    """Let ``new`` adapters learn to restate, in ``growth.restate`` steps; returns what was sampled for it.

    Problems are those of the training stream from ``first`` on. Old adapters are left as they are, and the
    optimisers of new ones begin anew afterwards.
    """
    settings, sampled = assembly.config, list[Episode]()
    for step in range(settings.growth.restate):
        place = first + step * settings.train.problems
        problems = training_problems(assembly.task, trainer.seed, place, settings.train.problems)
        sampled += restate(trainer, assembly.task, change, new, problems)
    learner = trainer.learner
    for row in new:
        learner.optimisers[row] = learner.optimiser(learner.model.bank.parameters[row])
    return sampled


def restate(
    trainer: Trainer, task: Task, change: Growth, new: Sequence[int], problems: Sequence[Problem]
) -> list[Episode]:
    """One supervised step: every node with one of the ``new`` adapters learns to write what it reads.

    A node that reads no message learns that of the node it resembles. The lessons are the network's own
    samples at the training temperature, one for each problem; returns them, for their cost.
    """
    seed = derive(trainer.seed, "restate", problems[0].id)
    sampling = Sampling(trainer.temperature(), seed)
    episodes = rollout(trainer.network, task, problems, 1, sampling)
    topology = trainer.network.topology
    chosen: list[tuple[Message, Turn]] = []
    for row, echoed in _echoes(topology, change).items():
        for episode in episodes:
            if trainer.network.assignment[row] in new and len(episode.turns) == len(topology.nodes):
                chosen.append(_lesson(episode, row, echoed, len(chosen)))
    scale = torch.tensor([1.0 / (len(chosen) * len(message.ids)) for message, _ in chosen])
    imitate(trainer, chosen, Weights(torch.ones(len(chosen)), scale))
    return episodes


def _echoes(topology: Topology, change: Growth) -> dict[int, int]:
    """For every new node the row whose message it is to restate; a layer's nodes share their sources."""
    rows = {node.name: row for row, node in enumerate(topology.nodes)}
    image = {before: rows[name] for name, before in change.origin.items()}
    found: dict[int, int] = {}
    for name in change.new:
        row = rows[name]
        sources = [edge.source for edge in topology.incoming(row)]
        place = topology.nodes[row].index - 1
        echoed = sources[place % len(sources)] if sources else image[change.like[name]]
        found[row] = found.get(echoed, echoed)  # a new node that is to restate another has its text not yet
    return found


def _lesson(episode: Episode, row: int, echoed: int, key: int) -> tuple[Message, Turn]:
    """The prompt of one node with the text of another."""
    own, other = episode.turns[row], episode.turns[echoed]
    turn = replace(own, ids=other.ids, logprobs=other.logprobs)
    return Message(key, own.adapter, own.prefix_ids, own.suffix_ids, other.ids), turn
