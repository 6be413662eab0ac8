"""Several sampled passes, of which the best in the model's own eyes is given."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from neuromas.core.episode import Episode, EpisodeGroup
from neuromas.core.errors import ConfigError
from neuromas.core.task import Problem
from neuromas.methods.base import Bench, Method
from neuromas.methods.dialogue import Ask, Read, Talk, play
from neuromas.methods.limits import check_choice, check_temperature, check_whole
from neuromas.methods.repeated import Repeated, standing_for

_JUDGE = "Somebody proposes an answer to the question. Is it right? Reply with yes or no."
_SELECT = ("logprob", "judge")


@dataclass(frozen=True)
class BestOfN(Repeated):
    """The best of ``n`` passes of ``of``; of equals the first.

    With ``select = "logprob"`` that is the pass whose sampled tokens have the highest mean log-probability,
    (1/T) sum_t log p(w_t | w_<t) over all T tokens of all its messages, at the temperature they were drawn
    from. With ``"judge"`` the frozen model is asked, greedily and by itself, whether each answer is right:
    yes is 1, no is 0, what says neither is 1/2. The gold answer has no part in it.
    """

    n: int = 5
    temperature: float = 0.7
    select: str = "logprob"
    of: str | Method = "network"

    costs = "n times those of `of`, judge: + n"
    source = "arXiv:2110.14168"
    differs = "the selector is the model itself, where the original trains a verifier"
    of_network = True

    def __post_init__(self) -> None:
        check_whole("best-of-n", "n", self.n)
        check_choice("best-of-n", "select", self.select, _SELECT)
        check_temperature("best-of-n", self.temperature, apart=True)
        self.one()

    @property
    def passes(self) -> int:
        """As many as there are to choose from."""
        return self.n

    def calls(self, bench: Bench) -> int:
        """Those of all passes, and of the judge. Raises ConfigError for an engine without probabilities."""
        if self.select == "logprob" and not bench.network.engine.capabilities.logprobs:
            raise ConfigError(
                "method 'best-of-n' with select = 'logprob' needs log-probabilities, which this engine does "
                "not give (valid here: 'judge')"
            )
        return super().calls(bench) + (self.n if self.select == "judge" else 0)

    def elect(self, bench: Bench, ballots: Sequence[EpisodeGroup]) -> list[Episode]:
        """The pass of the highest worth among those that did not fail; the judge's messages come last."""
        if self.select == "logprob":
            return [
                _best(ballot, [_mean_logprob(ballot.episodes[place]) for place in _whole(ballot)])
                for ballot in ballots
            ]
        verdicts = iter(_verdicts(bench, ballots))
        return [_judged(ballot, [next(verdicts) for _ in _whole(ballot)]) for ballot in ballots]

    def about(self, bench: Bench) -> dict[str, Any]:
        """What was chosen from, and how."""
        return super().about(bench) | {"n": self.n, "select": self.select}


def _whole(ballot: EpisodeGroup) -> list[int]:
    """Places of the passes that did not fail."""
    return [place for place, one in enumerate(ballot.episodes) if one.failure is None]


def _best(ballot: EpisodeGroup, worths: Sequence[float]) -> Episode:
    """The pass of the highest worth, given for each that did not fail."""
    whole = _whole(ballot)
    best = max(range(len(whole)), key=worths.__getitem__) if whole else 0
    return standing_for(ballot, whole[best] if whole else 0)


def _judged(ballot: EpisodeGroup, verdicts: Sequence[Episode]) -> Episode:
    """The pass that the judge prefers, with all that it said at the end."""
    best = _best(ballot, [_worth(verdict.answer) for verdict in verdicts])
    said = tuple(turn for verdict in verdicts for turn in verdict.turns)
    return replace(best, turns=best.turns + said)


def _mean_logprob(episode: Episode) -> float:
    """Mean log-probability of its sampled tokens, in nats; minus infinity where there are none."""
    said = [value for turn in episode.turns for value in turn.logprobs]
    return sum(said) / len(said) if said else float("-inf")


def _verdicts(bench: Bench, ballots: Sequence[EpisodeGroup]) -> list[Episode]:
    """What the judge said of every pass that did not fail, in one batch; nothing of one too long to show."""
    passes = [ballot.episodes[place] for ballot in ballots for place in _whole(ballot)]
    talks = [(one.problem, one.sample, partial(_judge, one.answer)) for one in passes]
    return play(bench, talks, 0.0, "judge")


def _judge(answer: str, problem: Problem, read: Read) -> Talk:
    """One question about one answer."""
    (turn,) = yield [Ask((f"Proposed answer: {answer}",), _JUDGE, final=False, form="yes or no")]
    return turn.text


def _worth(verdict: str) -> float:
    """1 for yes, 0 for no, whichever is said first; 1/2 for neither."""
    found = re.search(r"\b(yes|no)\b", verdict.lower())
    return 0.5 if found is None else float(found[1] == "yes")
