"""Reward functions of one's own over any task: ``(problem, text) -> float in [0, 1]``.

A reward is what training pays; accuracy stays what the task itself says of an answer. Values outside [0, 1]
are refused, not clipped: a clipped penalty would be paid as 0, and what a network makes fail earns 0 already,
so that with rewards below 0 failing would pay better than a bad answer.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from neuromas.core.episode import Episode, judged
from neuromas.core.errors import ContractError, TaskError, shown
from neuromas.core.registry import is_address, load
from neuromas.core.task import Problem, Score, Task
from neuromas.tasks.around import TaskAround
from neuromas.tasks.own import OwnTask, address, episode_of, identity, staying
from neuromas.tasks.saved import SavedTask
from neuromas.tasks.stored import StoredTask

CORRECT = "correct"  # the name of the task's own score among rewards
Value = float | Sequence[float]


@dataclass(frozen=True)
class Reward:
    """A reward function. ``name`` is what metrics call it; ``sees_episode`` if it asks for ``episode``."""

    function: Callable[..., Value]
    name: str
    sees_episode: bool

    def __call__(self, problem: Problem, text: str, episode: Episode | None = None) -> Value:
        """What the function says of an answer: one number, or one for each node. Raises ContractError."""
        with staying():
            if self.sees_episode:
                seen = episode_of(problem, text) if episode is None else episode
                value = self.function(problem, text, episode=seen)
            else:
                value = self.function(problem, text)
        if isinstance(value, list | tuple):
            return tuple(self._checked(one, problem, text) for one in value)
        return self._checked(value, problem, text)

    def _checked(self, value: Any, problem: Problem, text: str) -> float:
        try:
            number = math.nan if isinstance(value, str) else float(value)
        except (TypeError, ValueError):
            number = math.nan
        if 0.0 <= number <= 1.0:
            return number
        advice = "; shift and scale it, as (r + 1) / 2 for [-1, 1]" if math.isfinite(number) else ""
        raise ContractError(
            f"reward {address(self.function)!r} returned {shown(value, 40)} for the answer {shown(text, 40)} "
            f"to problem {shown(problem.id, 40)}; it must lie in [0, 1], or be such a number a node{advice}"
        )


@dataclass(frozen=True)
class Rewards:
    """Several reward functions with weights that sum to 1."""

    terms: tuple[tuple[Reward, float], ...]


def reward(function: Callable[..., Value]) -> Reward:
    """Mark a function ``(problem, text) -> float`` as a reward; usable as a decorator.

    With a parameter called ``episode`` it also gets the whole ``neuromas.Episode``, with all messages. It may
    return one number for each node, in node order. Raises TaskError if it takes other arguments.
    """
    if isinstance(function, Reward):
        return function
    if not callable(function):
        raise TaskError(f"a reward is a function (problem, text) -> float, not {shown(function, 60)}")
    name = str(getattr(function, "__name__", type(function).__name__))
    try:
        known = inspect.signature(function).parameters
        sees = "episode" in known
        inspect.signature(function).bind(None, "", **({"episode": None} if sees else {}))
    except (TypeError, ValueError) as error:
        raise TaskError(
            f"reward {address(function)!r} must take (problem, text), and episode if it wants the messages; "
            f"it takes {tuple(known)}"
        ) from error
    return Reward(function, name, sees)


def rewards(functions: Sequence[Callable[..., Value] | str], weights: Sequence[float] = ()) -> Rewards:
    """Several rewards as one: their mean by ``weights`` (all equal without), which are scaled to sum 1.

    ``"correct"`` stands for the task's own score. Raises TaskError for weights that are no such.
    """
    shares = [1.0] * len(functions) if not weights else list(weights)
    if not functions or len(shares) != len(functions):
        raise TaskError(
            f"{len(functions)} rewards and {len(shares)} weights; give one weight for each reward"
        )
    for share in shares:
        if not (isinstance(share, int | float) and 0 < share < math.inf):
            raise TaskError(f"the weight of a reward is a number above 0, not {shown(share)}")
    found = [_CORRECT if one == CORRECT else named_reward(one) for one in functions]
    names = [one.name for one in found]
    unique = [name if names.count(name) == 1 else f"{name}.{i}" for i, name in enumerate(names)]
    named = [Reward(one.function, name, one.sees_episode) for one, name in zip(found, unique, strict=True)]
    total = math.fsum(shares)
    return Rewards(tuple((one, share / total) for one, share in zip(named, shares, strict=True)))


def named_reward(function: Callable[..., Value] | str) -> Reward:
    """A reward function, or the one behind ``module:name``. Raises ConfigError if it cannot be imported."""
    if not isinstance(function, str):
        return reward(function)
    if not is_address(function):
        raise TaskError(f"reward {shown(function)} is neither {CORRECT!r} nor module:function")
    return reward(load(function, "reward"))


def configured(single: str, several: Mapping[str, float]) -> Rewards | None:
    """The rewards that a configuration names (``task.reward``, ``task.rewards``); None without any."""
    if single:
        return rewards([single])
    return rewards(list(several), list(several.values())) if several else None


def paid(task: Task, single: str = "", several: Mapping[str, float] | None = None) -> Task:
    """The task as a configuration has it paid. Raises TaskError if it has no gold answers and no reward."""
    by = configured(single, several or {})
    inner = task.inner if isinstance(task, OwnTask) else task
    stored = inner.problems.values() if isinstance(inner, StoredTask) and by is None else ()
    if not all(problem.answer for split in stored for problem in split):
        raise TaskError(f"task {task.name!r} has no gold answers; set task.reward = 'module:function'")
    return rewarded(task, by)


def rewarded(task: Task, by: Rewards | Reward | Callable[..., Value] | None) -> Task:
    """The task, paid by these rewards; itself if there are none."""
    if by is None:
        return task
    return RewardedTask(task, by if isinstance(by, Rewards) else rewards([by]))


@dataclass(frozen=True)
class RewardedTask(TaskAround):
    """A task whose episodes earn what reward functions say. ``score`` stays the task's own."""

    by: Rewards

    def score(self, problem: Problem, text: str) -> Score:
        """What the task itself says of an answer; where it has no gold answer, the reward."""
        return self.inner.score(problem, text) if problem.answer else self.judge(episode_of(problem, text))

    def judge(self, episode: Episode) -> Score:
        """The weighted rewards of an episode, with their parts and the task's own score beside them.

        A reward for each node goes to that node; ``value`` counts its mean. Raises ContractError.
        """
        problem, text = episode.problem, episode.answer
        own = judged(self.inner, episode) if problem.answer else None
        count, values = len(episode.turns), list[tuple[float, ...]]()
        for one, _ in self.by.terms:
            if one.function is not _correct:
                values.append(_by_node(one, one(problem, text, episode), count))
            elif own is not None:
                values.append((own.value,))
            else:
                raise ContractError(
                    f"task {self.name!r}: reward {CORRECT!r} needs a gold answer, and problem "
                    f"{shown(problem.id, 40)} has none"
                )
        shares = [share for _, share in self.by.terms]
        value = math.fsum(math.fsum(v) / len(v) * share for v, share in zip(values, shares, strict=True))
        nodes = None
        if any(len(v) > 1 for v in values):
            nodes = tuple(
                math.fsum(
                    share * (v[node] if len(v) > 1 else v[0]) for v, share in zip(values, shares, strict=True)
                )
                for node in range(count)
            )
        parts = [(one.name, math.fsum(v) / len(v)) for (one, _), v in zip(self.by.terms, values, strict=True)]
        return Score(
            min(1.0, value),
            text.strip() or None if own is None else own.parsed,
            nodes=nodes,
            correct=None if own is None else own.accuracy,
            rewards=tuple(parts),
        )


