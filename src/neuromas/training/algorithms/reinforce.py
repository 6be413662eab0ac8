"""Joint REINFORCE: one update of all nodes from one batch of episodes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from neuromas.core.task import Problem, Task
from neuromas.training.algorithms.base import Algorithm, Stepped
from neuromas.training.counterfactual import counterfactuals, credit_report
from neuromas.training.credit import credit, lessons_of
from neuromas.training.measures import Clock
from neuromas.training.step import check_finite, finish, learn, sample
from neuromas.training.trainer import Trainer


@dataclass
class Reinforce(Algorithm):
    """L_v = - mean (R - b_v) sum_t log pi_v(m_t | prompt): the score function of every node, one reward.

    b_v is that of ``train.baseline``, by default the mean reward of the problem's other samples.
    """

    source = "Williams 1992; arXiv:2605.16757 (NeuroMAS), leave-one-out arXiv:2402.14740"

    def step(self, trainer: Trainer, task: Task, problems: Sequence[Problem]) -> Stepped:
        """Sample, credit, learn, report."""
        clock = Clock()
        episodes = sample(trainer, task, problems)
        clock.lap("rollout")
        replays = counterfactuals(trainer, task, episodes)
        check_finite(trainer, [turn for one in replays for turn in one.episode.turns])
        if replays:
            clock.lap("replay")
        messages, weights = credit(trainer, episodes, replays)
        learned = learn(trainer, messages, weights, lessons_of(trainer, episodes))
        clock.lap("learn")
        told = {**credit_report(trainer, episodes, replays), **learned}
        played = len(episodes) + len(replays)
        return finish(trainer, episodes, told, clock, rollouts=played), episodes
