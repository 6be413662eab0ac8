"""Methods over several sampled passes of another method: what they have in common."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from copy import copy
from dataclasses import replace
from typing import Any

from neuromas.core.episode import Episode, EpisodeGroup, Turn, grouped
from neuromas.core.task import Problem
from neuromas.methods.base import Bench, Method, Search
from neuromas.methods.running import make_method


class Repeated(Method):
    """``passes`` answers of the method ``of``, each sampled by itself at ``temperature``; one stands for all.

    ``of`` is a method's name; after a search it is what was found. A derived class is a frozen dataclass that
    has both as fields and checks its options.
    """

    temperature: float = 0.7
    of: str | Method = "network"

    @property
    @abstractmethod
    def passes(self) -> int:
        """How many passes are sampled for one answer."""

    @abstractmethod
    def elect(self, bench: Bench, ballots: Sequence[EpisodeGroup]) -> list[Episode]:
        """One episode for the ``passes`` of every answer, with the turns of all of them (see ``all_turns``).

        Its sample is set elsewhere.
        """

    def one(self) -> Method:
        """The method at the temperature. Raises ConfigError if there is none or it cannot be sampled."""
        return self._alone().at(self.temperature)

    def searches(self) -> bool:
        """See ``Method.searches``: what is repeated may."""
        return self._alone().searches()

    def varies(self) -> bool:
        """As the method does."""
        return self._alone().varies()

    def calls(self, bench: Bench) -> int:
        """Those of all passes."""
        return self.passes * self.one().calls(bench)

    def parameters(self, bench: Bench) -> int:
        """Those of the method."""
        return self.one().parameters(bench)

    def asks_network(self) -> bool:
        """As the method does."""
        return self.one().asks_network()

    def prepare(self, bench: Bench) -> Search | None:
        """What the method searches for, once for all passes."""
        search = self._alone().prepare(bench)
        if search is None:
            return None
        other = copy(self)
        object.__setattr__(other, "of", search.method)
        return replace(search, method=other)

    def answer(self, bench: Bench, problems: Sequence[Problem], samples: int = 1) -> list[EpisodeGroup]:
        """See ``Method.answer``: so many passes for each answer."""
        groups = self.one().answer(bench, problems, samples * self.passes)
        passes = [episode for group in groups for episode in group.episodes]
        elected = self.elect(bench, grouped(passes, self.passes))
        return grouped([replace(one, sample=i % samples) for i, one in enumerate(elected)], samples)

    def about(self, bench: Bench) -> dict[str, Any]:
        """The method, and at which temperature it was asked."""
        named = type(self.of).__name__ if isinstance(self.of, Method) else self.of
        return self.one().about(bench) | {"of": named, "temperature": self.temperature}

    def _alone(self) -> Method:
        """The method as it answers by itself."""
        return self.of if isinstance(self.of, Method) else make_method(self.of)


def all_turns(ballot: EpisodeGroup) -> tuple[Turn, ...]:
    """The messages of all passes, in their order."""
    return tuple(turn for one in ballot.episodes for turn in one.turns)


def first_scored(ballot: EpisodeGroup) -> int:
    """Place of the first pass that did not fail; of the first, where all did."""
    return next((i for i, one in enumerate(ballot.episodes) if one.failure is None), 0)


def standing_for(ballot: EpisodeGroup, place: int) -> Episode:
    """The pass at this place, with the turns of all."""
    chosen = ballot.episodes[place]
    return replace(chosen, turns=all_turns(ballot), elected=chosen.answer)
