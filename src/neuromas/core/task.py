"""What a task is: problems with a gold answer, and a score for any text.

These are facts only. The families live in ``neuromas.tasks``.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, runtime_checkable

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test")
AnswerKind = Literal["choice", "number", "text", "yesno", "code"]


@dataclass(frozen=True, slots=True)
class Problem:
    """One question with its gold answer.

    ``parts`` optionally cuts the question into pieces that a topology may hand to different nodes
    (``question = "split"``); ``stem`` is shown with every piece, unless the pieces are questions of
    their own (``alone``), which are read without it. ``question`` is always the whole.

    ``stems`` is what is asked of those who read messages, in letters for these messages ("What is A + B?"):
    a tuple for every layer above the parts, from the lowest up, with an entry a node (``local_stem``).
    ``meta["local"]`` has the right answers that belong to it, level 0 those of the parts and the last level
    the answer alone, and ``meta["inside"]`` those of the steps inside the parts, where a part is made of
    several, from the lowest up; both are for analysis, and no node reads them.
    """

    id: str
    question: str
    answer: str
    kind: AnswerKind = "text"
    choices: tuple[str, ...] = ()
    parts: tuple[str, ...] = ()
    stem: str = ""
    meta: Mapping[str, Any] = field(default_factory=dict, hash=False, compare=False)
    alone: bool = False
    stems: tuple[tuple[str, ...], ...] = ()


@dataclass(frozen=True, slots=True)
class Score:
    """The terminal reward of one answer text.

    ``value`` lies in [0, 1]. ``parsed`` is the answer that was understood, ``None`` if none was:
    a parse failure earns 0 and is counted, it never falls back on a default option.

    ``nodes`` optionally holds one reward in [0, 1] a node, in node order, instead of the shared ``value``.
    Where reward functions make ``value``, ``rewards`` are their names and values, and ``correct`` is what the
    task itself says of the answer, ``None`` where it has no gold answers.
    """

    value: float
    parsed: str | None
    nodes: tuple[float, ...] | None = None
    correct: float | None = None
    rewards: tuple[tuple[str, float], ...] = ()

    @property
    def accuracy(self) -> float:
        """What evaluations average: the task's own judgement, or the reward where there is no other."""
        return self.value if self.correct is None else self.correct


@runtime_checkable
class Task(Protocol):
    """A family of problems. Implementations are immutable: equal arguments give equal results.

    A class of one's own that inherits from this one needs ``problem`` and ``score``; the rest has defaults,
    which a class attribute or a method replaces (``answer_format = "one word"``). Any object with these five
    members is a task, too.
    """

    @property
    def name(self) -> str:
        """Short name, used in reports."""
        return type(self).__name__

    @property
    def answer_format(self) -> str:
        """What the output node is told about the form of its answer, e.g. ``"one number"``."""
        return "a short answer"

    def size(self, split: Split) -> int | None:
        """Number of problems in the split; ``None`` when they are generated without end."""
        return None

    @abstractmethod
    def problem(self, split: Split, index: int) -> Problem:
        """The problem at ``index`` (0-based) of the split. Splits never share a question text."""
        ...

    @abstractmethod
    def score(self, problem: Problem, text: str) -> Score:
        """Score an answer text against the problem's gold answer."""
        ...
