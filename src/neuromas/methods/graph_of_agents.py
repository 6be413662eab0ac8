"""Agents are chosen, grade each other, and pass messages along the order of their grades and back."""

from __future__ import annotations

import re
from collections.abc import Generator, Sequence
from dataclasses import dataclass

from neuromas.core.episode import Turn
from neuromas.core.task import Problem
from neuromas.methods.base import Bench
from neuromas.methods.dialogue import Ask, Dialogue, Read, Talk
from neuromas.methods.limits import check_choice, check_temperature, check_whole

# what an agent is good at, and how it is told to go about it
_AGENTS = (
    ("numbers and calculation", "Calculate step by step, then say your answer with its reasons."),
    ("facts and their causes", "Recall what is known of the matter, then say your answer with its reasons."),
    ("logic and order", "Write down what follows from what, then say your answer with its reasons."),
    ("weighing options", "Rule out what cannot be, then say your answer with its reasons."),
    ("close reading", "Say in your own words what is asked, then say your answer with its reasons."),
    ("checking results", "Guess, test the guess, then say your answer with its reasons."),
)
_CHOOSE = "Specialists can be asked about the question. Reply with the numbers of those who suit it best."
_GRADE = "Others answered the question. Grade each from 0 to 10 by how it helps; reply with grades alone."
_UPDATE = "Others answered the question. Take from them what is right and say your answer anew with reasons."
_SETTLE = "Others answered the question. Take from them what is right and settle on an answer."
_POOL = "Agents answered the question. Merge what they say into one answer."


@dataclass(frozen=True)
class GraphOfAgents(Dialogue):
    """``agents`` of six are chosen for the question, answer it, grade each other and read each other.

    The relevance of an agent is the mean of the grades that others give it. Messages pass from the more to
    the less relevant, whose answers are made anew, then back. The answer is that of the most relevant
    (``pool = "max"``), or one message that reads all (``"mean"``). Numbers that cannot be read choose or
    grade nobody: the first agents are chosen, and who has no grade comes last.
    """

    agents: int = 3
    pool: str = "max"
    temperature: float = 0.7

    costs = "4 agents - 1, mean: + 1"
    source = "arXiv:2604.17148"
    differs = (
        "one model told six ways to go about it, where the original chooses among models by their cards; who "
        "has nobody to read, forward or back, writes nothing anew; each message is one line of at most "
        "message_tokens"
    )

    def __post_init__(self) -> None:
        check_whole("graph-of-agents", "agents", self.agents, 2, len(_AGENTS))
        check_choice("graph-of-agents", "pool", self.pool, ("max", "mean"))
        check_temperature("graph-of-agents", self.temperature)

    def calls(self, bench: Bench) -> int:
        """Choice, answers, grades, forward and back without one of them each, and a merging message."""
        return 4 * self.agents - 1 + (self.pool == "mean")

    def talk(self, problem: Problem, read: Read) -> Talk:
        """Choose, answer, grade, pass on and back, pool."""
        cards = tuple(f"Specialist {place}: {card}" for place, (card, _) in enumerate(_AGENTS, 1))
        form = f"{self.agents} numbers"
        (turn,) = yield [Ask(cards, _CHOOSE, final=False, temperature=0.0, form=form)]
        chosen = _chosen(turn.text, self.agents)
        first = yield [Ask((), _AGENTS[agent][1], 1 + agent, final=False) for agent in chosen]
        said = [one.text for one in first]
        others = [[other for other in range(self.agents) if other != own] for own in range(self.agents)]
        form = f"{self.agents - 1} grades from 0 to 10"
        grades = yield [
            Ask(_answers(said, heard), _GRADE, 1 + agent, final=False, form=form)
            for agent, heard in zip(chosen, others, strict=True)
        ]
        order = ranked([_grades(one.text, self.agents - 1) for one in grades])
        return (yield from self._passed(chosen, said, order))

    def _passed(
        self, chosen: Sequence[int], said: list[str], order: Sequence[int]
    ) -> Generator[Sequence[Ask], Sequence[Turn], str]:
        """Messages forward, back and into the pool; ``order`` are places of agents, most relevant first."""
        turns = yield [
            Ask(_answers(said, order[:rank], order[rank]), _UPDATE, 1 + chosen[order[rank]], final=False)
            for rank in range(1, self.agents)
        ]
        for rank, turn in enumerate(turns, 1):
            said[order[rank]] = turn.text
        settles = self.pool == "max"
        turns = yield [
            Ask(
                _answers(said, order[rank + 1 :], order[rank]),
                _SETTLE if settles and rank == 0 else _UPDATE,
                1 + chosen[order[rank]],
                final=settles and rank == 0,
            )
            for rank in range(self.agents - 1)
        ]
        if settles:
            return turns[0].text
        for rank, turn in enumerate(turns):
            said[order[rank]] = turn.text
        (turn,) = yield [Ask(_answers(said, order), _POOL)]
        return turn.text


def _answers(said: Sequence[str], places: Sequence[int], own: int | None = None) -> tuple[str, ...]:
    """Answers of these agents, by letters, for a number would pass for a grade, and the reader's own."""
    lines = [f"Answer {chr(ord('A') + place)}: {said[place]}" for place in places]
    return tuple(lines if own is None else [*lines, f"You: {said[own]}"])


def _chosen(text: str, count: int) -> list[int]:
    """The first ``count`` agents that a text names, filled up with the first there are."""
    named = [int(number) - 1 for number in re.findall(r"\b\d{1,2}\b", text)]
    known = [agent for agent in named if 0 <= agent < len(_AGENTS)]
    return list(dict.fromkeys([*known, *range(len(_AGENTS))]))[:count]


def _grades(text: str, count: int) -> list[float]:
    """The grades from 0 to 10 in a text, in order, at most ``count``; "8/10" and "8 out of 10" are one, 8."""
    alone = re.sub(r"(?<=\d)\s*(?:/|out of)\s*10(?!\d|\.\d)", "", text)
    found = [float(number) for number in re.findall(r"\d+(?:\.\d+)?", alone)]
    return [grade for grade in found if grade <= 10.0][:count]


def ranked(grades: Sequence[Sequence[float]]) -> list[int]:
    """Places of agents by relevance; ``grades[k]`` are those that agent k gives the others, in their order.

    Relevance is the mean of the grades received. Of equals the first comes first; who has none comes last.
    """
    received: list[list[float]] = [[] for _ in grades]
    for giver, given in enumerate(grades):
        others = [other for other in range(len(grades)) if other != giver]
        for other, grade in zip(others, given, strict=False):
            received[other].append(grade)
    means = [sum(own) / len(own) if own else -1.0 for own in received]
    return sorted(range(len(grades)), key=lambda place: -means[place])
