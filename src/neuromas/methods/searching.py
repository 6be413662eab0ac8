"""What methods that search before they are asked have in common."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

from neuromas.core.episode import Episode, EpisodeGroup
from neuromas.core.errors import ConfigError, shown
from neuromas.core.task import Problem
from neuromas.methods.base import Bench, Method, Search


class Searching(Method):
    """A method that settles on another one by what that earns on training and validation problems."""

    @abstractmethod
    def prepare(self, bench: Bench) -> Search:
        """See ``Method.prepare``: here there always is something to search for."""

    def answer(self, bench: Bench, problems: Sequence[Problem], samples: int = 1) -> list[EpisodeGroup]:
        """See ``Method.answer``: searches anew. Who asks more than once keeps ``prepare(bench).method``."""
        return self.prepare(bench).method.answer(bench, problems, samples)


def searched(method: Method, found: Mapping[str, Any], episodes: Sequence[Episode]) -> Search:
    """What was settled on, with the cost of all episodes that were played for it."""
    return Search(
        method,
        found,
        calls=sum(len(one.turns) for one in episodes),
        prompt_tokens=sum(one.prompt_tokens for one in episodes),
        new_tokens=sum(one.new_tokens for one in episodes),
    )


def earned(episodes: Sequence[Episode]) -> float:
    """Mean reward of the episodes whose question was asked; 0 if there is none."""
    rewards = [one.score.value for one in episodes if one.score is not None]
    return sum(rewards) / len(rewards) if rewards else 0.0


def check_option(option: str, value: object, low: int, high: int) -> None:
    """Raises ConfigError if an option is no whole number from ``low`` to ``high``."""
    if type(value) is not int or not low <= value <= high:
        raise ConfigError(f"{option} = {shown(value)}: needs a whole number from {low} to {high}")


def check_range(option: str, value: object, low: float, high: float) -> None:
    """Raises ConfigError if an option is no number from ``low`` to ``high``."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise ConfigError(f"{option} = {shown(value)}: needs a number from {low:g} to {high:g}")
