"""From a trained network to a grown one: which adapters its nodes use, and how new adapters begin."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from neuromas.assemble import Assembly
from neuromas.config import GrowthConfig
from neuromas.episode import Episode, Turn
from neuromas.growth.operators import Growth
from neuromas.learning.losses import Weights
from neuromas.models.adapters import AdapterBank
from neuromas.models.bundle import held_adapters
from neuromas.models.scorer import Message
from neuromas.network import Network
from neuromas.rollout import Sampling, rollout
from neuromas.seeds import derive
from neuromas.stream import training_problems
from neuromas.task import Problem, Task
from neuromas.topology import Topology
from neuromas.training import Trainer, imitate


@dataclass(frozen=True, slots=True)
class Grown:
    """A grown network, the adapter rows that are new, and of every node the row it had before."""

    network: Network
    new: tuple[int, ...]
    before: Mapping[int, int]


def transfer(assembly: Assembly, change: Growth, seed: int) -> Grown:
    """The network on the transition's topology; new adapters are appended to the policy's bank.

    ``seed`` decides what is drawn for new adapters. Old nodes keep their adapter rows.
    """
    network, settings, share = assembly.network, assembly.config.growth, assembly.config.network.share
    old = {node.name: row for row, node in enumerate(network.topology.nodes)}
    before = {
        row: old[change.origin[node.name]]
        for row, node in enumerate(change.start.nodes)
        if node.name in change.origin
    }
    assignment = _assignment(network, change, share, before)
    bank, first = assembly.policy.bank, len(assembly.policy.bank.parameters)
    rows = {node.name: row for row, node in enumerate(change.start.nodes)}
    new = tuple(range(first, max(assignment) + 1))
    for row in new:
        node = change.start.nodes[assignment.index(row)].name
        like = assignment[rows[change.like[node]]]
        bank.append(_begin(bank, like, settings, derive(seed, "grow", row)))
    topology = change.start if settings.gated else change.goal
    return Grown(replace(network, topology=topology, assignment=assignment), new, before)


def _assignment(network: Network, change: Growth, share: str, before: Mapping[int, int]) -> tuple[int, ...]:
    """Adapter rows: old nodes keep theirs, new ones get their own or, where shared, their layer's."""
    following = max(network.assignment) + 1
    rows: list[int] = []
    layers: dict[int, int] = {}  # row of each layer that has one
    nodes = change.goal.nodes
    for row, node in enumerate(nodes):
        if row in before:
            layers[node.layer] = network.assignment[before[row]]
    for row, node in enumerate(nodes):
        if row in before:
            rows.append(network.assignment[before[row]])
        elif share == "all":
            rows.append(0)
        elif share == "layer" and node.layer in layers:
            rows.append(layers[node.layer])
        else:
            rows.append(following)
            layers[node.layer] = following
            following += 1
    return tuple(rows)


def _begin(bank: AdapterBank, like: int, settings: GrowthConfig, seed: int) -> Tensor:
    """Factors of a new adapter: the backbone (B = 0), or a copy with noise on B."""
    if not settings.init.startswith("clone"):
        return bank.fresh(seed, bank.ranks[like])
    vector = bank.parameters[like].detach().clone()
    generator = torch.Generator().manual_seed(seed)
    for up in torch.split(vector, bank.sizes(bank.ranks[like]))[1::2]:  # views: A and B alternate
        up.add_(torch.randn(up.shape, generator=generator).to(up.device), alpha=settings.noise)
    return vector


def inherited(folder: Path, bank: AdapterBank, new: Sequence[int]) -> AdapterBank:
    """What a stage is to stay near: adapters as they were at its start, kept in ``folder``.

    The ``new`` ones, which inherited nothing, are those of ``bank`` as they change.
    """
    start = held_adapters(folder, bank)
    return bank.holding([None if row in new else vector for row, vector in enumerate(start)])


def undo(assembly: Assembly, entry: Mapping[str, Any]) -> Grown:
    """The network that grew, out of the grown one; its adapters are the bank's first ones.

    ``entry`` is the growth's line in the lineage. New adapters, which came last, are dropped from the bank.
    """
    network, bank = assembly.network, assembly.policy.bank
    parent = Topology.from_dict(entry["topology"])
    rows = {node.name: row for row, node in enumerate(network.topology.nodes)}
    image = {old: rows[new] for new, old in entry["origin"].items()}
    assignment = tuple(network.assignment[image[node.name]] for node in parent.nodes)
    count = max(assignment) + 1
    del bank.parameters[count:], bank.ranks[count:], bank.versions[count:]
    before = {row: image[node.name] for row, node in enumerate(parent.nodes)}
    return Grown(replace(network, topology=parent, assignment=assignment), (), before)


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
    for row in new:
        trainer.optimisers[row] = trainer.optimiser(trainer.policy.bank.parameters[row])
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
    found: dict[int, int] = {}
    for name in change.new:
        row = rows[name]
        sources = [edge.source for edge in topology.incoming(row)]
        echoed = (
            sources[(topology.nodes[row].index - 1) % len(sources)] if sources else rows[change.like[name]]
        )
        found[row] = found.get(echoed, echoed)  # a new node that is to restate another has its text not yet
    return found


def _lesson(episode: Episode, row: int, echoed: int, key: int) -> tuple[Message, Turn]:
    """The prompt of one node with the text of another."""
    own, other = episode.turns[row], episode.turns[echoed]
    turn = replace(own, ids=other.ids, logprobs=other.logprobs)
    return Message(key, own.adapter, own.prefix_ids, own.suffix_ids, other.ids), turn
