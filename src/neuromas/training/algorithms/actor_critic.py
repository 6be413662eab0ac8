"""What algorithms with a critic share: decisions with a value each, and one step on one screen."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import torch
from torch import Tensor

from neuromas.core.episode import Episode, Turn
from neuromas.core.errors import DivergedError
from neuromas.core.seeds import derive
from neuromas.core.task import Problem, Task
from neuromas.learner.critic import Critic, Fitting
from neuromas.learner.states import last_states
from neuromas.learning.values import explained_variance, gae, normalised
from neuromas.training.algorithms.base import Algorithm, Memory, Stepped
from neuromas.training.credit import lessons_of, weigh
from neuromas.training.measures import Clock
from neuromas.training.step import finish, learn, sample
from neuromas.training.trainer import Trainer

Prompt = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Decision:
    """A point at which messages were written: what a critic reads of it, and what was earned there.

    ``prompt`` are the tokens that critic number ``critic`` reads; ``nodes`` wrote, and have its advantage.
    """

    prompt: Prompt
    critic: int
    nodes: tuple[int, ...]
    reward: float


@dataclass(frozen=True, slots=True)
class _Judged:
    """All decisions of a batch in one order, with states (N, d), values, advantages and targets (N)."""

    decisions: list[Decision]
    episodes: list[int]
    states: Tensor
    values: list[float]
    advantages: list[float]
    targets: list[float]
    tokens: int


@dataclass
class ActorCritic(Algorithm):
    """Actors learn by advantages over what critics expect; critics learn what followed.

    Critics read the frozen backbone's state of a prompt (see ``learner.states``), never a message before it
    was written. ``train.baseline`` is not asked.
    """

    gamma: float
    critic_lr: float
    critic_passes: int
    _critics: dict[int, Critic] = field(init=False, repr=False, default_factory=dict)
    _size: int = field(init=False, repr=False, default=0)

    def __post_init__(self) -> None:
        checks = {
            "gamma": (0.0 <= self.gamma <= 1.0, "from 0 to 1"),
            "critic_lr": (0.0 < self.critic_lr <= 1.0, "above 0, at most 1"),
            "critic_passes": (self.critic_passes in range(1, 65), "a whole number from 1 to 64"),
        }
        for name, (good, valid) in checks.items():
            if not good:
                raise ValueError(f"{name} = {getattr(self, name)!r} is not {valid}")

    @property
    @abstractmethod
    def fitting(self) -> Fitting:
        """How critics learn."""

    @property
    def lam(self) -> float:
        """GAE's lambda; 0: advantages of one step."""
        return 0.0

    @property
    def apart(self) -> bool:
        """Whether advantages are normalised for every node by itself, not over the messages of a batch."""
        return False

    @property
    def whole(self) -> bool:
        """Whether further passes are clipped by the ratio of a whole message."""
        return False

    @abstractmethod
    def paths(self, trainer: Trainer, episode: Episode) -> list[list[Decision]]:
        """The sequences of decisions of a scored episode over which values are compared, in their order."""

    def begin(self, trainer: Trainer) -> None:
        """Note how large a state is; critics are made when they are first asked."""
        config = trainer.learner.model.backbone.model.config
        self._size = int(config.get_text_config().hidden_size)

    def step(self, trainer: Trainer, task: Task, problems: Sequence[Problem]) -> Stepped:
        """Sample, value, credit, learn, fit the critics, report."""
        clock = Clock()
        episodes = sample(trainer, task, problems)
        clock.lap("rollout")
        judged = self._judge(trainer, episodes)
        clock.lap("values")
        messages, weights = weigh(trainer, episodes, self._by_node(trainer, judged, len(episodes)))
        lessons = lessons_of(trainer, episodes)
        learned = learn(trainer, messages, weights, lessons, whole=self.whole)
        clock.lap("learn")
        fitted = self._fit(trainer, judged)
        clock.lap("critic")
        return finish(trainer, episodes, {**learned, **fitted}, clock), episodes

    def _judge(self, trainer: Trainer, episodes: Sequence[Episode]) -> _Judged:
        """What critics expected of every decision, and what came of it."""
        places = [
            (number, path)
            for number, episode in enumerate(episodes)
            if episode.score is not None
            for path in self.paths(trainer, episode)
        ]
        decisions = list(chain.from_iterable(path for _, path in places))
        states, tokens = last_states(trainer.learner.model, [one.prompt for one in decisions])
        values = torch.zeros(len(decisions))
        for number, rows in _by_critic(decisions).items():
            values[rows] = self._critic(trainer, number).values(states[rows])
        known: list[float] = values.tolist()
        advantages, targets, first = list[float](), list[float](), 0
        for _, path in places:
            own = known[first : first + len(path)]
            gained, wanted = gae([one.reward for one in path], own, self.gamma, self.lam)
            advantages, targets, first = advantages + gained, targets + wanted, first + len(path)
        numbers = [number for number, path in places for _ in path]
        return _Judged(decisions, numbers, states, known, advantages, targets, tokens)

    def _by_node(self, trainer: Trainer, judged: _Judged, episodes: int) -> list[list[float]]:
        """Advantages (N, E) of every node and episode, normalised; 0 where it made no decision."""
        whole = judged.advantages if self.apart else normalised(judged.advantages)
        table = [[0.0] * episodes for _ in trainer.network.topology.nodes]
        for node, row in enumerate(table):
            mine = [at for at, one in enumerate(judged.decisions) if node in one.nodes]
            own = [whole[at] for at in mine]
            for at, advantage in zip(mine, normalised(own) if self.apart else own, strict=True):
                row[judged.episodes[at]] = advantage
        return table

    def _critic(self, trainer: Trainer, number: int) -> Critic:
        """A critic, made when it is first asked."""
        if number not in self._critics:
            seed = derive(trainer.seed, "critic", number)
            self._critics[number] = Critic(self._size, self.fitting, seed)
        return self._critics[number]

    def _fit(self, trainer: Trainer, judged: _Judged) -> dict[str, Any]:
        """Teach every critic what followed; what is logged of it, as it was before. Raises DivergedError."""
        loss = 0.0
        for number, rows in _by_critic(judged.decisions).items():
            targets = torch.tensor([judged.targets[row] for row in rows])
            try:
                loss += len(rows) * self._critic(trainer, number).fit(judged.states[rows], targets)
            except DivergedError as error:
                raise DivergedError(
                    f"training diverged at step {trainer.step}: {error}; "
                    f"lower train.algorithm_options.critic_lr = {self.critic_lr:g}"
                ) from error
        count = len(judged.decisions)
        return {
            "silent_groups": 0.0,  # no message is compared with the other samples of its problem
            "critic_parameters": sum(critic.parameters for critic in self._critics.values()),
            "critic_tokens": judged.tokens,
            "critic_loss": loss / count if count else None,
            "critic_value": sum(judged.values) / count if count else None,
            "explained_variance": explained_variance(judged.values, judged.targets),
        }

    def state(self) -> Memory:
        """Parameters and moments of all critics there are."""
        tensors = {
            f"critic.{number}.{name}": tensor
            for number, critic in self._critics.items()
            for name, tensor in critic.tensors().items()
        }
        return Memory(tensors, {"critics": sorted(self._critics)})

    def load(self, memory: Memory) -> None:
        """Go on with the critics of a ``state()``; see ``Algorithm.load``."""
        critics = {int(number): Critic(self._size, self.fitting, 0) for number in memory.facts["critics"]}
        for number, critic in critics.items():
            prefix = f"critic.{number}."
            critic.load({n[len(prefix) :]: t for n, t in memory.tensors.items() if n.startswith(prefix)})
        self._critics = critics


def heard(episode: Episode) -> list[Turn]:
    """Turns that had an effect, in the order in which they were spoken."""
    return [turn for turn in episode.turns if turn.heard]


def costs(trainer: Trainer, turns: Sequence[Turn]) -> float:
    """What the length of these messages costs (``train.length_penalty``)."""
    penalty = trainer.settings.length_penalty
    return penalty * sum(len(turn.ids) / trainer.network.budget(turn.node) for turn in turns)


def _by_critic(decisions: Sequence[Decision]) -> Mapping[int, list[int]]:
    """Rows of the decisions that each critic reads, critics in order."""
    found: dict[int, list[int]] = {}
    for row, one in enumerate(decisions):
        found.setdefault(one.critic, []).append(row)
    return dict(sorted(found.items()))
