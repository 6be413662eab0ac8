"""A task around another, which it is but for what a subclass says otherwise."""

from __future__ import annotations

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
