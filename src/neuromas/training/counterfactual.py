"""What a single message was worth, by what another one, or none, would have led to in its place.

R is what node v earns in an episode, R(...) what it earns in one that goes on from the same transcript with a
changed message of v, read and answered anew by the nodes behind it (``system.replay``). Every other message
stays. ``train.credit`` says what v is paid:

    shared          R
    difference      R - R(v says nothing)               Wolpert and Tumer 2001; arXiv:1705.08926
    solo            R + w (R - R(v is not heard))       arXiv:2603.21563, w = train.solo_weight
    counterfactual  R beside the rewards of J messages that v writes anew; v learns from its own
    c3              the same, and v learns from all 1 + J: arXiv:2603.06859, J = train.alternatives

The first three are rewards, compared between the samples of a problem as ``train.baseline`` says. In the last
two it compares the 1 + J messages from one prompt: ``rloo`` gives R minus the mean of the others.

None of R(...) depends on v's own message, so all leave the expected gradient of ``rloo`` and ``none`` what it
is with the shared reward (``solo``: times 1 + w before the output node) and differ in variance and cost.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from neuromas.core.episode import Episode, grouped
from neuromas.core.task import Task
from neuromas.learning.credit import zero_variance_groups
from neuromas.system.replay import Branch, Replay, replay
from neuromas.training.trainer import Trainer


@dataclass(frozen=True, slots=True)
class Paid:
    """A node's message, in the episode it stands in, and the reward for it; None: it had no part.

    ``share`` is its weight among the messages that stand for one episode; 0: it is only compared with.
    """

    episode: Episode
    reward: float | None
    share: float = 1.0


def counterfactuals(trainer: Trainer, task: Task, episodes: Sequence[Episode]) -> list[Replay]:
    """The branches that ``train.credit`` needs, played batch by batch as the episodes were."""
    settings, found = trainer.settings, list[Replay]()
    if settings.credit == "shared":
        return found
    size = settings.problems * settings.samples
    for first in range(0, len(episodes), size):
        branches = _branches(trainer, episodes[first : first + size])
        found += replay(trainer.network, task, branches, trainer.sampling(first // settings.samples))
    return found


def _branches(trainer: Trainer, episodes: Sequence[Episode]) -> list[Branch]:
    """Of every message that can be learned from."""
    settings, sink = trainer.settings, trainer.network.topology.sink
    found: list[Branch] = []
    for episode in episodes:
        for turn in episode.turns:
            if episode.score is None or not turn.heard or _is_frozen(trainer, turn.node):
                continue
            if settings.alternates:
                found += [Branch(episode, turn.node, (k,)) for k in range(settings.alternatives)]
            elif settings.credit == "difference":
                found.append(Branch(episode, turn.node, said=""))
            elif turn.node != sink:  # without the output's answer there is none
                found.append(Branch(episode, turn.node, hidden=True))
    return found


def _is_frozen(trainer: Trainer, node: int) -> bool:
    return trainer.learner.lr_scale.get(trainer.network.assignment[node]) == 0.0


def paid(
    trainer: Trainer, episodes: Sequence[Episode], replays: Sequence[Replay], node: int
) -> list[list[Paid]]:
    """What the node earned: groups of messages that are compared with each other."""
    credit, samples = trainer.settings.credit, trainer.settings.samples
    if credit == "shared":
        groups = grouped(episodes, samples)
        return [[Paid(e, r) for e, r in zip(one.episodes, one.rewards(node), strict=True)] for one in groups]
    if _is_frozen(trainer, node):  # no branches: it learns nothing
        return [[Paid(e, None) for e in one.episodes] for one in grouped(episodes, samples)]
    others: dict[int, list[Episode]] = {}
    for one in replays:
        if one.branch.node == node:
            others.setdefault(id(one.branch.episode), []).append(one.episode)
    if trainer.settings.alternates:
        return [_beside(credit, e, others.get(id(e), ()), node) for e in episodes]
    weight = trainer.settings.solo_weight
    return [
        [Paid(e, _marginal(credit, weight, e, others.get(id(e), ()), node)) for e in group.episodes]
        for group in grouped(episodes, samples)
    ]


def _beside(credit: str, episode: Episode, others: Sequence[Episode], node: int) -> list[Paid]:
    """A message and its alternatives."""
    share = 1.0 / (1 + len(others)) if credit == "c3" else 0.0
    own = Paid(episode, episode.reward(node), share or 1.0)
    return [own, *(Paid(other, other.reward(node), share) for other in others)]


def _marginal(
    credit: str, weight: float, episode: Episode, without: Sequence[Episode], node: int
) -> float | None:
    """The reward of a message by what it adds. One that nobody read adds nothing."""
    reward = episode.reward(node)
    if reward is None:
        return None
    if not without:
        return 0.0 if credit == "difference" else reward
    other = without[0].reward(node)
    if other is None:
        return None
    return reward - other if credit == "difference" else reward + weight * (reward - other)


def credit_report(trainer: Trainer, episodes: Sequence[Episode], replays: Sequence[Replay]) -> dict[str, Any]:
    """The cost of the step with its branches, that of the branches alone, and the groups without a signal.

    Empty with the shared reward.
    """
    if trainer.settings.credit == "shared":
        return {}
    written = [turn for one in replays for turn in one.written]
    read = sum(len(turn.prefix_ids) + len(turn.suffix_ids) for turn in written)
    extra = {"calls": len(written), "prompt_tokens": read, "new_tokens": sum(len(t.ids) for t in written)}
    groups = [
        [one.reward for one in group]
        for node in range(len(trainer.network.topology.nodes))
        for group in paid(trainer, episodes, replays, node)
    ]
    least = 2 if trainer.settings.alternates else 1  # a message that nobody heard has no alternatives
    compared = [group for group in groups if sum(reward is not None for reward in group) >= least]
    return {
        "calls": sum(len(e.turns) for e in episodes) + extra["calls"],
        "prompt_tokens": sum(e.prompt_tokens for e in episodes) + read,
        "new_tokens": sum(e.new_tokens for e in episodes) + extra["new_tokens"],
        "replayed": {"episodes": len(replays), **extra},
        "silent_groups": zero_variance_groups(compared) / len(compared) if compared else 1.0,
    }
