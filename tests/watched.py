"""Callbacks for tests of runs: they record what is told, and end the run as a kill would."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Hashable
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


class Kills(Watching):
    """Kills at every event that ``point`` names (None: at none) and that it has not killed at before."""

    def __init__(self, point: Callable[[dict[str, Any]], Hashable | None]) -> None:
        super().__init__(self._see)
        self.point, self.at = point, list[Hashable]()

    def _see(self, event: Any) -> None:
        here = self.point(dict(event))
        if here is not None and here not in self.at:
            self.at.append(here)
            raise KilledError


def killed_in_turn(
    point: Callable[[dict[str, Any]], Hashable | None],
    begin: Callable[[Watching], object],
    go_on: Callable[[Watching], object],
    check: Callable[[Hashable], None],
) -> list[Hashable]:
    """One run that is killed at every point in turn and goes on each time; where it was, in order.

    ``check(point)`` is called after every kill, so that a failure names the last one it can be due to;
    whatever a run raises itself tells them all in a note.
    """
    kills, act = Kills(point), begin
    while True:
        try:
            act(kills)
            return kills.at
        except KilledError:
            check(kills.at[-1])
            act = go_on
        except Exception as error:
            error.add_note(f"after kills at {kills.at}")
            raise


def assert_begins_alike(one: Path, other: Path, names: tuple[str, ...], where: object) -> None:
    """What the logs of a run hold so far is how those of the other, a whole one, begin."""
    for name in names:
        found = lines(one / name) if (one / name).exists() else []
        expected = lines(other / name)[: len(found)] if found else []
        assert found == expected, f"{name} at the kill at {where}"


def at_step(number: int | None, act: Callable[[], object]) -> Watching:
    """Acts when the step of that number (0-based; None: every step) has ended."""

    def see(event: Any) -> None:
        if event["event"] == "step" and number in (None, event["step"]):
            act()

    return Watching(see)


def left_at(number: int, run: Path, copy: Path) -> Watching:
    """Copies what a kill after the step of that number (0-based) would leave of a run."""
    return at_step(number, lambda: shutil.copytree(run, copy))


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
