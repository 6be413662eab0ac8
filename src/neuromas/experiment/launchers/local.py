"""Cells as processes of this machine: a core each, or a GPU each where there are some and they use them."""

from __future__ import annotations

import os
import signal
import subprocess
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from neuromas.core.errors import RunError
from neuromas.experiment.cells import Cell
from neuromas.experiment.launchers import worker
from neuromas.experiment.launchers.base import Ended, Job, Launcher, check_number

VISIBLE = "CUDA_VISIBLE_DEVICES"


def launch(cell: Cell, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """Start a cell's process with what its environment adds to ours."""
    return worker.begin(cell.command(), cell.log, {"OMP_NUM_THREADS": "1", **environment})


def devices() -> tuple[str, ...]:
    """The GPUs that torch may use, by the names that the user or the driver gave them."""
    import torch

    count = torch.cuda.device_count()
    given = os.environ.get(VISIBLE)
    return tuple(map(str, range(count))) if given is None else tuple(given.split(",")[:count])


@dataclass
class Local(Launcher):
    """Processes of this machine. CUDA_VISIBLE_DEVICES says which GPUs it may use.

    ``cpus`` are the threads of a cell; what it computes with other numbers of them differs by rounding.
    """

    cpus: int = 1
    _gpus: tuple[str, ...] = field(default=(), init=False)
    _used: Counter[str] = field(default_factory=Counter, init=False)

    def __post_init__(self) -> None:
        check_number("cpus", self.cpus, 1)

    def begin(self, out: Path, cells: Sequence[Cell]) -> int:
        """One cell a GPU where the cells use them, else as many as have cores for their threads.

        Raises RunError if there are fewer cores than threads of a cell.
        """
        if self.cpus > _cores():
            raise RunError(
                f"--launcher local: a cell wants cpus = {self.cpus} threads, here are {_cores()} cores"
            )
        self._gpus = devices() if any(uses_gpu(cell) for cell in cells) else ()
        return len(self._gpus) or _cores() // self.cpus

    def start(self, cell: Cell) -> Job:
        """Start its process, on the GPU that has the fewest."""
        gpu, environment = self._place(cell), {"OMP_NUM_THREADS": str(self.cpus)}
        if gpu and _number(cell) is None:
            environment[VISIBLE] = gpu
        job = _Process(launch(cell, environment), self._used, gpu)
        self._used[gpu] += 1
        return job

    def end(self) -> None:
        """Nothing is held but processes."""
        self._used.clear()

    def _place(self, cell: Cell) -> str:
        """The GPU of a cell: the one that its configuration names, else the least used; empty for none."""
        number = _number(cell)
        if not self._gpus or not uses_gpu(cell):
            return ""
        if number is not None:  # it sees them all and takes its own
            return self._gpus[number] if number < len(self._gpus) else ""
        return min(self._gpus, key=lambda name: self._used[name])


@dataclass
class _Process(Job):
    """A process of ours, and the GPU that it occupies."""

    process: subprocess.Popen[bytes]
    used: Counter[str]
    gpu: str

    def poll(self) -> Ended | None:
        """Its exit status; one that a signal ended was killed."""
        status = self.process.poll()
        if status is None:
            return None
        worker.let_go(self.process)
        self.used[self.gpu] -= 1
        return Ended(status, lost=status < 0)

    def interrupt(self, at_once: bool) -> None:
        """A cell's own handling of Ctrl-C tells a first from a second."""
        with suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGINT)


def uses_gpu(cell: Cell) -> bool:
    """Whether a cell computes on a GPU where there is one."""
    return cell.config.model.device != "cpu"


def _number(cell: Cell) -> int | None:
    """N of ``cuda:N``."""
    _, _, number = cell.config.model.device.partition(":")
    return int(number) if number else None


def _cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
