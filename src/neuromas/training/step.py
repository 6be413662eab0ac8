"""One training step on one screen: sample, score, credit, learn, report.

``Trainer`` holds what changes from step to step; the loop around it, checkpoints and logging live in
``loop``, what an update does in ``learner.update``, what is logged in ``measures``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import InitVar, dataclass, field
from typing import Any

import torch

from neuromas.config import TrainConfig
from neuromas.core.episode import Episode, EpisodeGroup, Turn, grouped
from neuromas.core.errors import DivergedError
from neuromas.core.seeds import derive
from neuromas.core.task import Problem, Task
from neuromas.learner.scorer import Message
from neuromas.learner.update import Learner
from neuromas.learning.credit import check_state, make_estimator
from neuromas.learning.estimators.base import Advantages, Estimator
from neuromas.learning.losses import Weights
from neuromas.learning.schedule import factor
from neuromas.models.adapters import AdapterBank
from neuromas.models.resident import ResidentModel
from neuromas.system.network import Network
from neuromas.system.rollout import Sampling, rollout
from neuromas.training.measures import Clock, learned_report, message_report, reward_report


@dataclass(slots=True)
class Trainer:
    """Everything a step changes. ``estimator_state[node]`` is what the estimator remembers of a node.

    ``since`` is the step at which the stage, its warm-up and its schedule of ``span`` steps, began; ``lr``
    is its learning rate.
    """

    network: Network
    model: InitVar[ResidentModel]
    settings: TrainConfig
    seed: int
    step: int = 0
    since: int = 0
    span: int = 0
    lr: float = 0.0
    estimator: Estimator = field(init=False)
    estimator_state: dict[int, Any] = field(default_factory=dict)
    learner: Learner = field(init=False)

    def __post_init__(self, model: ResidentModel) -> None:
        self.lr, self.span = self.lr or self.settings.lr, self.span or self.settings.steps
        self.estimator = make_estimator(self.settings)
        self.learner = Learner(model, self.settings)

    @property
    def rates(self) -> dict[int, float]:
        """Scale of each adapter's learning rate, see ``Learner``."""
        return self.learner.rates

    @rates.setter
    def rates(self, rates: dict[int, float]) -> None:
        self.learner.rates = rates

    @property
    def anchor(self) -> AdapterBank | None:
        """What the stage is to stay near, see ``Learner``."""
        return self.learner.anchor

    @anchor.setter
    def anchor(self, anchor: AdapterBank | None) -> None:
        self.learner.anchor = anchor

    @property
    def optimisers(self) -> list[torch.optim.AdamW]:
        """One for each adapter, see ``Learner``."""
        return self.learner.optimisers

    @optimisers.setter
    def optimisers(self, optimisers: list[torch.optim.AdamW]) -> None:
        self.learner.optimisers = optimisers

    def optimiser(self, parameter: torch.nn.Parameter) -> torch.optim.AdamW:
        """One AdamW for one adapter."""
        return self.learner.optimiser(parameter)

    def publish(self) -> None:
        """Let the engine write with what was learned."""
        self.network.engine.publish(self.learner.model.bank)

    def temperature(self) -> float:
        """Sampling temperature of the coming step: constant, or linear to ``final_temperature``."""
        first, last = self.settings.temperature, self.settings.final_temperature
        if last is None or self.settings.steps < 2:
            return first
        return first + (last - first) * min(1.0, self.step / (self.settings.steps - 1))

    def scheduled(self) -> float:
        """Learning rate of the coming step, before an adapter's own scale."""
        settings = self.settings
        return self.lr * factor(settings.schedule, self.step - self.since, self.span, settings.warmup)

    def remember(self, kept: Mapping[Any, Any]) -> None:
        """Take over states of the estimator by node. Raises ValueError if it cannot go on from one."""
        for state in kept.values():
            check_state(self.estimator, state)
        self.estimator_state = {int(node): state for node, state in kept.items()}

    def rate(self, row: int) -> float:
        """Learning rate of an adapter at the coming step."""
        return self.scheduled() * self.learner.rates.get(row, 1.0)


