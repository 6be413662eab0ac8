"""AT-GRPO: candidates of one node at a time, compared from the same state; the best one goes on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from neuromas.config import TrainConfig
from neuromas.core.episode import Episode, Turn, grouped
from neuromas.core.errors import ConfigError
from neuromas.core.task import Problem, Task
from neuromas.learner.scorer import Message
from neuromas.learning.estimators.base import agree
from neuromas.learning.estimators.grpo import Grpo
from neuromas.learning.losses import Weights
from neuromas.system.replay import Branch, replay
from neuromas.system.rollout import Sampling, rollout
from neuromas.topology.graph import Topology
from neuromas.training.algorithms.base import Algorithm, Stepped
from neuromas.training.measures import Clock
from neuromas.training.step import batches, check_finite, finish, learn
from neuromas.training.trainer import Trainer

Group = list[Episode]  # the candidates of one node for one problem, each played to its end


@dataclass
class AtGrpo(Algorithm):
    """A_k = (r_k - mean r) / std r over the K candidates of a node, r = ``alpha`` * R + ``local`` * form.

    For each node in order ``train.samples`` = K candidates are drawn from the same state, and each is played
    to its end for R, the terminal reward. A message has form 1 if the node ended it itself and it is not
    empty, an answer if it could be read, else 0. The best candidate is the state of the next node. A problem
    takes ``K * (1 + nodes behind)`` calls for each node: with "1-1-1" and K = 4 these are 12 + 8 + 4.
    """

    alpha: float = 1.0
    local: float = 0.1

    source = "arXiv:2510.11062 (AT-GRPO); advantages arXiv:2402.03300"
    differs = (
        "the team's reward is that of one continuation by the network itself, as messages have no reward of "
        "their own; the local one is form alone; candidates of the first node are samples, with gates and "
        "views of its own where these are drawn. One turn a node, whose role is that of network.roles: none "
        "unless it is set; sampled at train.temperature without top-p and top-k; the first pass over a batch "
        "needs no clip, as it is on-policy"
    )

    def __post_init__(self) -> None:
        for name in ("alpha", "local"):
            if not 0.0 <= getattr(self, name) < float("inf"):
                raise ValueError(f"{name} = {getattr(self, name)!r} should be a number from 0")
        if not self.alpha + self.local:
            raise ValueError("alpha and local are both 0: there is nothing to learn from")

    def step(self, trainer: Trainer, task: Task, problems: Sequence[Problem]) -> Stepped:
        """Draw candidates node by node, compare them, learn from all of them."""
        self.check(trainer.settings, trainer.network.topology, trainer.network.taught)
        clock = Clock()
        nodes = range(len(trainer.network.topology.nodes))
        groups: list[list[Group]] = [[] for _ in nodes]
        written: list[Turn] = []
        for batch, sampling in batches(trainer, problems):
            for node, found in enumerate(self._groups(trainer, task, batch, sampling, written)):
                groups[node] += found
        check_finite(trainer, written)
        clock.lap("rollout")
        chosen, weights, silent = self._credit(trainer, groups)
        learned = {**learn(trainer, chosen, weights), "silent_nodes": silent}
        clock.lap("learn")
        episodes = [episode for group in groups[0] for episode in group]  # later ones begin from the best
        played = sum(len(group) for own in groups for group in own)
        return finish(trainer, episodes, learned, clock, written=written, rollouts=played), episodes

    def _groups(
        self,
        trainer: Trainer,
        task: Task,
        problems: Sequence[Problem],
        sampling: Sampling,
        written: list[Turn],
    ) -> list[list[Group]]:
        """The candidates of every node, problem by problem; all that was sampled for them is ``written``.

        A problem whose best candidate failed before a node could speak has no more groups.
        """
        network, count = trainer.network, trainer.settings.samples
        first = rollout(network, task, problems, count, sampling)
        written += [turn for episode in first for turn in episode.turns]
        found = [[list(group.episodes) for group in grouped(first, count)]]
        for node in range(1, len(network.topology.nodes)):
            states = [self._best(trainer, group, node - 1) for group in found[-1]]
            branches = [
                Branch(state, node, (k,))
                for state in states
                if state is not None and len(state.turns) > node
                for k in range(count)
            ]
            played = replay(network, task, branches, sampling) if branches else []
            written += [turn for one in played for turn in one.written]
            episodes = [one.episode for one in played]
            found.append([episodes[i : i + count] for i in range(0, len(episodes), count)])
        return found

    def _best(self, trainer: Trainer, group: Group, node: int) -> Episode | None:
        """The candidate with the largest reward, the first of several; None if none has one."""
        rewards = [self.reward(trainer, episode, node) for episode in group]
        known = [reward for reward in rewards if reward is not None]
        return group[rewards.index(max(known))] if known else None

    def reward(self, trainer: Trainer, episode: Episode, node: int) -> float | None:
        """What a candidate of the node earns; None where it did not speak or the question was not asked."""
        if episode.score is None or len(episode.turns) <= node:
            return None
        turn, settings = episode.turns[node], trainer.settings
        if node == trainer.network.topology.sink:
            formed = episode.score.parsed is not None
        else:
            formed = turn.ended and bool(turn.text.strip())
        spent = settings.length_penalty * len(turn.ids) / trainer.network.budget(node)
        return self.alpha * episode.score.value + self.local * formed - spent

    def _credit(
        self, trainer: Trainer, groups: Sequence[Sequence[Group]]
    ) -> tuple[list[tuple[Message, Turn]], Weights, list[float | None]]:
        """Messages that carry gradient, their weights, and each node's share of groups without any."""
        settings, learner = trainer.settings, trainer.learner
        pulled = bool(settings.entropy) or bool(learner.objective.pulls)
        chosen: list[tuple[Message, Turn]] = []
        values: list[tuple[float, float]] = []
        silent: list[float | None] = []
        for node, own in enumerate(groups):
            rewards = [[self.reward(trainer, episode, node) for episode in group] for group in own]
            advantages, _ = Grpo().advantages(rewards, None)
            silent.append(sum(map(agree, rewards)) / len(rewards) if rewards else None)
            known = sum(reward is not None for group in rewards for reward in group)
            for group, gains, earned in zip(own, advantages, rewards, strict=True):
                for episode, gain, reward in zip(group, gains, earned, strict=True):
                    if reward is None or (gain == 0.0 and not pulled):
                        continue
                    turn = episode.turns[node]
                    if not turn.heard or learner.lr_scale.get(turn.adapter) == 0.0:
                        continue
                    constant = settings.normalise == "constant"
                    tokens = trainer.network.budget(node) if constant else len(turn.ids)
                    key, ids = len(values), (turn.prefix_ids, turn.suffix_ids, turn.ids)
                    chosen.append((Message(key, turn.adapter, *ids), turn))
                    values.append((gain, 1.0 / (known * tokens)))
        table = torch.tensor(values, dtype=torch.float32).reshape(-1, 2)
        return chosen, Weights(table[:, 0], table[:, 1]), silent

    def check(self, settings: TrainConfig, topology: Topology, taught: float = 0.0) -> None:
        """Raises ConfigError where there is nothing to compare."""
        if settings.samples < 2:
            raise ConfigError("train.algorithm = 'at-grpo' compares candidates: train.samples = 1 is too few")
        if taught:
            raise ConfigError(
                f"train.algorithm = 'at-grpo' teaches nothing: lift.taught = {taught:g} should be 0"
            )
