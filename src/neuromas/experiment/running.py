"""Cells as processes: some at once, each an ordinary command that can be stopped and continued."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

from neuromas.experiment.cells import Cell
from neuromas.store import write_atomic

Say = Callable[[Mapping[str, Any]], None]
_PAUSE = 0.05  # seconds between looks at the processes


@dataclass(slots=True)
class Outcome:
    """What became of the cells: causes of failures by name, and whether Ctrl-C ended it."""

    failures: dict[str, str] = field(default_factory=dict)
    interrupted: bool = False


def launch(cell: Cell) -> subprocess.Popen[bytes]:
    """Start a cell's process in a session of its own: Ctrl-C reaches it through us, and once."""
    command = cell.command()
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with cell.log.open("ab") as log:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=log,
            env=environment,
            start_new_session=True,
        )


def run_cells(cells: Sequence[Cell], jobs: int, out: Path, say: Say) -> Outcome:
    """Run what is not finished, ``jobs`` at a time; a cell that fails is noted and the others go on.

    ``say`` hears of every cell that ends. Causes of failures are kept in ``failures.json``.
    """
    work = _Work(list(cells), say)
    with _Signals() as signals:
        try:
            while work.step(jobs, signals.count):
                time.sleep(_PAUSE)
        finally:
            work.stop()
    failures = out / "failures.json"
    if work.outcome.failures:
        write_atomic(failures, json.dumps(work.outcome.failures, indent=1, ensure_ascii=False) + "\n")
    else:
        failures.unlink(missing_ok=True)
    return work.outcome


@dataclass(slots=True)
class _Work:
    """Cells waiting, running and done."""

    waiting: list[Cell]
    say: Say
    running: dict[str, tuple[Cell, subprocess.Popen[bytes], float]] = field(default_factory=dict)
    finished: set[str] = field(default_factory=set)
    outcome: Outcome = field(default_factory=Outcome)
    told: int = 0

    def step(self, jobs: int, asked: int) -> bool:
        """Collect who has ended, pass signals on, start others; False once nothing is left to do."""
        for name in list(self.running):
            self._collect(name)
        while self.told < asked:
            self.told += 1
            self.outcome.interrupted = True
            self.waiting.clear()
            for _, process, _ in self.running.values():
                process.send_signal(signal.SIGINT)
        while len(self.running) < jobs:
            cell = self._next()
            if cell is None:
                break
            self.running[cell.name] = (cell, launch(cell), time.monotonic())
        return bool(self.running or self.waiting)

    def _next(self) -> Cell | None:
        """The first waiting cell that can start; those that are finished or can never start are left out."""
        for cell in list(self.waiting):
            if cell.needs and cell.needs in self.outcome.failures:
                self._end(cell, f"{cell.needs} failed", 0.0)
            elif cell.finished:
                self._end(cell, "", 0.0)
            elif not cell.needs or cell.needs in self.finished:
                self.waiting.remove(cell)
                return cell
        return None

    def _end(self, cell: Cell, cause: str, seconds: float) -> None:
        """Note that a cell is over."""
        if cell in self.waiting:
            self.waiting.remove(cell)
        if cause:
            self.outcome.failures[cell.name] = cause
        else:
            self.finished.add(cell.name)
        done = len(self.finished) + len(self.outcome.failures)
        self.say({"cell": cell, "cause": cause, "seconds": seconds, "done": done})

    def _collect(self, name: str) -> None:
        """Note how a process ended, if it did."""
        cell, process, started = self.running[name]
        status = process.poll()
        if status is None:
            return
        del self.running[name]
        if status == 0 and cell.finished:
            self._end(cell, "", time.monotonic() - started)
        elif not self.outcome.interrupted:
            self._end(cell, _cause(cell, status), time.monotonic() - started)

    def stop(self) -> None:
        """Leave no process behind, whatever happened here."""
        for _, process, _ in self.running.values():
            with suppress(ProcessLookupError):
                process.send_signal(signal.SIGINT)
        for _, process, _ in self.running.values():
            process.wait()


def _cause(cell: Cell, status: int) -> str:
    """Why a cell failed: the last line its process wrote, and the status where that says more."""
    lines = cell.log.read_text("utf-8", errors="replace").split("\n") if cell.log.exists() else []
    said = next((line.strip() for line in reversed(lines) if line.strip()), "")
    if status < 0:
        return f"killed by signal {-status}" + (f" after: {said}" if said else "")
    return said.removeprefix("neuromas: ") or f"exit status {status}"


class _Signals:
    """Counts Ctrl-C, TERM and HUP: at the first, cells save and stop; at the second they end at once."""

    _KINDS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def __init__(self) -> None:
        self.count = 0
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> _Signals:
        for kind in self._KINDS:
            if signal.getsignal(kind) is not signal.SIG_IGN or kind is signal.SIGINT:
                self._before[kind] = signal.signal(kind, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        for kind, handler in self._before.items():
            signal.signal(kind, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.count += 1
