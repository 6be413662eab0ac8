"""What methods that search before they are asked have in common."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from copy import copy
from typing import Any

from neuromas.core.episode import Episode, EpisodeGroup
from neuromas.core.task import Problem
from neuromas.methods.base import Bench, Method, Search
from neuromas.methods.dialogue import Dialogue, play, valued
from neuromas.prompts.boundary import one_line


class Searching(Method):
    """A method that settles on another one by what that earns on training and validation problems.

    ``temperature`` is that of what it tries and of what it settles on.
    """

    temperature: float = 0.0

    def at(self, temperature: float) -> Searching:
        """See ``Method.at``."""
        other = copy(self)
        object.__setattr__(other, "temperature", temperature)
        return other

    @abstractmethod
    def prepare(self, bench: Bench) -> Search:
        """See ``Method.prepare``: here there always is something to search for."""

    def answer(self, bench: Bench, problems: Sequence[Problem], samples: int = 1) -> list[EpisodeGroup]:
        """See ``Method.answer``: searches anew. Who asks more than once keeps ``prepare(bench).method``."""
        return self.prepare(bench).method.answer(bench, problems, samples)


def tried(bench: Bench, talks: Sequence[tuple[Dialogue, Problem, int]]) -> list[Episode]:
    """A scored episode for every (method, problem, sample), all in step: methods that a search compares.

    They have one temperature, and equal draws for equal problems and samples.
    """
    if not talks:
        return []
    begun = [(problem, sample, method.talk) for method, problem, sample in talks]
    return [valued(bench, one) for one in play(bench, begun, talks[0][0].temperature)]


def searched(method: Method, found: Mapping[str, Any], episodes: Sequence[Episode]) -> Search:
    """What was settled on, with the cost of all episodes that were played for it."""
    return Search(
        method,
        found,
        calls=sum(len(one.turns) for one in episodes),
        prompt_tokens=sum(one.prompt_tokens for one in episodes),
        new_tokens=sum(one.new_tokens for one in episodes),
    )


def example(question: str, answer: str) -> str:
    """A question and its answer as two lines to be shown before another question."""
    return f"Question: {one_line(question)}\nAnswer: {one_line(answer)}"


def earned(episodes: Sequence[Episode]) -> float:
    """Mean reward of the episodes whose question was asked; 0 if there is none."""
    rewards = [one.score.value for one in episodes if one.score is not None]
    return sum(rewards) / len(rewards) if rewards else 0.0
