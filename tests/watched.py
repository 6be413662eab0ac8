"""Callbacks for tests of runs: they record what is told, and end the run as a kill would."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from neuromas.storage import MANIFEST
from neuromas.training.callbacks import Watching


class KilledError(Exception):
    """Stands for a process that is gone: nothing of ours runs after it."""


class Watch(Watching):
    """Records events as dictionaries; ``kill`` raises after the step of that number (0-based)."""

    def __init__(self, kill: int | None = None) -> None:
        super().__init__(self._see)
        self.events: list[dict[str, Any]] = []
        self.kill = kill

    def _see(self, event: Any) -> None:
        self.events.append(dict(event))
        if event["event"] == "step" and event["step"] == self.kill:
            raise KilledError

    def of(self, kind: str) -> list[dict[str, Any]]:
        """Those of one kind."""
        return [event for event in self.events if event["event"] == kind]


def at_step(number: int | None, act: Callable[[], object]) -> Watching:
    """Acts when the step of that number (0-based; None: every step) has ended."""

    def see(event: Any) -> None:
        if event["event"] == "step" and number in (None, event["step"]):
            act()

    return Watching(see)


def lines(path: Path) -> list[dict[str, Any]]:
    """The lines of a log without their seconds."""
    rows = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    return [{k: v for k, v in row.items() if k != "seconds"} for row in rows]


def manifest(folder: Path) -> dict[str, Any]:
    """A checkpoint's manifest without its seconds."""
    data: dict[str, Any] = json.loads((folder / MANIFEST).read_text("utf-8"))
    data["state"].pop("seconds")
    for spent in (data["spent"], *(entry["spent"] for entry in data["lineage"])):
        spent.pop("seconds")
    return data
