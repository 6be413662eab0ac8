"""One call of the frozen model."""

from __future__ import annotations

from neuromas.core.task import Problem
from neuromas.methods.base import Bench
from neuromas.methods.dialogue import Ask, Dialogue, Read, Talk


class Direct(Dialogue):
    """The frozen model reads the whole question and answers at once, greedily."""

    costs = "1"
    source = "the usual zero-shot prompt"
    differs = "told the form of the answer, as an output node is, and nothing of a network"

    def calls(self, bench: Bench) -> int:
        """One."""
        return 1

    def talk(self, problem: Problem, read: Read) -> Talk:
        """Ask once."""
        (turn,) = yield [Ask()]
        return turn.text
