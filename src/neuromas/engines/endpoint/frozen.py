"""What engines over models that nobody trains here have alike: versions are noted, and change no message."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from neuromas.models.adapters import AdapterBank


class Frozen:
    """The half of ``Engine`` that is about adapters."""

    def __init__(self) -> None:
        self._versions: list[int] = []

    def version(self, adapter: int) -> int:
        """The version that was published last, which changes no message."""
        return self._versions[adapter]

    def publish(self, bank: AdapterBank) -> None:
        """Note the versions."""
        self._versions = list(bank.versions)
