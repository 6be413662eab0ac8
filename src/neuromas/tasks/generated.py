"""Tasks that are drawn, not stored: endless problems whose splits can never share a question.

Every question text belongs to exactly one split, decided by a hash of the text alone. A problem is
drawn from a seed hashed from (task seed, split, index, attempt) and redrawn until its text falls into
the wanted split. The hash ignores the task seed, so two runs with different seeds never train on
each other's test questions.

Inside ``validation`` and ``test`` all questions are different: problem ``i`` is redrawn until it
differs from problems ``0 .. i-1`` (these are remembered, so a far index first draws all before it).
A space small enough to be listed is listed, which gives these splits an exact size.
``train`` may repeat a question, as any endless stream does.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field, replace
from typing import Protocol

from neuromas.core.errors import TaskError
from neuromas.core.seeds import derive
from neuromas.core.task import SPLITS, Problem, Score, Split

SHARES: tuple[float, float, float] = (0.8, 0.1, 0.1)  # of all texts; in the order of SPLITS
_LOCK = threading.Lock()  # guards the memory of drawn problems; results do not depend on it


class TooFewQuestionsError(TaskError):
    """The options allow fewer different questions than were asked for."""


class Source(Protocol):
    """What a family supplies: a problem for any seed, and its score. Immutable."""

    def draw(self, seed: int) -> Problem:
        """A problem that depends on ``seed`` alone; its id is set by the caller."""
        ...

    def score(self, problem: Problem, text: str) -> Score:
        """The score of an answer text."""
        ...

    def everything(self) -> tuple[Problem, ...] | None:
        """All problems there are if they are few, else ``None``."""
        ...


def split_of(text: str, shares: tuple[float, float, float] = SHARES) -> Split:
    """The one split a question text belongs to; ``shares`` are probabilities, in the order of SPLITS."""
    place = derive("split", " ".join(text.split())) / 2**63
    if place < shares[0]:
        return "train"
    return "validation" if place < shares[0] + shares[1] else "test"


def check_split(split: str, index: int) -> None:
    """Raise TaskError unless ``split`` exists and ``index`` is not negative."""
    if split not in SPLITS:
        raise TaskError(f"unknown split {split!r} (valid: {', '.join(SPLITS)})")
    if index < 0:
        raise TaskError(f"problem index must be 0 or more, got {index}")


@dataclass(frozen=True)
class GeneratedTask:
    """An endless task over a source. ``tries`` bounds the draws for one problem."""

    name: str
    answer_format: str
    source: Source
    seed: int = 0
    tries: int = 4000
    shares: tuple[float, float, float] = SHARES
    _drawn: dict[Split, list[Problem]] = field(default_factory=dict, compare=False, repr=False)
    _whole: dict[Split, tuple[bool, list[Problem]]] = field(default_factory=dict, compare=False, repr=False)

    def size(self, split: Split) -> int | None:
        """``None``: endless; a held-out split of a space small enough to be listed has a size."""
        check_split(split, 0)
        listed = None if split == "train" else self._listed(split)
        return None if listed is None else len(listed)

    def problem(self, split: Split, index: int) -> Problem:
        """The problem at ``index`` of ``split``; equal arguments give equal problems.

        Raises:
            TooFewQuestionsError: if the options allow too few different questions (a TaskError).
        """
        check_split(split, index)
        if split == "train":
            return self._find(split, index, frozenset())
        listed = self._listed(split)
        if listed is not None:
            if index >= len(listed):
                raise TooFewQuestionsError(
                    f"task {self.name!r}: only {len(listed)} different {split} questions with these options, "
                    f"there is no index {index}"
                )
            return listed[index]
        with _LOCK:
            drawn = self._drawn.setdefault(split, [])
            seen = {problem.question for problem in drawn} if len(drawn) <= index else set()
            while len(drawn) <= index:
                drawn.append(self._find(split, len(drawn), seen))
                seen.add(drawn[-1].question)
            return drawn[index]

    def score(self, problem: Problem, text: str) -> Score:
        """The source's score of ``text``."""
        return self.source.score(problem, text)

    def _listed(self, split: Split) -> list[Problem] | None:
        """All problems of a held-out split in the order of this seed, if the space can be listed."""
        if self._whole.get(split) is None:
            everything = self.source.everything()
            mine = [p for p in everything or () if split_of(p.question, self.shares) == split]
            mine.sort(key=lambda p: derive(self.seed, self.name, split, p.question))
            named = [replace(p, id=f"{self.name}-{split}-{self.seed}-{i}") for i, p in enumerate(mine)]
            self._whole[split] = (everything is not None, named)
        known, listed = self._whole[split]
        return listed if known else None

    def _find(self, split: Split, index: int, seen: set[str] | frozenset[str]) -> Problem:
        for attempt in range(self.tries):
            problem = self.source.draw(derive(self.seed, self.name, split, index, attempt))
            fits = split_of(problem.question, self.shares) == split and problem.question not in seen
            if fits and problem.answer.strip():  # a generator may give an empty gold answer
                return replace(problem, id=f"{self.name}-{split}-{self.seed}-{index}")
        raise TooFewQuestionsError(
            f"task {self.name!r}: no new {split} question for index {index} in {self.tries} draws; "
            f"these options allow too few different questions (found {len(seen)}): {self.source}"
        )
