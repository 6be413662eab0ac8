"""Cells as tasks of Ray (docs.ray.io), on a running cluster with a shared folder or on this machine alone."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import chdir, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from neuromas.core.errors import RunError, one_line
from neuromas.experiment.cells import Cell
from neuromas.experiment.launchers.base import Ended, Job, Launcher, check_number, check_texts, need
from neuromas.experiment.launchers.local import uses_gpu
from neuromas.experiment.launchers.worker import order, work

_STORE = 100 * 1024 * 1024  # bytes of Ray's shared memory: a task is given a command and returns a number


@dataclass
class Ray(Launcher):
    """Tasks of Ray. ``address`` of a running cluster, also RAY_ADDRESS; without one it starts its own.

    ``cpus`` and ``gpus`` are what a cell takes; ``gpus`` may be a part of one. Not given, it is one for cells
    that use a GPU where the cluster has any.
    """

    pause: ClassVar[float] = 0.2
    lag: ClassVar[float] = 60.0

    address: str = ""
    cpus: int = 1
    gpus: float | None = None
    _began: bool = field(default=False, init=False)
    _has_gpus: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        check_texts(address=self.address)
        check_number("cpus", self.cpus, 1)
        check_number("gpus", self.gpus, 0, whole=False)
        need("ray", "ray")

    def begin(self, out: Path, cells: Sequence[Cell]) -> int:
        """Ray has a queue: all that can start is handed to it."""
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        import ray

        address = self.address or os.environ.get("RAY_ADDRESS") or "local"
        own = {"include_dashboard": False, "object_store_memory": _STORE} if address == "local" else {}
        try:
            with chdir(out):  # Ray puts the current directory on its workers' path: not the user's
                ray.init(address=address, log_to_driver=False, logging_level="ERROR", **own)
        except Exception as error:
            raise RunError(f"--launcher ray: no cluster at {address}: {one_line(error)}") from error
        self._began = True
        has = ray.cluster_resources()
        self._has_gpus = has.get("GPU", 0) > 0
        for cell in cells if address == "local" else ():
            for what, wanted in (("CPU", self.cpus), ("GPU", self._gpus(cell))):
                if wanted > has.get(what, 0):
                    raise RunError(
                        f"--launcher ray: {cell.name} wants {wanted:g} {what}, here are {has.get(what, 0):g}"
                    )
        return max(1, len(cells))

    def start(self, cell: Cell) -> Job:
        """Hand a cell to the queue. What is lost is started anew by us, once its run is free, not by Ray."""
        import ray

        task = ray.remote(num_cpus=self.cpus, num_gpus=self._gpus(cell), max_retries=0)(work)
        named = task.options(name=cell.name)
        return _Task(named.remote(order(cell.command(), cell.log, self.cpus)))

    def _gpus(self, cell: Cell) -> float:
        """GPUs of a cell."""
        if self.gpus is not None:
            return self.gpus
        return float(self._has_gpus and uses_gpu(cell))

    def end(self) -> None:
        """Leave the cluster; one of our own ends."""
        if self._began:
            import ray

            ray.shutdown()


@dataclass
class _Task(Job):
    """A task in the queue or at work."""

    ref: Any

    def poll(self) -> Ended | None:
        """What it returned, or what became of its worker."""
        import ray

        if not ray.wait([self.ref], timeout=0)[0]:
            return None
        try:
            status, told = ray.get(self.ref)
        except ray.exceptions.RayTaskError as error:  # what went wrong on the node before or after the cell
            return Ended(None, said=one_line(error.cause))
        except ray.exceptions.RayError as error:  # its worker or node is gone, or it was cancelled
            return Ended(None, lost=True, said=_cause(error))
        return Ended(status, lost=told or status < 0)

    def interrupt(self, at_once: bool) -> None:
        """First the worker is interrupted and passes it on; by force it is ended, and the cell with it."""
        import ray

        with suppress(ray.exceptions.RayError, ValueError):
            ray.cancel(self.ref, force=at_once)


def _cause(error: Exception) -> str:
    """What Ray says of a lost task, without its advice."""
    lines = [line for line in str(error).split("\n") if line.strip()]
    return f"lost by Ray: {type(error).__name__}" + (f": {lines[0].strip()[:200]}" if lines else "")
