"""Several sampled passes of the network vote."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from neuromas.core.episode import Episode, EpisodeGroup, grouped
from neuromas.core.errors import ConfigError
from neuromas.core.task import Problem
from neuromas.evaluation.heldout import about_network
from neuromas.methods.base import Bench, Method
from neuromas.system.rollout import Sampling, rollout
from neuromas.tasks.formulas import canonical


@dataclass(frozen=True)
class SelfConsistency(Method):
    """The most frequent answer of ``votes`` passes, each sampled by itself at ``temperature``.

    Answers that cannot be parsed are no votes, a tie goes to the answer that came first, and the text first
    given for it is scored.
    """

    votes: int = 5
    temperature: float = 0.7

    costs = "votes times the nodes"
    source = "arXiv:2203.11171"
    differs = "over passes of a network; without a chain of thought, unless nodes write one"
    of_network = True

    def __post_init__(self) -> None:
        fits = 0.0 <= self.temperature <= 10.0
        if self.votes < 1 or not fits or (self.temperature == 0.0 and self.votes > 1):
            raise ConfigError(
                f"{self.votes} votes at temperature {self.temperature}: needs at least 1 vote, and a "
                "temperature above 0 up to 10 for passes to differ"
            )

    def calls(self, bench: Bench) -> int:
        """Those of all passes."""
        return self.votes * len(bench.network.topology.nodes)

    def answer(self, bench: Bench, problems: Sequence[Problem], samples: int = 1) -> list[EpisodeGroup]:
        """See ``Method.answer``: ``votes`` passes for each answer."""
        sampling = Sampling(self.temperature, bench.seed)
        passes = rollout(bench.network, bench.task, problems, samples * self.votes, sampling)
        ballots = grouped(passes, self.votes)
        return grouped([_elected(one, place % samples) for place, one in enumerate(ballots)], samples)

    def about(self, bench: Bench) -> dict[str, Any]:
        """The network, and how it voted."""
        return about_network(bench.network) | asdict(self)


def _elected(ballot: EpisodeGroup, sample: int) -> Episode:
    """The pass that first gave the most frequent answer, with the turns of all passes.

    Where nobody gave any, the first that could be scored stands for them.
    """
    passes = ballot.episodes
    place = majority([None if one.score is None else one.score.parsed for one in passes])
    if place is None:
        place = next((i for i, one in enumerate(passes) if one.failure is None), 0)
    chosen = passes[place]
    turns = tuple(turn for one in passes for turn in one.turns)
    return Episode(
        chosen.problem, sample, turns, chosen.score, chosen.failure, chosen.answered, elected=chosen.answer
    )


def majority(said: Sequence[str | None]) -> int | None:
    """Place of the vote that first gave the most frequent answer; None if there is no vote.

    Numbers are one answer in any writing ("1,000", "$1000"); the most frequent writing of it is chosen.
    """
    votes = [answer for answer in said if answer is not None]
    if not votes:
        return None
    counts, writings = Counter(map(canonical, votes)), Counter(votes)
    winner = canonical(max(votes, key=lambda answer: counts[canonical(answer)]))  # max: of equals the first
    best = max((answer for answer in votes if canonical(answer) == winner), key=writings.__getitem__)
    return said.index(best)
