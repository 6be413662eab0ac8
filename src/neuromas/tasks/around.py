"""A task around another, which it is but for what a subclass says otherwise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from neuromas.core.task import Problem, Split, Task


@dataclass(frozen=True)
class TaskAround:
    """Name, form, sizes and problems of ``inner``; who wraps it says how its answers are scored."""

    inner: Task

    @property
    def name(self) -> str:
        """As the task's."""
        return self.inner.name

    @property
    def answer_format(self) -> str:
        """As the task's."""
        return self.inner.answer_format

    def size(self, split: Split) -> int | None:
        """As the task's."""
        return self.inner.size(split)

    def problem(self, split: Split, index: int) -> Problem:
        """As the task's."""
        return self.inner.problem(split, index)

    def foresee(self, answers: Sequence[tuple[Problem, str]]) -> None:
        """See the function of this name."""
        foresee(self.inner, answers)


def foresee(task: Task, answers: Sequence[tuple[Problem, str]]) -> None:
    """Tell a task which answers it is about to be asked for, if it has a method for that.

    Scores are what they are without; one that judges slowly may judge them all at once.
    """
    ahead = getattr(task, "foresee", None)
    if ahead is not None:
        ahead(answers)
