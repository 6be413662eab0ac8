"""MALT: a tree of messages for every problem, good ones imitated, then preferred to their siblings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from neuromas.config import TrainConfig
from neuromas.core.episode import Episode, Turn
from neuromas.core.errors import ConfigError
from neuromas.core.task import Problem, Task
from neuromas.learner.gradient import logprobs
from neuromas.learner.scorer import Message
from neuromas.learning.losses import Weights, dpo_loss
from neuromas.learning.trees import Values, positive, sibling_pairs, tree_values
from neuromas.models.adapters import AdapterBank
from neuromas.system.tree import Tree, trees
from neuromas.topology.graph import Topology
from neuromas.training.algorithms.base import Algorithm, Memory, Stepped
from neuromas.training.measures import Clock
from neuromas.training.step import batches, check_finite, finish, learn
from neuromas.training.trainer import Trainer

_MOST_LEAVES = 65_536  # of one batch; each is held with its prompts and messages
Chosen = list[tuple[Message, Turn]]


@dataclass
class Malt(Algorithm):
    """V(leaf) = R, V(message) = mean over its children; a message is good where V > ``threshold``.

    For ``sft_steps`` steps of a stage every node learns the likelihood of its good messages (SFT), then all
    but those of the first layer learn ``-log sigmoid(beta * (log-ratio of a good one - log-ratio of its
    sibling))`` (DPO) at ``dpo_rate`` times the learning rate, with the adapters as they were at the first of
    these steps as the reference. With "1-1-1" and ``branches`` = 3 a problem takes 3 + 9 + 27 calls.
    """

    branches: int = 3
    threshold: float = 0.5
    beta: float = 0.1
    sft_steps: int = 30
    dpo_rate: float = 0.1
    reference: list[Tensor] = field(init=False, default_factory=list)
    began: int = field(init=False, default=-1)  # the stage's first step, of the reference

    source = "arXiv:2412.01928 (MALT); DPO arXiv:2305.18290"
    differs = (
        "trees are sampled anew in every step by the network as it is, and each is learned from once; the "
        "original samples them once, with the untrained model, and trains on them for some epochs. All "
        "pairs of a good and another sibling count. Any number of layers; their nodes write and are valued "
        "together. The roles are those of network.roles; rates and steps are those of the run"
    )

    def __post_init__(self) -> None:
        for name, least in (("branches", 2), ("sft_steps", 0)):
            value = getattr(self, name)
            if type(value) is not int or value < least:
                raise ValueError(f"{name} = {value!r} should be a whole number from {least}")
        if not 0.0 <= self.threshold < 1.0:
            raise ValueError(f"threshold = {self.threshold!r} should be from 0 to below 1")
        for name in ("beta", "dpo_rate"):
            if not getattr(self, name) > 0.0:
                raise ValueError(f"{name} = {getattr(self, name)!r} should be above 0")

    def step(self, trainer: Trainer, task: Task, problems: Sequence[Problem]) -> Stepped:
        """Sample trees, value them, and learn from good messages or from pairs."""
        self.check(trainer.settings, trainer.network.topology, trainer.network.taught)
        clock, found = Clock(), list[Tree]()
        for batch, sampling in batches(trainer, problems):
            found += trees(trainer.network, task, batch, self.branches, sampling)
        written = [turn for tree in found for turn in tree.turns]
        check_finite(trainer, written)
        clock.lap("rollout")
        valued = [_values(tree) for tree in found]
        if trainer.step - trainer.since < self.sft_steps:
            self.reference, self.began = [], -1
            learned = self._imitate(trainer, found, valued)
        else:
            learned = self._prefer(trainer, found, valued)
        clock.lap("learn")
        leaves = [leaf for tree in found for leaf in tree.leaves]
        samples = self.branches ** len(trainer.network.topology.layers())
        counts = {"samples": samples, "rollouts": len(leaves)}
        return finish(trainer, leaves, learned, clock, written=written, **counts), leaves

    def _imitate(
        self, trainer: Trainer, found: Sequence[Tree], valued: Sequence[list[Values]]
    ) -> dict[str, Any]:
        """SFT: the mean log-likelihood of the tokens of each node's good messages."""
        chosen: Chosen = []
        nodes = range(len(trainer.network.topology.nodes))
        good = [0 for _ in nodes]
        for level, node in _placed(trainer):
            for tree, levels in zip(found, valued, strict=True):
                for place in positive(levels[level], self.threshold):
                    _take(trainer, tree.turn(level, node, place), chosen)
                    good[node] += 1
        tokens = dict.fromkeys(nodes, 0)
        for message, turn in chosen:
            tokens[turn.node] += len(message.ids)
        scale = torch.tensor([1.0 / tokens[turn.node] for _, turn in chosen])
        learned = learn(trainer, chosen, Weights(torch.ones(len(chosen)), scale))
        return {**learned, "phase": "sft", "good": good}

    def _prefer(
        self, trainer: Trainer, found: Sequence[Tree], valued: Sequence[list[Values]]
    ) -> dict[str, Any]:
        """DPO: every node but those of the first layer, from pairs of siblings; the mean over its pairs."""
        bank = trainer.learner.model.bank
        if self.began != trainer.since or not self.reference:
            self.reference, self.began = [p.detach().cpu().clone() for p in bank.parameters], trainer.since
        chosen: Chosen = []
        rows: list[tuple[int, int, int]] = []  # node, and the places of both messages among the chosen
        for level, node in _placed(trainer):
            for tree, levels in zip(found, valued, strict=True) if level else ():
                taken: dict[int, int | None] = {}
                for pair in sibling_pairs(levels[level], self.branches, self.threshold):
                    for place in pair:
                        if place not in taken:
                            taken[place] = _take(trainer, tree.turn(level, node, place), chosen)
                    good, other = (taken[place] for place in pair)
                    if good is not None and other is not None:
                        rows.append((node, good, other))
        weights, loss, right = self._gradient(trainer, bank.holding(self.reference), chosen, rows)
        learned = learn(trainer, chosen, weights, rate=self.dpo_rate)
        nodes = range(len(trainer.network.topology.nodes))
        pairs = [sum(row[0] == node for row in rows) for node in nodes]
        return {**learned, "loss": loss, "phase": "dpo", "pairs": pairs, "preferred": right}

    def _gradient(
        self, trainer: Trainer, reference: AdapterBank, chosen: Chosen, rows: list[tuple[int, int, int]]
    ) -> tuple[Weights, float, float | None]:
        """The derivative of the loss by each message's log-probability, as the weights of a policy gradient.

        The log-probability of a message is a sum over its tokens, so the update's ``A log pi`` with A = minus
        that derivative has the gradient of the loss itself. Also the loss, and the share of pairs whose good
        message is the one that gained. Every node's pairs weigh 1 together.
        """
        ratios = self._ratios(trainer, reference, chosen).requires_grad_()
        if not rows:
            return Weights(torch.zeros(len(chosen)), _per_token(chosen)), 0.0, None
        table = torch.tensor(rows)
        share = 1.0 / torch.bincount(table[:, 0]).float()[table[:, 0]]
        good, other = ratios[table[:, 1]], ratios[table[:, 2]]
        loss = (share * dpo_loss(good, other, self.beta)).sum()
        (slope,) = torch.autograd.grad(loss, [ratios])
        right = float((good > other).float().mean())
        scale = _per_token(chosen)  # what else acts on messages has the weight of a mean, as in other phases
        return Weights(-slope / scale, scale), float(loss.detach()), right

    def _ratios(self, trainer: Trainer, reference: AdapterBank, chosen: Chosen) -> Tensor:
        """``log pi(m) - log pi_ref(m)`` (M,) in nats of the messages."""
        messages, model = [message for message, _ in chosen], trainer.learner.model
        ratios = torch.zeros(len(messages))
        if not messages:
            return ratios
        now, then = (logprobs(model, messages, trainer.temperature(), of) for of in (None, reference))
        place = torch.tensor([i for i, message in enumerate(messages) for _ in message.ids])
        return ratios.index_add(0, place, now - then)

    def state(self) -> Memory:
        """The reference of DPO, once there is one."""
        tensors = {f"reference.{row}": vector for row, vector in enumerate(self.reference)}
        return Memory(tensors, {"began": self.began} if self.reference else {})

    def load(self, memory: Memory) -> None:
        """Go on with the reference that was kept, or without one."""
        kept = [memory.tensors[f"reference.{row}"] for row in range(len(memory.tensors))]
        self.began = int(memory.facts["began"]) if kept else -1
        self.reference = kept

    def check(self, settings: TrainConfig, topology: Topology, taught: float = 0.0) -> None:
        """Raises ConfigError where there are too few layers, a batch too large, or a key means nothing."""
        depth = len(topology.layers())
        if depth < 2:
            raise ConfigError(
                f"train.algorithm = 'malt' needs several layers, such as '1-1-1', not {topology}"
            )
        if settings.passes > 1 or taught:
            raise ConfigError(
                f"train.algorithm = 'malt' learns once from a batch, and what is good alone: "
                f"train.passes = {settings.passes} and lift.taught = {taught:g} "
                "should be 1 and 0"
            )
        if settings.length_penalty:
            raise ConfigError(
                "train.algorithm = 'malt' values a message by its leaves alone: "
                f"train.length_penalty = {settings.length_penalty:g} should be 0"
            )
        leaves = settings.problems * self.branches**depth
        if leaves > _MOST_LEAVES:
            raise ConfigError(
                f"train.problems = {settings.problems} and branches = {self.branches} in {topology} are "
                f"{leaves} answers a batch, at most {_MOST_LEAVES}"
            )


