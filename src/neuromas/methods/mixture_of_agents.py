"""Layers of proposers, and one that makes an answer of what they say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from neuromas.core.episode import Turn
from neuromas.core.task import Problem
from neuromas.methods.base import Bench
from neuromas.methods.dialogue import Ask, Dialogue, Read, Talk
from neuromas.methods.limits import check_temperature, check_whole

_PROPOSE = "Work the question out and propose an answer with its reasons."
_COMBINE = (
    "Several answers to the question were proposed, and any of them may be wrong or one-sided. Test each "
    "and make one better answer of them instead of repeating one."
)


@dataclass(frozen=True)
class MixtureOfAgents(Dialogue):
    """``layers`` layers, of ``proposers`` messages each but the last, which is one: the answer.

    m_{1,i} ~ p(. | x), m_{l,i} ~ p(. | x, m_{l-1,1..n}), y ~ p(. | x, m_{L-1,1..n}): n (L - 1) + 1 calls.
    """

    layers: int = 3
    proposers: int = 3
    temperature: float = 0.7

    costs = "proposers (layers - 1) + 1"
    source = "arXiv:2406.04692"
    differs = (
        "one model for all, whose samples differ, where the original mixes several strong ones; each message "
        "is one line of at most message_tokens"
    )

    def __post_init__(self) -> None:
        check_whole("mixture-of-agents", "layers", self.layers)
        check_whole("mixture-of-agents", "proposers", self.proposers)
        apart = self.proposers > 1 and self.layers > 1
        check_temperature("mixture-of-agents", self.temperature, apart)

    def calls(self, bench: Bench) -> int:
        """All proposers of all layers but the last, and the last."""
        return self.proposers * (self.layers - 1) + 1

    def talk(self, problem: Problem, read: Read) -> Talk:
        """Layer by layer."""
        turns: Sequence[Turn] = ()
        for layer in range(1, self.layers):
            first = self.proposers * (layer - 1)
            shown, instruction = _proposals(turns), _COMBINE if turns else _PROPOSE
            turns = yield [
                Ask(shown, instruction, first + place, final=False) for place in range(self.proposers)
            ]
        last = self.proposers * (self.layers - 1)
        (answer,) = yield [Ask(_proposals(turns), _COMBINE if turns else "", last)]
        return answer.text


def _proposals(turns: Sequence[Turn]) -> tuple[str, ...]:
    """What a layer reads of the one before."""
    return tuple(f"Proposal {place}: {turn.text}" for place, turn in enumerate(turns, 1))
