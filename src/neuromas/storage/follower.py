"""A run directory as a process sees it that trains along and leaves the writing to the first."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from neuromas.storage.run import Run


class FollowedRun(Run):
    """Reads as ``Run`` does; whatever would be written is the first process's to write."""

    __slots__ = ()

    @property
    def written_here(self) -> bool:
        """Never."""
        return False

    def write(self, name: str, data: Mapping[str, Any]) -> None:
        """Nothing."""

    def append(self, name: str, rows: Iterable[Mapping[str, Any]]) -> None:
        """Nothing."""

    def keep_lines(self, name: str, wanted: Callable[[dict[str, Any]], bool]) -> None:
        """Nothing."""

    def write_evaluation(
        self,
        name: str,
        summary: Mapping[str, Any],
        items: Iterable[Mapping[str, Any]],
        prompts: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        """Nothing."""

    def save_named(self, name: str, fill: Callable[[Path], None]) -> None:
        """Nothing."""

    def save_checkpoint(self, step: int, fill: Callable[[Path], None]) -> Path:
        """Nothing; where the first process saves it."""
        return self.checkpoint(step)

    def prune(self, keep: int, needed: Collection[int], named: Collection[str] = ()) -> None:
        """Nothing."""

    @contextmanager
    def lock(self) -> Iterator[None]:
        """The first process has it."""
        yield
