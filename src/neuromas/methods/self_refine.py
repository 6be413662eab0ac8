"""A draft, what is wrong with it, and a better one."""

from __future__ import annotations

from dataclasses import dataclass

from neuromas.core.task import Problem
from neuromas.methods.base import Bench
from neuromas.methods.dialogue import Ask, Dialogue, Read, Talk
from neuromas.methods.limits import check_temperature, check_whole

_DRAFT = "Work the question out and say your answer with its reasons."
_FEEDBACK = "Criticise the last draft: name each mistake in it and say how it is put right."
_REWRITE = "Use the feedback to write a better draft."
_FINISH = "Use the feedback to answer the question."


@dataclass(frozen=True)
class SelfRefine(Dialogue):
    """``rounds`` times feedback on the last draft and a rewrite that reads all drafts and feedback so far.

    y_0 ~ p(. | x), f_r ~ p(. | x, y_0, f_1 .. y_{r-1}), y_r ~ p(. | x, y_0, f_1 .. y_{r-1}, f_r); the last
    rewrite is the answer.
    """

    rounds: int = 1
    temperature: float = 0.0

    costs = "1 + 2 rounds"
    source = "arXiv:2303.17651"
    differs = (
        "own wording without worked examples; never stops early, so that every question costs the same; "
        "only the last rewrite is asked for the answer's form, and in the plain style all others are one line"
    )

    def __post_init__(self) -> None:
        check_whole("self-refine", "rounds", self.rounds)
        check_temperature("self-refine", self.temperature)

    def calls(self, bench: Bench) -> int:
        """The draft, and two messages a round."""
        return 1 + 2 * self.rounds

    def talk(self, problem: Problem, read: Read) -> Talk:
        """Draft, then round by round."""
        (turn,) = yield [Ask(instruction=_DRAFT, final=False)]
        past = [f"Draft 0: {turn.text}"]
        for number in range(1, self.rounds + 1):
            (turn,) = yield [Ask(tuple(past), _FEEDBACK, speaker=1, final=False)]
            past.append(f"Feedback {number}: {turn.text}")
            last = number == self.rounds
            (turn,) = yield [Ask(tuple(past), _FINISH if last else _REWRITE, final=last)]
            past.append(f"Draft {number}: {turn.text}")
        return turn.text
