"""Whether any of several passes is right: a bound for whoever chooses among them, and no method."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import comb
from typing import Any

from neuromas.core.episode import Episode, EpisodeGroup
from neuromas.core.errors import ConfigError, shown
from neuromas.core.task import Score
from neuromas.methods.base import Bench, Method
from neuromas.methods.limits import check_temperature, check_whole
from neuromas.methods.repeated import Repeated, all_turns, first_scored
from neuromas.prompts.boundary import one_line


@dataclass(frozen=True)
class PassAtN(Repeated):
    """What a perfect choice among ``k`` of ``n`` passes of ``of`` would earn (0: among all): an oracle bound.

    A question earns 1 - C(n - c, k) / C(n, k), where c of its n passes are right: without bias the chance
    that one of k passes is. The answers of all passes are its answer, whatever the gold answer is; that
    decides the score alone, and no selector can earn more. ``also`` are other k, separated by commas, whose
    means are told beside (pass@1, pass@10), from the same passes.
    """

    n: int = 5
    temperature: float = 0.7
    k: int = 0
    of: str | Method = "network"
    also: str = ""

    costs = "n times those of `of`; oracle"
    source = "arXiv:2107.03374"
    differs = "an answer is right where the task scores it 1; of code that is where all unit tests pass"
    of_network = True
    oracle = True

    def __post_init__(self) -> None:
        check_whole("pass-at-n", "n", self.n)
        check_whole("pass-at-n", "k", self.k, 0, self.n)
        check_temperature("pass-at-n", self.temperature, apart=True)
        self.others()
        self.one()

    @property
    def passes(self) -> int:
        """All of them."""
        return self.n

    def others(self) -> tuple[int, ...]:
        """The other k. Raises ConfigError for what is none."""
        found = [text.strip() for text in self.also.split(",")] if self.also.strip() else []
        for text in found:
            if not (text.isascii() and text.isdigit() and 1 <= int(text) <= self.n):
                raise ConfigError(
                    f"method 'pass-at-n': also = {shown(self.also)}; {shown(text)} is no whole number from 1 "
                    f"to n = {self.n}"
                )
        return tuple(dict.fromkeys(map(int, found)))

    def elect(self, bench: Bench, ballots: Sequence[EpisodeGroup]) -> list[Episode]:
        """All answers of a question as one, with what the choice of an oracle among them earns."""
        return [self._bound(ballot) for ballot in ballots]

    def about(self, bench: Bench) -> dict[str, Any]:
        """That it is a bound, and of what."""
        return super().about(bench) | {"n": self.n, "k": self.k or self.n}

    def _bound(self, ballot: EpisodeGroup) -> Episode:
        """The bound on one question. A pass that failed is wrong; one without a score does not count.

        Where fewer than k passes have a score, there is none.
        """
        passes = ballot.episodes
        said = " | ".join(one_line(one.answer) for one in passes)
        scores = [one.score for one in passes if one.score is not None]
        right = [score for score in scores if score.accuracy == 1.0]
        read = [score.parsed for score in [*right, *scores] if score.parsed is not None]
        first = passes[first_scored(ballot)]
        k, score = self.k or len(scores), None
        if scores and k <= len(scores):
            told = [(f"pass@{one}", one) for one in self.others() if one <= len(scores)]
            rewards = tuple((name, pass_at_k(len(scores), len(right), one)) for name, one in told)
            score = Score(pass_at_k(len(scores), len(right), k), read[0] if read else None, rewards=rewards)
        missing = f"{len(scores)} of {self.n} passes have a score, and k = {k}"
        failure = first.failure if score is not None else first.failure or missing
        return replace(first, turns=all_turns(ballot), score=score, elected=said, failure=failure)


def pass_at_k(n: int, right: int, k: int) -> float:
    """The chance that k of n passes, c = ``right`` of which are right, hold one: 1 - C(n-c, k) / C(n, k)."""
    return 1.0 - comb(n - right, k) / comb(n, k)
