"""An answer whose steps are checked, and which is kept or revised."""

from __future__ import annotations

import re
from dataclasses import dataclass

from neuromas.core.task import Problem
from neuromas.methods.base import Bench
from neuromas.methods.chain_of_thought import CONCLUDE, THINK
from neuromas.methods.dialogue import Ask, Dialogue, Read, Talk
from neuromas.methods.limits import check_temperature

_CHECK = "Here is a solution. Redo every step of it by yourself and say where you come to something else."
_VERDICT = "Here are a solution and a check of it. Does the solution stand? Reply with keep or revise."
_REVISE = "A check found the solution wanting. Answer the question anew, with what the check found."


@dataclass(frozen=True)
class SelfCheck(Dialogue):
    """Thoughts z and an answer y, a check c of both, a verdict, and where that is "revise" another answer.

    z ~ p(. | x), y ~ p(. | x, z), c ~ p(. | x, z, y), v ~ p(. | x, z, y, c); the answer is y, or if v says
    "revise" before it says "keep" y' ~ p(. | x, z, y, c). A verdict that says neither keeps the answer.
    """

    temperature: float = 0.0

    costs = "4, or 5 if revised"
    source = "arXiv:2308.00436"
    differs = (
        "all steps are checked in one message, where the original goes through target, information, "
        "regeneration and comparison for each; the verdict decides on one answer instead of weighing the "
        "votes of several; the revision is ours; in the plain style every message is one line"
    )

    def __post_init__(self) -> None:
        check_temperature("self-check", self.temperature)

    def calls(self, bench: Bench) -> int:
        """With a revision."""
        return 5

    def varies(self) -> bool:
        """Without one it is a call less."""
        return True

    def talk(self, problem: Problem, read: Read) -> Talk:
        """Solve, check, decide."""
        (thoughts,) = yield [Ask(instruction=THINK, final=False)]
        shown = [f"Thoughts: {thoughts.text}"]
        (answer,) = yield [Ask(tuple(shown), CONCLUDE)]
        shown.append(f"Proposed answer: {answer.text}")
        (check,) = yield [Ask(tuple(shown), _CHECK, speaker=1, final=False)]
        shown.append(f"Check: {check.text}")
        (verdict,) = yield [Ask(tuple(shown), _VERDICT, 1, final=False, form="keep or revise")]
        found = re.search(r"\b(keep|revise)\b", verdict.text.lower())
        if found is None or found[1] == "keep":
            return answer.text
        (answer,) = yield [Ask(tuple(shown), _REVISE)]
        return answer.text
