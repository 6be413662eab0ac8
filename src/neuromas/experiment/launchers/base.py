"""What a launcher is: it starts the command of a cell somewhere, says how it ended, and interrupts it."""

from __future__ import annotations

import importlib.util
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from neuromas.core.errors import ConfigError, shown
from neuromas.core.parts import LAUNCHERS
from neuromas.experiment.cells import Cell


@dataclass(frozen=True, slots=True)
class Ended:
    """How a cell's process went.

    ``status`` is its exit status, negative for the signal that ended it, None if nobody saw it end. ``lost``
    says that no error of its own ended it (killed, its machine gone, told to leave): it is tried again.
    ``said`` is a cause that is not in the cell's log.
    """

    status: int | None
    lost: bool = False
    said: str = ""


class Job(ABC):
    """One try of one cell."""

    @abstractmethod
    def poll(self) -> Ended | None:
        """How it ended; None while it waits or runs. Never blocks for long."""

    @abstractmethod
    def interrupt(self, at_once: bool) -> None:
        """Ask it to save and end, or to end ``at_once``. What has ended or never began is no error."""


class Launcher(ABC):
    """A place where cells run. The fields of a derived dataclass are its options, checked as it is made.

    ``pause`` is the time between two looks at the jobs, ``lag`` how long what a job wrote may stay unseen on
    the file system it shares with us, both in seconds.
    """

    pause: ClassVar[float] = 0.05
    lag: ClassVar[float] = 0.0

    @abstractmethod
    def begin(self, out: Path, cells: Sequence[Cell]) -> int:
        """Get ready for these cells of the experiment in ``out``; how many may be started at once.

        Raises RunError or ConfigError in one line if nothing can be started here.
        """

    @abstractmethod
    def start(self, cell: Cell) -> Job:
        """Start a cell's command. Raises RunError if it is not taken now: it is offered again later."""

    def left(self, cell: Cell) -> Job | None:
        """The job of this cell that an earlier experiment left in a queue or at work, if there is one."""
        return None

    @abstractmethod
    def end(self) -> None:
        """Let go of what ``begin`` took; all jobs have ended."""


def make_launcher(name: str, options: Mapping[str, Any]) -> Launcher:
    """The launcher of that name with these options; nothing is started.

    Raises ConfigError in one line if there is none, if an option is unknown or impossible, or if a package
    is missing.
    """
    made: Launcher = LAUNCHERS.make(name, options, Launcher)  # type: ignore[type-abstract]
    return made


def need(package: str, extra: str) -> None:
    """Raises ConfigError if a package is not installed, naming the extra that brings it."""
    if importlib.util.find_spec(package) is None:
        raise ConfigError(
            f"--launcher {extra} needs the package {package}, which is not installed: "
            f"pip install 'neuromas[{extra}]'"
        )


def refuse(option: str, value: object, valid: str) -> ConfigError:
    """The error that an option's value is not what it should be."""
    return ConfigError(f"launcher option {option} = {shown(value)}: should be {valid}")


def check_number(option: str, value: object, least: float, whole: bool = True) -> None:
    """Raises ConfigError unless the value is None or a (whole) number of at least ``least``."""
    kinds = (int,) if whole else (int, float)
    if value is None or (isinstance(value, kinds) and not isinstance(value, bool) and least <= value < 1e9):
        return
    raise refuse(option, value, f"a {'whole ' if whole else ''}number of at least {least:g}")


def check_texts(**options: object) -> None:
    """Raises ConfigError unless every value is text on one line, empty for not given."""
    for option, value in options.items():
        if not isinstance(value, str) or not value.isprintable():
            raise refuse(option, value, "text on one line")
