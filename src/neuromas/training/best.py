"""The best state of a stage so far: its validation accuracy, its step, and where it is kept."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Best:
    """``folder`` is the name of the checkpoint; ``accuracy`` lies in [0, 1]."""

    accuracy: float
    step: int
    folder: str

    def to_list(self) -> list[Any]:
        """Plain data for a checkpoint."""
        return [self.accuracy, self.step, self.folder]

    @classmethod
    def read(cls, data: Any) -> Best | None:
        """Read ``to_list``'s form, or 0.1.0's without a folder, once ``models.saved_state`` checked it."""
        if data is None:
            return None
        accuracy, step, *folder = data
        return cls(accuracy, step, folder[0] if folder else f"step-{step:06d}")

    def ended_below(self, validations: Sequence[Mapping[str, Any]]) -> str:
        """How a stage ended that did not get above this state, by the run's validations."""
        last = [row["accuracy"] for row in validations if row["step"] > self.step][-1:]
        shown = f"{100 * last[0]:.1f} %" if last and last[0] is not None else "nothing"
        return f"ended with {shown} on validation, below its start with {100 * self.accuracy:.1f} %"

    def outlasted(self, validations: Iterable[Mapping[str, Any]], settled: Callable[[int], bool]) -> int:
        """How many validations came after this state; those do not count in which gates were opening.

        A network on its way to the stage's could not have become the best one.
        """
        return sum(1 for row in validations if row["step"] > self.step and settled(row["step"]))
