"""From scored episodes to messages with a weight each: every node's rewards through the estimator."""

from __future__ import annotations

from collections.abc import Sequence
from operator import itemgetter
from typing import Any

import torch

from neuromas.core.episode import Episode, EpisodeGroup, Turn, grouped
from neuromas.learner.scorer import Message
from neuromas.learning.estimators.base import Advantages
from neuromas.learning.losses import Weights
from neuromas.training.trainer import Trainer


def credit(trainer: Trainer, episodes: Sequence[Episode]) -> tuple[list[tuple[Message, Turn]], Weights]:
    """Messages that carry gradient, and their weights by message key: advantages by ``train.baseline``.

    Each node's reward is the shared terminal reward, or its own, minus the penalty of its message's length.
    """
    groups = grouped(episodes, trainer.settings.samples)
    nodes = range(len(trainer.network.topology.nodes))
    advantages_NE = [[a for group in _advantages(trainer, groups, node) for a in group] for node in nodes]
    return weigh(trainer, episodes, advantages_NE)


def weigh(
    trainer: Trainer, episodes: Sequence[Episode], advantages_NE: Sequence[Sequence[float]]
) -> tuple[list[tuple[Message, Turn]], Weights]:
    """Messages that carry gradient, and their weights, by the advantage (N, E) of every node and episode.

    Messages of zero advantage are left out when nothing else acts on them: their gradient is 0. So are
    messages of frozen adapters, and those that closed gates kept from everybody.
    """
    settings = trainer.settings
    pulled = bool(settings.entropy) or bool(trainer.learner.objective.pulls)
    scored = sum(1 for episode in episodes if episode.score is not None)
    chosen: list[tuple[Message, Turn]] = []
    values: list[tuple[float, float]] = []
    for node, advantages in enumerate(advantages_NE):
        budget = trainer.network.budget(node)
        for episode, advantage in zip(episodes, advantages, strict=True):
            if episode.score is None or (advantage == 0.0 and not pulled):
                continue
            turn = episode.turns[node] if len(episode.turns) > node else None
            if turn is None or not turn.heard or trainer.learner.lr_scale.get(turn.adapter) == 0.0:
                continue
            tokens = budget if settings.normalise == "constant" else len(turn.ids)
            key = len(values)
            chosen.append((Message(key, turn.adapter, turn.prefix_ids, turn.suffix_ids, turn.ids), turn))
            values.append((advantage, 1.0 / (scored * tokens)))
    table = torch.tensor(values, dtype=torch.float32).reshape(-1, 2)
    return chosen, Weights(table[:, 0], table[:, 1])


def _advantages(trainer: Trainer, groups: Sequence[EpisodeGroup], node: int) -> Advantages:
    """A node's advantages (P, G); the estimator's state of it moves on."""
    penalty, budget = trainer.settings.length_penalty, trainer.network.budget(node)
    rewards_PG = [
        [
            None if reward is None else reward - penalty * len(episode.turns[node].ids) / budget
            for episode, reward in zip(group.episodes, group.rewards(node), strict=True)
        ]
        for group in groups
    ]
    before = trainer.estimator_state.get(node, trainer.estimator.init())
    advantages_PG, after = trainer.estimator.advantages(rewards_PG, before)
    if after is None:
        trainer.estimator_state.pop(node, None)
    else:
        trainer.estimator_state[node] = after
    return advantages_PG


def lessons_of(trainer: Trainer, episodes: Sequence[Episode]) -> tuple[list[Message], Weights] | None:
    """What nodes are taught while a view is lifted: their messages under the first, under both views.

    Each in proportion to its reward, as ``E[R log pi(message | view)]``: reward-weighted regression (Peters
    and Schaal 2007) from one prompt of a node to another, as in context distillation (Snell et al.,
    arXiv:2209.15189). The first prompt is among them so that what is passed on is not lost on the way. Of a
    node's messages on a problem it is the one that earned most in all. None where nothing is taught.
    """
    earned: dict[tuple[str, int], dict[tuple[Any, ...], float]] = {}
    for episode in episodes:
        for turn in episode.turns:
            reward, frozen = episode.reward(turn.node), trainer.learner.lr_scale.get(turn.adapter) == 0.0
            if turn.later is None or reward is None or reward <= 0.0 or not turn.heard or frozen:
                continue
            found = earned.setdefault((episode.problem.id, turn.node), {})
            lesson = (turn.adapter, (turn.prefix_ids, turn.suffix_ids), turn.later, turn.ids)
            found[lesson] = found.get(lesson, 0.0) + reward
    best = [max(found.items(), key=itemgetter(1)) for found in earned.values()]
    if not best:
        return None
    share = trainer.network.taught / (2 * sum(reward for _, reward in best))
    messages, values = list[Message](), list[tuple[float, float]]()
    for (adapter, first, later, ids), reward in best:
        for prefix, suffix in (first, later):
            messages.append(Message(len(messages), adapter, prefix, suffix, ids))
            values.append((reward, share / len(ids)))
    table = torch.tensor(values, dtype=torch.float32)
    return messages, Weights(table[:, 0], table[:, 1])
