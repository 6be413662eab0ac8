"""Cells as jobs of Slurm, through submitit (github.com/facebookincubator/submitit); the folder is shared.

``cluster=local`` has submitit start the same jobs as processes of this machine, to try them out.
"""

from __future__ import annotations

import json
import math
import os
import shlex
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import time as clock
from pathlib import Path
from typing import Any, ClassVar

from neuromas.core.errors import ConfigError, RunError, one_line, shown, unknown
from neuromas.experiment.cells import Cell
from neuromas.experiment.launchers.base import Ended, Job, Launcher, check_number, check_texts, need, refuse
from neuromas.experiment.launchers.worker import order, work
from neuromas.storage import read_json, write_atomic

_CLUSTERS = ("slurm", "local")
_FORCED = 2.0  # seconds between questions that do not wait until submitit would ask by itself
_DAY = 24 * 60  # minutes
_TRIAL = 7 * _DAY  # minutes: of jobs that are processes of this machine


@dataclass
class Slurm(Launcher):
    """Jobs of Slurm. ``memory`` in GB; ``time`` in minutes or as Slurm writes it (``1-12:00:00``).

    ``gpus`` of every cell; not given, one for those whose model.device is cuda. ``grace`` is how many
    seconds before the end of its time a cell is told to save; it then goes on in another job. ``setup`` are
    lines of shell before it, ``sbatch`` further options of sbatch by name.
    """

    pause: ClassVar[float] = 1.0
    lag: ClassVar[float] = 60.0

    cluster: str = "slurm"
    partition: str = ""
    time: int | str | clock = ""
    gpus: int | None = None
    cpus: int = 1
    memory: float | None = None
    account: str = ""
    qos: str = ""
    constraint: str = ""
    grace: int = 120
    setup: list[str] = field(default_factory=list)
    sbatch: dict[str, Any] = field(default_factory=dict)
    _folder: Path = field(default=Path(), init=False)
    _executors: dict[int, Any] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        if self.cluster not in _CLUSTERS:
            raise ConfigError(unknown("value of launcher option cluster:", self.cluster, _CLUSTERS))
        texts = {name: getattr(self, name) for name in ("partition", "account", "qos", "constraint")}
        check_texts(**texts)
        check_number("gpus", self.gpus, 0)
        check_number("cpus", self.cpus, 1)
        check_number("memory", self.memory, 0.1, whole=False)
        check_number("grace", self.grace, 1)
        if not isinstance(self.setup, list):
            raise refuse("setup", self.setup, 'a list of lines of shell, such as ["module load cuda"]')
        check_texts(**{f"setup[{place}]": line for place, line in enumerate(self.setup, start=1)})
        if not isinstance(self.sbatch, dict):
            raise refuse("sbatch", self.sbatch, 'a table, such as {reservation = "mine"}')
        if self.cluster == "slurm" and not self.time:
            raise ConfigError("--launcher slurm needs the time of a job: --launcher-options time=4:00:00")
        if self.time:
            minutes(self.time)
        need("submitit", "slurm")

    def begin(self, out: Path, cells: Sequence[Cell]) -> int:
        """Slurm has a queue: all that can start is handed to it."""
        os.environ.setdefault("SUBMITIT_LOG_LEVEL", "ERROR")  # its lines would stand between ours
        os.environ["PYTHONSAFEPATH"] = "1"  # its processes import nothing from where we stand
        self._folder = out.absolute() / "jobs"
        self._executor(0)
        return max(1, len(cells))

    def start(self, cell: Cell) -> Job:
        """Hand a cell to the queue; its job's number is kept beside its log."""
        executor = self._executor(self._gpus(cell))
        executor.update_parameters(name=cell.name.replace("/", "-"))
        task = order(cell.command(), cell.log, self.cpus)
        try:
            job = executor.submit(work, task)
        except Exception as error:  # whatever sbatch, its output or the disk make of it
            raise RunError(f"{self.cluster} did not take {cell.name}: {one_line(error)}") from error
        note = _note(cell)
        write_atomic(note, json.dumps({"cluster": self.cluster, "job": job.job_id}) + "\n")
        return (_SlurmJob if self.cluster == "slurm" else _LocalJob)(job, note)

    def left(self, cell: Cell) -> Job | None:
        """Jobs in Slurm's queue outlive the experiment that put them there."""
        import submitit

        note = _note(cell)
        if self.cluster != "slurm" or not note.is_file():
            return None
        known = read_json(note)
        if known.get("cluster") != "slurm":
            return None
        return _SlurmJob(submitit.SlurmJob(self._folder, str(known.get("job"))), note)

    def end(self) -> None:
        """Nothing is held; jobs that were not interrupted stay in the queue."""
        self._executors.clear()

    def _gpus(self, cell: Cell) -> int:
        """GPUs of a cell."""
        if self.gpus is not None:
            return self.gpus
        return 1 if cell.config.model.device.startswith("cuda") else 0

    def _executor(self, gpus: int) -> Any:
        """What submits jobs with that many GPUs. Raises RunError where there is no Slurm."""
        if gpus in self._executors:
            return self._executors[gpus]
        import submitit

        given = {
            "timeout_min": minutes(self.time) if self.time else _TRIAL,
            "cpus_per_task": self.cpus,
            "gpus_per_node": gpus or None,
            "mem_gb": self.memory,
            "slurm_partition": self.partition or None,
            "slurm_account": self.account or None,
            "slurm_qos": self.qos or None,
            "slurm_constraint": self.constraint or None,
            "slurm_signal_delay_s": self.grace,
            "slurm_setup": self.setup or None,
            "local_setup": self.setup or None,
            "slurm_additional_parameters": self.sbatch or None,
        }
        try:
            python = {f"{self.cluster}_python": f"{shlex.quote(sys.executable)} -P"}
            executor = submitit.AutoExecutor(folder=self._folder, cluster=self.cluster, **python)
            executor.update_parameters(**given)
        except Exception as error:
            raise RunError(f"--launcher slurm: {one_line(error)}") from error
        self._executors[gpus] = executor
        return executor


