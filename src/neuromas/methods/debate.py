"""Agents answer, read each other, and answer again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from neuromas.core.episode import Turn
from neuromas.core.task import Problem
from neuromas.methods.base import Bench
from neuromas.methods.dialogue import Ask, Dialogue, Read, Talk
from neuromas.methods.limits import check_temperature, check_whole
from neuromas.methods.self_consistency import majority

_FIRST = "Work the question out and say your answer with its reasons."
_AGAIN = "Agents have answered the question. Weigh their reasons against your own and say your answer anew."
_LAST = "Agents have answered the question. Weigh their reasons against your own and settle on an answer."


@dataclass(frozen=True)
class Debate(Dialogue):
    """``agents`` answer in ``rounds`` rounds; the majority of the last round counts.

    m_{i,r} ~ p(. | x, own and others' m_{., 1..r-1}). Answers of the last round that cannot be parsed are no
    votes; a tie goes to the answer that came first.
    """

    agents: int = 3
    rounds: int = 2
    temperature: float = 0.7

    costs = "agents times rounds"
    source = "arXiv:2305.14325"
    differs = (
        "each message is one line of at most message_tokens; only the last round is asked for the answer's "
        "form; what all have said so far stands in one prompt, not in turns of a chat"
    )

    def __post_init__(self) -> None:
        check_whole("debate", "agents", self.agents)
        check_whole("debate", "rounds", self.rounds)
        check_temperature("debate", self.temperature, apart=self.agents > 1)

    def calls(self, bench: Bench) -> int:
        """All agents in all rounds."""
        return self.agents * self.rounds

    def talk(self, problem: Problem, read: Read) -> Talk:
        """Round by round."""
        past: list[Sequence[Turn]] = []
        turns: Sequence[Turn] = ()
        for number in range(1, self.rounds + 1):
            last = number == self.rounds
            instruction = (_LAST if last else _AGAIN) if past else "" if last else _FIRST
            turns = yield [
                Ask(_heard(past, agent), instruction, agent, final=last) for agent in range(self.agents)
            ]
            past.append(turns)
        return turns[majority([read(turn.text) for turn in turns]) or 0].text


def _heard(past: Sequence[Sequence[Turn]], agent: int) -> tuple[str, ...]:
    """What an agent reads, round by round: the others' messages, then its own."""
    lines: list[str] = []
    for turns in past:
        others = [other for other in range(len(turns)) if other != agent]
        lines += [f"Agent {other + 1}: {turns[other].text}" for other in others]
        lines.append(f"You: {turns[agent].text}")
    return tuple(lines)
