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
from neuromas.storage import Run, sweep, write_atomic
from neuromas.system.provenance import check_unchanged

Say = Callable[[Mapping[str, Any]], None]
_PAUSE = 0.05  # seconds between looks at the processes


@dataclass(slots=True)
class Outcome:
    """What became of the cells: causes of failures by name, and whether Ctrl-C ended it."""

    failures: dict[str, str] = field(default_factory=dict)
    interrupted: bool = False


def launch(cell: Cell) -> subprocess.Popen[bytes]:
    """Start a cell's process in a session of its own: Ctrl-C reaches it through us, and once.

    It watches its standard input, of which we hold the other end: when we are gone, so is it.
    """
    command = cell.command()
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with cell.log.open("ab") as log:
        return subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=log,
            env=environment,
            start_new_session=True,
        )


def run_cells(cells: Sequence[Cell], jobs: int, out: Path, say: Say) -> Outcome:
    """Run what is not finished, ``jobs`` at a time; a cell that fails is noted and the others go on.

    ``say`` hears of every cell that ends, or must wait for another process that works on its run. Causes of
    failures are kept in ``failures.json``. Raises RunError if a file is not what it was for earlier cells.
    """
    _check_inputs(cells)
    for cell in cells:
        sweep(cell.log.parent)
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


def _check_inputs(cells: Sequence[Cell]) -> None:
    """Cells that are compared must have read the same; what is finished altogether is not asked again."""
    if all(cell.finished for cell in cells):
        return
    known: set[tuple[str, str]] = set()
    for cell in cells:
        if (cell.run / "config.json").is_file():
            inputs = Run(cell.run).read("run.json").get("inputs", {})
            new = inputs.items() - known if isinstance(inputs, dict) else set()
            check_unchanged(cell.run, {"inputs": dict(new)})
            known |= new


@dataclass(slots=True)
class _Work:
    """Cells waiting, running and done."""

    waiting: list[Cell]
    say: Say
    running: dict[str, tuple[Cell, subprocess.Popen[bytes], float]] = field(default_factory=dict)
    finished: set[str] = field(default_factory=set)
    outcome: Outcome = field(default_factory=Outcome)
    busy: set[str] = field(default_factory=set)
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
                if Run(cell.run).busy:  # of an experiment that was killed just now, or somebody at a terminal
                    self._tell_busy(cell)
                    continue
                self.waiting.remove(cell)
                return cell
        return None

    def _tell_busy(self, cell: Cell) -> None:
        """Say once that a cell waits for another process."""
        if cell.name not in self.busy:
            self.busy.add(cell.name)
            self.say({"cell": cell, "cause": "", "busy": True, "done": self.done})

    @property
    def done(self) -> int:
        """How many cells are over."""
        return len(self.finished) + len(self.outcome.failures)

    def _end(self, cell: Cell, cause: str, seconds: float) -> None:
        """Note that a cell is over."""
        if cell in self.waiting:
            self.waiting.remove(cell)
        if cause:
            self.outcome.failures[cell.name] = cause
        else:
            self.finished.add(cell.name)
        self.say({"cell": cell, "cause": cause, "seconds": seconds, "done": self.done})

    def _collect(self, name: str) -> None:
        """Note how a process ended, if it did."""
        cell, process, started = self.running[name]
        status = process.poll()
        if status is None:
            return
        del self.running[name]
        _let_go(process)
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
            _let_go(process)


def _let_go(process: subprocess.Popen[bytes]) -> None:
    """Close our end of the pipe of a process that has ended."""
    if process.stdin is not None:
        process.stdin.close()


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