def train_step(
    trainer: Trainer, task: Task, problems: Sequence[Problem]
) -> tuple[dict[str, Any], list[Episode]]:
    """One joint update of all nodes. Returns what is logged, and the episodes it learned from.

    ``problems`` are sampled in batches of ``train.problems``; there is one update for all of them.
    """
    clock = Clock()
    episodes = _sample(trainer, task, problems)
    _check_finite(trainer, episodes)
    clock.lap("rollout")
    messages, weights = credit(trainer, episodes)
    learned = learn(trainer, messages, weights)
    clock.lap("learn")
    report = {
        "step": trainer.step,
        **reward_report(episodes, trainer.settings.samples, trainer.temperature()),
        **message_report(episodes, len(trainer.network.assignment)),
        **learned,
        "seconds": clock.laps,
    }
    trainer.step += 1
    return report, episodes


def _check_finite(trainer: Trainer, episodes: Sequence[Episode]) -> None:
    """Raises DivergedError if a distribution that was drawn from was none.

    A broken network that always fails gives no gradient that could tell.
    """
    for turn in (turn for episode in episodes for turn in episode.turns):
        if not all(map(math.isfinite, turn.logprobs)):
            raise _diverged(trainer, f"what adapter {turn.adapter} writes has no finite probability")


def _diverged(trainer: Trainer, what: str) -> DivergedError:
    settings = trainer.settings
    advice = f"lower train.lr = {settings.lr:g}" + ("" if settings.max_kl else " or set train.max_kl")
    return DivergedError(f"training diverged at step {trainer.step}: {what}; {advice}")


def _sample(trainer: Trainer, task: Task, problems: Sequence[Problem]) -> list[Episode]:
    """Episodes of all problems, batch after batch, so that memory is that of one batch."""
    settings, episodes = trainer.settings, list[Episode]()
    seed = derive(trainer.seed, "step", trainer.step)
    for first in range(0, len(problems), settings.problems):
        # a problem that is met in two batches is drawn anew
        sampling = Sampling(trainer.temperature(), derive(seed, "batch", first) if first else seed)
        batch = problems[first : first + settings.problems]
        episodes += rollout(trainer.network, task, batch, settings.samples, sampling)
    return episodes


def credit(trainer: Trainer, episodes: Sequence[Episode]) -> tuple[list[tuple[Message, Turn]], Weights]:
    """Messages that carry gradient, and their weights by message key.

    Each node's reward is the shared terminal reward, or its own, minus the penalty of its message's length.
    Messages of zero advantage are left out when nothing else acts on them: their gradient is 0. So are
    messages of frozen adapters, and those that closed gates kept from everybody.
    """
    settings = trainer.settings
    groups = grouped(episodes, settings.samples)
    pulled = bool(settings.entropy) or bool(trainer.learner.objective.pulls)
    scored = sum(1 for episode in episodes if episode.score is not None)
    chosen: list[tuple[Message, Turn]] = []
    values: list[tuple[float, float]] = []
    for node in range(len(trainer.network.topology.nodes)):
        budget = trainer.network.budget(node)
        flat = [a for group in _advantages(trainer, groups, node) for a in group]
        for episode, advantage in zip(episodes, flat, strict=True):
            if episode.score is None or (advantage == 0.0 and not pulled):
                continue
            turn = episode.turns[node] if len(episode.turns) > node else None
            if turn is None or not turn.heard or trainer.rates.get(turn.adapter) == 0.0:
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


def learn(trainer: Trainer, messages: Sequence[tuple[Message, Turn]], weights: Weights) -> dict[str, Any]:
    """One update of the learner at the coming step's temperature and rate; returns what is logged of it."""
    try:
        update = trainer.learner.update(messages, weights, trainer.temperature(), trainer.scheduled())
    except DivergedError as error:
        raise _diverged(trainer, str(error)) from error
    trainer.publish()
    return learned_report(update, [turn for _, turn in messages], len(trainer.network.assignment))


def imitate(trainer: Trainer, messages: Sequence[tuple[Message, Turn]], weights: Weights) -> None:
    """One supervised step on given messages at the stage's learning rate: likelihood and nothing else."""
    try:
        trainer.learner.imitate([m for m, _ in messages], weights, trainer.temperature(), trainer.lr)
    except DivergedError as error:
        raise _diverged(trainer, str(error)) from error
    trainer.publish()
