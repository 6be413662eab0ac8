"""Several sampled passes vote."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from neuromas.core.episode import Episode, EpisodeGroup
from neuromas.methods.base import Bench, Method
from neuromas.methods.limits import check_temperature, check_whole
from neuromas.methods.repeated import Repeated, first_scored, standing_for
from neuromas.tasks.formulas import canonical

_MOST = 1_000_000  # votes


@dataclass(frozen=True)
class SelfConsistency(Repeated):
    """The most frequent answer of ``votes`` passes of ``of``, each sampled by itself at ``temperature``.

    answer = argmax_a sum_k [a_k = a]. Answers that cannot be parsed are no votes, a tie goes to the answer
    that came first, and the text first given for it is scored. ``of`` is any method that can be sampled:
    "network", "chain-of-thought", "direct", "untrained", ...
    """

    votes: int = 5
    temperature: float = 0.7
    of: str | Method = "network"

    costs = "votes times those of `of`"
    source = "arXiv:2203.11171"
    differs = (
        "over passes of any method, by default of the network, whose nodes need not write their thoughts"
    )
    of_network = True

    def __post_init__(self) -> None:
        check_whole("self-consistency", "votes", self.votes, 1, _MOST)
        check_temperature("self-consistency", self.temperature, apart=self.votes > 1)
        self.one()

    @property
    def passes(self) -> int:
        """One a vote."""
        return self.votes

    def elect(self, bench: Bench, ballots: Sequence[EpisodeGroup]) -> list[Episode]:
        """The pass that first gave the most frequent answer.

        Where nobody gave any, the first that could be scored stands for them.
        """
        return [standing_for(ballot, _elected(ballot)) for ballot in ballots]

    def about(self, bench: Bench) -> dict[str, Any]:
        """What voted, and how."""
        return super().about(bench) | {"votes": self.votes}


def _elected(ballot: EpisodeGroup) -> int:
    """Place of the pass whose answer is elected."""
    place = majority([None if one.score is None else one.score.parsed for one in ballot.episodes])
    return first_scored(ballot) if place is None else place


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
