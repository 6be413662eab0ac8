"""Two options of the built-in families: which number or word of an answer counts, and pay for near ones.

Both leave problems and accuracy as they are. Pay for near answers is for training: ``Score.value`` is what is
paid, ``Score.correct`` stays 0 or 1, and evaluations count the latter alone.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from fractions import Fraction

from neuromas.core.task import AnswerKind, Problem, Score
from neuromas.tasks.checking import MAX_CHARS
from neuromas.tasks.generated import Source
from neuromas.tasks.options import Option

READS = ("whole", "last")
READ = Option("read", "whole", "whole: the text is the answer; last: its last number or word", allowed=READS)
GRADED = Option("graded", False, "training pays for near answers; accuracy stays exact")
# a sign behind a letter, digit or bracket is an operation's: "8-5" ends in 5
_NUMBER = re.compile(r"(?<![\w.,])(?:(?<![0-9)] )(?<!\))[-+])?[0-9]+(?:[.,][0-9]+)*(?![\w]|[.,][0-9])")
_WORD = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*")


@dataclass(frozen=True)
class Graded:
    """A source whose answers are read or paid otherwise."""

    source: Source
    read: str
    graded: bool

    def draw(self, seed: int) -> Problem:
        """The source's problem; its ``meta`` says how it is read and paid, for ``validate``."""
        return self._told(self.source.draw(seed))

    def everything(self) -> tuple[Problem, ...] | None:
        """As the source's."""
        listed = self.source.everything()
        return None if listed is None else tuple(map(self._told, listed))

    def score(self, problem: Problem, text: str) -> Score:
        """The source's score of what is read; with ``graded`` a near answer earns its closeness below 1."""
        said = last_answer(problem.kind, text) if self.read == "last" else text
        exact = self.source.score(problem, said)
        if not self.graded or exact.parsed is None:
            return exact
        value = exact.value or closeness(problem, exact.parsed)
        return Score(value, exact.parsed, correct=exact.value)

    def _told(self, problem: Problem) -> Problem:
        return replace(problem, meta={**problem.meta, "read": self.read, "graded": self.graded})


def graded(source: Source, read: str, pay: bool) -> Source:
    """The source with these two options; itself with their defaults."""
    return Graded(source, read, pay) if pay or read != "whole" else source


def last_answer(kind: AnswerKind, text: str) -> str:
    """The last number of a text, or its last word; empty if there is none or the text is too long."""
    found = (_NUMBER if kind == "number" else _WORD).findall(text) if len(text) <= MAX_CHARS else []
    return found[-1] if found else ""


def closeness(problem: Problem, said: str) -> float:
    """How near a wrong answer is, in [0, 1/2]: 1 / (2 + 2 · distance), or half the share of right letters.

    The distance of numbers is counted in units of the gold answer's last decimal, 1 at least, so that the
    right number in another form ("07") is near. Letters count at their places, of the longer word. At most a
    half, because an answer that is near most of the others must not earn what the right one does.
    """
    gold = problem.answer
    if problem.kind == "number":
        unit = Fraction(1, 10 ** len(gold.partition(".")[2]))
        return float(1 / (2 + 2 * max(Fraction(1), abs(Fraction(said) - Fraction(gold)) / unit)))
    same = sum(a == b for a, b in zip(said.casefold(), gold.casefold(), strict=False))
    return same / max(len(said), len(gold)) / 2
