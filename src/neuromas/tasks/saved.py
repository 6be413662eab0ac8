"""The task a saved network was trained on. Asking needs no data, so they are opened only when wanted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property

from neuromas.core.episode import Episode, judged
from neuromas.core.errors import TaskError
from neuromas.core.task import Problem, Score, Split, Task
from neuromas.tasks.around import foresee


class SavedTask:
    """A task by name and answer format; ``make`` gives the real one when problems or scores are wanted."""

    def __init__(self, name: str, answer_format: str | None, make: Callable[[], Task]) -> None:
        """Without ``answer_format`` (networks of 0.1.0 do not hold it) the real task says it."""
        self._name = name
        self._format = answer_format
        self._make = make

    @property
    def name(self) -> str:
        """The configured name until the data are opened, then the task's own, as in the run it comes from."""
        return self.real.name if "real" in self.__dict__ else self._name

    @cached_property
    def real(self) -> Task:
        """The task itself. Raises TaskError if its data cannot be had, RunError if nobody named them."""
        return self._make()

    @property
    def answer_format(self) -> str:
        """What the output node is told about the form of its answer."""
        return self.real.answer_format if self._format is None else self._format

    def size(self, split: Split) -> int | None:
        """See ``Task``."""
        return self.real.size(split)

    def problem(self, split: Split, index: int) -> Problem:
        """See ``Task``."""
        return self.real.problem(split, index)

    def score(self, problem: Problem, text: str) -> Score:
        """See ``Task``."""
        return self.real.score(problem, text)

    def judge(self, episode: Episode) -> Score:
        """See ``core.episode.Judge``."""
        return judged(self.real, episode)

    def foresee(self, answers: Sequence[tuple[Problem, str]]) -> None:
        """See ``around.foresee``."""
        foresee(self.real, answers)


def opened(task: Task) -> Task:
    """The real task of a saved one, for a run that goes on: by name and kind it is what it began with."""
    return task.real if isinstance(task, SavedTask) else task


class AskedTask:
    """Questions of a person: no problems of its own, and no gold answer to score against."""

    name = "asked"

    def __init__(self, answer_format: str) -> None:
        """``answer_format`` is what the network was trained with."""
        self.answer_format = answer_format

    def size(self, split: Split) -> int | None:
        """None of any split."""
        return 0

    def problem(self, split: Split, index: int) -> Problem:
        """Raises TaskError."""
        raise TaskError("a question that a person asks is of no split")

    def score(self, problem: Problem, text: str) -> Score:
        """Nothing."""
        return Score(0.0, None)
