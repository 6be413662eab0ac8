"""A cell's process beside whoever watches it: on this machine, or on the node where a cluster put it.

The cell runs in a session of its own and watches its standard input, of which the watcher holds the other
end: when the watcher is gone, so is the cell. Nothing here loads torch.
"""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

_PAUSE = 0.1  # seconds; sleeps are short because Ray's interruption does not end one
_ASKING = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR2)  # Ray cancels, Slurm cancels, Slurm ends the time
# of the scheduler's environment: without these a cell would not find what the user has at hand
PASSED_ON = ("PYTHONPATH", "NEUROMAS_STATE", "HF_HOME", "HF_HUB_OFFLINE")


@dataclass(frozen=True, slots=True)
class Order:
    """What a node needs to know to run a cell: its command, its log, where, and what the environment adds."""

    command: tuple[str, ...]
    log: str
    folder: str
    environment: tuple[tuple[str, str], ...]


def order(command: Sequence[str], log: Path, cores: int) -> Order:
    """The order to run a command from where we stand with that many threads."""
    passed = [(name, os.environ[name]) for name in PASSED_ON if name in os.environ]
    return Order(tuple(command), str(log.absolute()), os.getcwd(), (*passed, ("OMP_NUM_THREADS", str(cores))))


def begin(command: Sequence[str], log: Path, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """Start a cell's process in a session of its own: signals reach it through us, and once."""
    with log.open("ab") as stream:
        return subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=stream,
            env={**os.environ, **environment},
            start_new_session=True,
        )


def let_go(process: subprocess.Popen[bytes]) -> None:
    """Close our end of the pipe of a process that has ended."""
    if process.stdin is not None:
        process.stdin.close()


def work(task: Order) -> tuple[int, bool]:
    """Run a cell to its end: its exit status, and whether somebody asked us to leave before.

    Who asks is the cluster, by a signal; the cell gets it once, as an interruption, and saves.
    """
    os.chdir(task.folder)
    with _Asked() as asked:
        with _kept_from_child():
            process = begin(task.command, Path(task.log), dict(task.environment))
        told = False
        try:
            while process.poll() is None:
                if asked.is_set() and not told:
                    told = True
                    with suppress(ProcessLookupError):
                        process.send_signal(signal.SIGINT)
                time.sleep(_PAUSE)
        finally:
            let_go(process)
    return process.returncode, told


class _Asked:
    """Notes a request to leave; puts back what handled signals before."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self._before: list[tuple[signal.Signals, object]] = []

    def __enter__(self) -> threading.Event:
        with suppress(ValueError):  # not the main thread: then nobody's signals come here
            for kind in _ASKING:
                self._before.append((kind, signal.signal(kind, self._note)))
        return self._event

    def __exit__(self, *_: object) -> None:
        for kind, handler in self._before:
            signal.signal(kind, signal.SIG_DFL if handler is None else handler)  # type: ignore[arg-type]

    def _note(self, number: int, frame: FrameType | None) -> None:
        self._event.set()


@contextmanager
def _kept_from_child() -> Iterator[None]:
    """A process begun meanwhile hears our interruption and none of what a cluster sends to all of a job.

    A cell takes a second request as one to end at once, and Slurm's warning signal would end it unsaved.
    Ray's workers may have been started with interruptions blocked, which a child inherits.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGTERM, signal.SIGUSR2))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGINT,))
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
