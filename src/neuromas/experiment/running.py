"""Cells as jobs of a launcher: what runs when, what is tried again, and what became of each."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

from neuromas.core.errors import RunError
from neuromas.experiment.cells import Cell
from neuromas.experiment.launchers.base import Ended, Job, Launcher
from neuromas.storage import Run, sweep, write_atomic
from neuromas.system.provenance import check_unchanged

Say = Callable[[Mapping[str, Any]], None]
RETRIES = 2


@dataclass(slots=True)
class Outcome:
    """What became of the cells: causes of failures by name, and whether Ctrl-C ended it."""

    failures: dict[str, str] = field(default_factory=dict)
    interrupted: bool = False


@dataclass(frozen=True, slots=True)
class Limits:
    """``jobs``: how many cells at once, None for as many as the launcher takes.

    ``retries``: how often a cell is tried again that was killed or lost before it had saved anything new.
    """

    jobs: int | None = None
    retries: int = RETRIES


def run_cells(cells: Sequence[Cell], launcher: Launcher, limits: Limits, out: Path, say: Say) -> Outcome:
    """Run what is not finished; a cell that fails is noted and the others go on.

    ``say`` hears of every cell that ends, is tried again, or must wait for another process that works on its
    run. Causes of failures are kept in ``failures.json``. Raises RunError if a file is not what it was for
    earlier cells, or if the launcher takes no cell at all.
    """
    _check_inputs(cells)
    for cell in cells:
        sweep(cell.log.parent)
    try:
        room = launcher.begin(out, cells)
        work = _Work(launcher, limits.jobs or room, limits.retries, list(cells), say)
        with _Signals() as signals:
            try:
                work.take_over()
                while work.step(signals.count):
                    time.sleep(launcher.pause)
            finally:
                work.stop()
    finally:
        launcher.end()
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
class _Try:
    """One try of a cell: its job, when it began, and how it ended once it did."""

    cell: Cell
    job: Job
    began: float
    ended: Ended | None = None
    seen: float = 0.0  # when it was seen to have ended


@dataclass(slots=True)
class _Lost:
    """How often a cell was lost since it last saved anything, and what it had saved then."""

    saved: str
    times: int = 0


@dataclass(slots=True)
class _Work:
    """Cells waiting, running and done."""

    launcher: Launcher
    jobs: int
    retries: int
    waiting: list[Cell]
    say: Say
    running: dict[str, _Try] = field(default_factory=dict)
    finished: set[str] = field(default_factory=set)
    outcome: Outcome = field(default_factory=Outcome)
    lost: dict[str, _Lost] = field(default_factory=dict)
    busy: set[str] = field(default_factory=set)
    told: int = 0
    full: bool = False  # the launcher takes no more until one of ours ends

    def take_over(self) -> None:
        """Jobs that an experiment before us left in a queue or at work are ours now."""
        for cell in list(self.waiting):
            job = None if cell.finished else self.launcher.left(cell)
            if job is not None:
                self.waiting.remove(cell)
                self._began(cell, job)

    def step(self, asked: int) -> bool:
        """Collect who has ended, pass signals on, start others; False once nothing is left to do."""
        for name in list(self.running):
            self._collect(name)
        while self.told < asked:
            self.told += 1
            self.outcome.interrupted = True
            self.waiting.clear()
            for one in self.running.values():
                one.job.interrupt(at_once=self.told > 1)
        while len(self.running) < self.jobs and not self.full:
            cell = self._next()
            if cell is None:
                break
            self._start(cell)
        return bool(self.running or self.waiting)

    def _start(self, cell: Cell) -> None:
        """Start a cell; one that the launcher does not take now waits for one of ours to end."""
        try:
            job = self.launcher.start(cell)
        except RunError:
            if not self.running:
                raise
            self.waiting.insert(0, cell)
            self.full = True
        else:
            self._began(cell, job)

    def _began(self, cell: Cell, job: Job) -> None:
        """Note a try."""
        self.lost.setdefault(cell.name, _Lost(_saved(cell)))
        self.running[cell.name] = _Try(cell, job, time.monotonic())

    def _next(self) -> Cell | None:
        """The first waiting cell that can start; those that are finished or can never start are left out."""
        for cell in list(self.waiting):
            if cell.needs and cell.needs in self.outcome.failures:
                self._end(cell, f"{cell.needs} failed", 0.0)
            elif cell.needs in self.running:
                continue
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
        """Note how a job ended, if it did; whether the cell is done, its files alone say."""
        one = self.running[name]
        if one.ended is None:
            one.ended, one.seen = one.job.poll(), time.monotonic()
            if one.ended is None:
                return
        ended, now = one.ended, time.monotonic()
        done = cell_done(one.cell, ended)
        if (
            not (done or self.outcome.interrupted)
            and ended.status == 0
            and now - one.seen < self.launcher.lag
        ):
            return
        del self.running[name]
        self.full = False
        if done:
            self._end(one.cell, "", now - one.began)
        elif self.outcome.interrupted:
            return
        elif ended.lost and self._again(one.cell):
            self._tell_again(one.cell, cause_of(one.cell, ended))
        else:
            self._end(one.cell, self._cause(one.cell, ended), now - one.began)

    def _again(self, cell: Cell) -> bool:
        """Whether a lost cell is tried again; what it saved meanwhile makes it count from the start."""
        lost, saved = self.lost[cell.name], _saved(cell)
        lost.times, lost.saved = (lost.times if saved == lost.saved else 0) + 1, saved
        return lost.times <= self.retries

    def _tell_again(self, cell: Cell, cause: str) -> None:
        """Say that a cell was lost, and put it first in the line."""
        self.waiting.insert(0, cell)
        again = f"{self.lost[cell.name].times} of {self.retries}"
        self.say({"cell": cell, "cause": cause, "again": again, "done": self.done})

    def _cause(self, cell: Cell, ended: Ended) -> str:
        """Why a cell failed for good."""
        cause = cause_of(cell, ended)
        if not ended.lost or not self.retries:
            return cause
        return f"{cause} ({self.lost[cell.name].times} times since it last saved anything)"

    def stop(self) -> None:
        """Leave no job behind, whatever happened here."""
        for one in self.running.values():
            one.job.interrupt(at_once=False)
        for one in self.running.values():
            while one.ended is None:
                one.ended = one.job.poll()
                if one.ended is None:
                    time.sleep(self.launcher.pause)


def cell_done(cell: Cell, ended: Ended) -> bool:
    """Whether a cell is finished; a process that failed after its last file was written has failed."""
    return ended.status in (0, None) and cell.finished


def cause_of(cell: Cell, ended: Ended) -> str:
    """Why a cell failed: what the launcher knows, else the last line its process wrote and its status."""
    if ended.said:
        return ended.said
    if ended.status == 0:
        return "it ended well without its last evaluation"
    lines = cell.log.read_text("utf-8", errors="replace").split("\n") if cell.log.exists() else []
    said = next((line.strip() for line in reversed(lines) if line.strip()), "")
    if ended.status is not None and ended.status < 0:
        return f"killed by signal {-ended.status}" + (f" after: {said}" if said else "")
    return said.removeprefix("neuromas: ") or f"exit status {ended.status}"


def _saved(cell: Cell) -> str:
    """The newest checkpoint of a cell's run, by name; empty for none, and for what trains nothing."""
    names = [] if cell.arm.of else [path.name for path in Run(cell.run).checkpoints()]
    return names[-1] if names else ""


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
