"""The frozen model thinks, then answers."""

from __future__ import annotations

from dataclasses import dataclass

from neuromas.core.task import Problem
from neuromas.methods.base import Bench
from neuromas.methods.dialogue import Ask, Dialogue, Read, Talk
from neuromas.methods.limits import check_temperature, check_whole

THINK = "Think the question through, one short step after another."
CONCLUDE = "Conclude from these thoughts."


@dataclass(frozen=True)
class ChainOfThought(Dialogue):
    """One message to think, of up to ``tokens`` tokens (0: a message's), and one that answers from it.

    y ~ p(. | x, z), z ~ p(. | x). Two calls and not one, because an answer asked for by itself is read as
    everybody else's is: a number in the middle of a chain of thought is never taken for the answer, and
    thoughts that are cut off still end in one.
    """

    tokens: int = 0
    temperature: float = 0.0

    costs = "2"
    source = "arXiv:2205.11916"
    differs = (
        "own wording of both steps; the answer is asked for in the task's form; the thought is one line in "
        "the plain style"
    )

    def __post_init__(self) -> None:
        check_whole("chain-of-thought", "tokens", self.tokens, 0, 100_000)
        check_temperature("chain-of-thought", self.temperature)

    def calls(self, bench: Bench) -> int:
        """The thoughts and the answer."""
        return 2

    def talk(self, problem: Problem, read: Read) -> Talk:
        """Think, then conclude."""
        (thoughts,) = yield [Ask(instruction=THINK, final=False, tokens=self.tokens)]
        (answer,) = yield [Ask((f"Thoughts: {thoughts.text}",), CONCLUDE)]
        return answer.text