def _per_token(chosen: Chosen) -> Tensor:
    """For every message 1 / the tokens of all chosen ones of its node (M,)."""
    tokens = Counter[int]()
    for message, turn in chosen:
        tokens[turn.node] += len(message.ids)
    return torch.tensor([1.0 / tokens[turn.node] for _, turn in chosen])


def _placed(trainer: Trainer) -> list[tuple[int, int]]:
    """(level, row) of every node, the level being its layer from 0."""
    layers = trainer.network.topology.layers()
    return [(level, node) for level, layer in enumerate(layers) for node in layer]


def _values(tree: Tree) -> list[Values]:
    """Values of all levels of a tree: those of its leaves are their terminal rewards."""
    return tree_values([_reward(leaf) for leaf in tree.leaves], tree.branches)


def _reward(leaf: Episode) -> float | None:
    return None if leaf.score is None else leaf.score.value


def _take(trainer: Trainer, turn: Turn | None, chosen: Chosen) -> int | None:
    """Add a message that may be learned from; its place among the chosen, None if it may not."""
    if turn is None or not turn.heard or trainer.learner.lr_scale.get(turn.adapter) == 0.0:
        return None
    chosen.append((Message(len(chosen), turn.adapter, turn.prefix_ids, turn.suffix_ids, turn.ids), turn))
    return len(chosen) - 1