@dataclass
class _SlurmJob(Job):
    """A job in the queue or at work."""

    job: Any
    note: Path
    asked: bool = False
    given_up: bool = False
    looked: float = field(default_factory=time.monotonic)

    def poll(self) -> Ended | None:
        """What its result file says; without one, what Slurm knows of it."""
        ended = self._ended()
        if ended is not None:
            self.note.unlink(missing_ok=True)
        return ended

    def _ended(self) -> Ended | None:
        """As ``poll``."""
        force = self.asked and time.monotonic() - self.looked > _FORCED
        if force:
            self.looked = time.monotonic()
        name = f"job {self.job.job_id}"
        if not self.job.done(force_check=force):
            return Ended(None, lost=True, said=f"{name} was cancelled") if self.given_up else None
        if not self.job.paths.result_pickle.exists():
            return Ended(None, lost=True, said=f"{name} ended without a result: {shown(self.job.state)}")
        try:
            status, told = self.job.result()
        except Exception as error:  # what went wrong on the node before or after the cell
            last = str(error).split("-" * 22)[1:2] or [str(error)]
            return Ended(None, said=f"{name}: {one_line(RuntimeError(last[0]))}")
        return Ended(status, lost=told or status < 0)

    def interrupt(self, at_once: bool) -> None:
        """Slurm sends TERM, and KILL half a minute later (its KillWait); a second time we do not wait."""
        self.asked, self.given_up = True, at_once
        with suppress(OSError):
            self.job.cancel(check=False)


class _LocalJob(_SlurmJob):
    """A job of submitit's own on this machine: its number is that of the process which watches it."""

    def interrupt(self, at_once: bool) -> None:
        """TERM is passed on to the cell's worker; submitit's own way to cancel ends all within a second."""
        self.asked = True
        with suppress(ProcessLookupError):
            os.kill(int(self.job.job_id), signal.SIGINT if at_once else signal.SIGTERM)


def _note(cell: Cell) -> Path:
    """Where the number of a cell's job is kept while it is in the queue or at work."""
    return cell.log.with_suffix(".job.json")


def minutes(given: object) -> int:
    """A time as Slurm reads it, in whole minutes, rounded up. Raises ConfigError.

    Minutes, minutes:seconds, hours:minutes:seconds; days-hours, to which minutes and seconds may be added.
    """
    text = given.isoformat() if isinstance(given, clock) else str(given)
    days, dash, rest = text.rpartition("-")
    parts = rest.split(":")
    if all(part.isascii() and part.isdecimal() and len(part) < 7 for part in [*parts, days or "0"]):
        numbers = [int(part) for part in parts]
        if dash and len(numbers) <= 3 and days:
            hours, rest_minutes, seconds = [*numbers, 0, 0][:3]
        elif not dash and len(numbers) <= 3:
            hours, rest_minutes, seconds = ([0, *numbers, 0] if len(numbers) < 3 else numbers)[:3]
        else:
            raise refuse("time", given, _TIMES)
        found = int(days or "0") * _DAY + hours * 60 + rest_minutes + math.ceil(seconds / 60)
        if found > 0:
            return found
    raise refuse("time", given, _TIMES)


_TIMES = "minutes, hours:minutes:seconds or days-hours:minutes:seconds"