def codes(task: Task) -> list[dict[str, str | None]]:
    """Where somebody's own code in a task comes from: class and reward functions, see ``own.identity``."""
    if isinstance(task, SavedTask):
        return codes(task.real)
    if isinstance(task, RewardedTask):
        functions = [one.function for one, _ in task.by.terms if one.function is not _correct]
        return [*codes(task.inner), *(identity(function) for function in functions)]
    if not isinstance(task, OwnTask) or isinstance(task.inner, StoredTask):
        return []
    return codes(task.inner) if isinstance(task.inner, RewardedTask) else [identity(task.inner)]


def is_foreign(task: Task) -> bool:
    """Whether code of somebody's own takes part in the task."""
    return isinstance(task, OwnTask | RewardedTask)


def _correct(problem: Problem, text: str) -> float:
    """Stands for the task's own score, which ``RewardedTask`` asks for."""
    raise AssertionError("the task's own score is not asked for here")


_CORRECT = Reward(_correct, CORRECT, False)


def _by_node(one: Reward, value: Value, count: int) -> tuple[float, ...]:
    """One number, or one for each node. Raises ContractError where there are more or fewer."""
    if not isinstance(value, tuple):
        return (float(value),)  # type: ignore[arg-type]
    if len(value) != count:
        raise ContractError(
            f"reward {address(one.function)!r} returned {len(value)} rewards for {count} nodes"
        )
    return value
