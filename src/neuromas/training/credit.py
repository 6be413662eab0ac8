"""From scored episodes to messages with a weight each: every node's rewards through the estimator."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from operator import itemgetter
from typing import Any

import torch

from neuromas.core.episode import Episode, Turn
from neuromas.learner.scorer import Message
from neuromas.learning.estimators.base import Advantages, Pooled
from neuromas.learning.losses import Weights
from neuromas.system.replay import Replay
from neuromas.training.counterfactual import Paid, paid
from neuromas.training.trainer import Trainer

Judged = tuple[Episode, float, float]  # a node's message in its episode, its advantage, its share of one


def credit(
    trainer: Trainer, episodes: Sequence[Episode], replays: Sequence[Replay] = ()
) -> tuple[list[tuple[Message, Turn]], Weights]:
    """Messages that carry gradient, and their weights by message key: advantages by ``train.baseline``.

    Each node's reward is what ``counterfactual.paid`` says, minus the penalty of its message's length.
    """
    nodes = [paid(trainer, episodes, replays, node) for node in range(len(trainer.network.topology.nodes))]
    judged = [
        [
            (one.episode, advantage, one.share)
            for one, advantage in zip(chain(*groups), chain(*advantages), strict=True)
        ]
        for groups, advantages in zip(nodes, _advantages(trainer, nodes), strict=True)
    ]
    return _chosen(trainer, judged, _scored(episodes))


def weigh(
    trainer: Trainer, episodes: Sequence[Episode], advantages_NE: Sequence[Sequence[float]]
) -> tuple[list[tuple[Message, Turn]], Weights]:
    """The same by the advantage (N, E) of every node and episode."""
    judged = [
        [(episode, advantage, 1.0) for episode, advantage in zip(episodes, advantages, strict=True)]
        for advantages in advantages_NE
    ]
    return _chosen(trainer, judged, _scored(episodes))


def _scored(episodes: Sequence[Episode]) -> int:
    return sum(1 for episode in episodes if episode.score is not None)


def _chosen(
    trainer: Trainer, judged: Sequence[Sequence[Judged]], scored: int
) -> tuple[list[tuple[Message, Turn]], Weights]:
    """Every node's messages with their weights; ``scored`` episodes are one mean.

    Messages of zero advantage are left out when nothing else acts on them: their gradient is 0. So are
    messages of frozen adapters, and those that closed gates kept from everybody.
    """
    trainer.credited = _by_episode(judged)
    settings = trainer.settings
    pulled = bool(settings.entropy) or bool(trainer.learner.objective.pulls)
    chosen: list[tuple[Message, Turn]] = []
    values: list[tuple[float, float]] = []
    for node, ones in enumerate(judged):
        budget = trainer.network.budget(node)
        for episode, advantage, share in ones:
            if episode.score is None or not share or (advantage == 0.0 and not pulled):
                continue
            turn = episode.turns[node] if len(episode.turns) > node else None
            if turn is None or not turn.heard or trainer.learner.lr_scale.get(turn.adapter) == 0.0:
                continue
            tokens = budget if settings.normalise == "constant" else len(turn.ids)
            key = len(values)
            chosen.append((Message(key, turn.adapter, turn.prefix_ids, turn.suffix_ids, turn.ids), turn))
            values.append((advantage, share / (scored * tokens)))
    table = torch.tensor(values, dtype=torch.float32).reshape(-1, 2)
    return chosen, Weights(table[:, 0], table[:, 1])


def _by_episode(judged: Sequence[Sequence[Judged]]) -> dict[int, list[float | None]]:
    """Advantages by node of each episode; None where the node's message had none."""
    found: dict[int, list[float | None]] = {}
    for node, ones in enumerate(judged):
        for episode, advantage, share in ones:
            if share and episode.score is not None:
                found.setdefault(id(episode), [None] * len(judged))[node] = float(advantage)
    return found


def _advantages(trainer: Trainer, nodes: Sequence[list[list[Paid]]]) -> list[Advantages]:
    """Every node's advantages, group by group; the estimator's state of it moves on."""
    rewards = [_penalised(trainer, groups, node) for node, groups in enumerate(nodes)]
    if isinstance(trainer.estimator, Pooled):
        return _pooled(trainer.estimator, rewards, trainer.settings.samples)
    found: list[Advantages] = []
    for node, rewards_PG in enumerate(rewards):
        before = trainer.estimator_state.get(node, trainer.estimator.init())
        advantages_PG, after = trainer.estimator.advantages(rewards_PG, before)
        if after is None:
            trainer.estimator_state.pop(node, None)
        else:
            trainer.estimator_state[node] = after
        found.append(advantages_PG)
    return found


def _penalised(trainer: Trainer, groups: Sequence[Sequence[Paid]], node: int) -> list[list[float | None]]:
    """A node's rewards, less the penalty of the messages' length."""
    penalty, budget = trainer.settings.length_penalty, trainer.network.budget(node)
    return [
        [
            None if one.reward is None else one.reward - penalty * len(one.episode.turns[node].ids) / budget
            for one in group
        ]
        for group in groups
    ]


def _pooled(
    estimator: Pooled, rewards: Sequence[Sequence[Sequence[float | None]]], samples: int
) -> list[Advantages]:
    """Advantages of every node, where the rewards of all of them are compared."""
    problems = [[reward for group in groups for reward in group] for groups in zip(*rewards, strict=True)]
    flat, _ = estimator.advantages(problems, estimator.init())
    places = [slice(node * samples, (node + 1) * samples) for node in range(len(rewards))]
    return [tuple(tuple(of_problem[place]) for of_problem in flat) for place in places]


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
