"""Joint REINFORCE: one update of all nodes from one batch of episodes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from neuromas.core.task import Problem, Task
from neuromas.training.algorithms.base import Algorithm, Stepped
from neuromas.training.credit import credit, lessons_of
from neuromas.training.measures import Clock
from neuromas.training.step import finish, learn, sample
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
        messages, weights = credit(trainer, episodes)
        learned = learn(trainer, messages, weights, lessons_of(trainer, episodes))
        clock.lap("learn")
        return finish(trainer, episodes, learned, clock), episodes
