"""The pieces of a training step: sample and score, learn, report; ``algorithms`` put them together.

What it changes is a ``Trainer``; what an update does stands in ``learner.update``, what is logged in
``measures``, the loop around it in ``loop``.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from neuromas.core.episode import Episode, Turn
from neuromas.core.errors import DivergedError
from neuromas.core.task import Problem, Task
from neuromas.learner.scorer import Message
from neuromas.learning.losses import Weights
from neuromas.system.rollout import Sampling, rollout
from neuromas.training.measures import Clock, learned_report, message_report, reward_report
from neuromas.training.trainer import Trainer


def train_step(
    trainer: Trainer, task: Task, problems: Sequence[Problem]
) -> tuple[dict[str, Any], list[Episode]]:
    """One step of the trainer's algorithm. Returns what is logged, and the episodes it learned from.

    ``problems`` are sampled in batches of ``train.problems``; there is one update for all of them.
    """
    return trainer.algorithm.step(trainer, task, problems)


def sample(trainer: Trainer, task: Task, problems: Sequence[Problem]) -> list[Episode]:
    """``train.samples`` episodes of every problem at the coming step's temperature.

    Raises DivergedError if a distribution that was drawn from was none.
    """
    episodes = _sample(trainer, task, problems)
    check_finite(trainer, [turn for episode in episodes for turn in episode.turns])
    return episodes


def finish(
    trainer: Trainer,
    episodes: Sequence[Episode],
    learned: Mapping[str, Any],
    clock: Clock,
    *,
    samples: int = 0,
    written: Sequence[Turn] | None = None,
    rollouts: int | None = None,
) -> dict[str, Any]:
    """The step's report, ``learned`` in the middle of it, once all is changed; the step is over.

    There are ``samples`` episodes of every problem (0: ``train.samples``). ``written`` has every message
    that was sampled once, where these are not those of the episodes: it is what the step is charged for,
    unless ``learned`` says itself what it took. ``rollouts`` is how many episodes were played to an end, also
    those played again in part; without it, and without ``written``, they are the ``episodes``.
    """
    if rollouts is None and written is None:
        rollouts = len(episodes)
    if written is None:
        written = [turn for episode in episodes for turn in episode.turns]
    report = {
        "step": trainer.step,
        **reward_report(episodes, samples or trainer.settings.samples, trainer.temperature()),
        **message_report(written, len(trainer.network.assignment)),
        **({} if rollouts is None else {"rollouts": rollouts}),
        **learned,
        **({"lifted": trainer.network.lifted} if trainer.viewed else {}),
        "seconds": clock.laps,
    }
    trainer.step += 1
    return report


def check_finite(trainer: Trainer, written: Sequence[Turn]) -> None:
    """Raises DivergedError if a distribution that was drawn from was none.

    A broken network that always fails gives no gradient that could tell.
    """
    for turn in written:
        if not all(map(math.isfinite, turn.logprobs)):
            raise _diverged(trainer, f"what adapter {turn.adapter} writes has no finite probability")


def _diverged(trainer: Trainer, what: str) -> DivergedError:
    settings = trainer.settings
    advice = f"lower train.lr = {settings.lr:g}" + ("" if settings.max_kl else " or set train.max_kl")
    return DivergedError(f"training diverged at step {trainer.step}: {what}; {advice}")


def _sample(trainer: Trainer, task: Task, problems: Sequence[Problem]) -> list[Episode]:
    """Episodes of all problems, batch after batch, so that memory is that of one batch."""
    episodes = list[Episode]()
    for batch, sampling in batches(trainer, problems):
        episodes += rollout(trainer.network, task, batch, trainer.settings.samples, sampling)
    return episodes


def batches(trainer: Trainer, problems: Sequence[Problem]) -> Iterator[tuple[Sequence[Problem], Sampling]]:
    """The step's batches of ``train.problems``, each with its own draws."""
    size = trainer.settings.problems
    for first in range(0, len(problems), size):
        yield problems[first : first + size], trainer.sampling(first)


def learn(
    trainer: Trainer,
    messages: Sequence[tuple[Message, Turn]],
    weights: Weights,
    lessons: tuple[Sequence[Message], Weights] | None = None,
    *,
    rate: float = 1.0,
    whole: bool = False,
) -> dict[str, Any]:
    """One update at the coming step's temperature and learning rate, times ``rate``; what is logged of it.

    ``whole``: further passes are clipped by the ratio of a whole message, not of a token. Raises
    DivergedError.
    """
    temperature, lr = trainer.temperature(), trainer.scheduled() * rate
    try:
        update = trainer.learner.update(messages, weights, temperature, lr, lessons, whole=whole)
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
