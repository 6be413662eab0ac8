"""The best state of a stage so far: its validation accuracy, its step, and where it is kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
        """Read ``to_list``'s form, or that of 0.1.0, without a folder. Raises TypeError or ValueError."""
        if data is None:
            return None
        accuracy, step, *folder = data
        return cls(float(accuracy), int(step), str(folder[0]) if folder else f"step-{int(step):06d}")

    def ended_below(self, validations: Sequence[Mapping[str, Any]]) -> str:
        """How a stage ended that did not get above this state, by the run's validations."""
        last = [row["accuracy"] for row in validations if row["step"] > self.step][-1:]
        shown = f"{100 * last[0]:.1f} %" if last and last[0] is not None else "nothing"
        return f"ended with {shown} on validation, below its start with {100 * self.accuracy:.1f} %"
