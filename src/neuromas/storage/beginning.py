"""Where a run can begin, and what a process may have left that ended while it made one."""

from __future__ import annotations

import os
from pathlib import Path

from neuromas.core.errors import RunError

FOLDERS = ("checkpoints", "evaluations")
LOCK = ".lock"


def check_free(path: Path) -> None:
    """Raises RunError where no run can begin: there is one, other files, or nothing can be written."""
    refuse_used(path)
    there = next((place for place in (path, *path.parents) if os.path.lexists(place)), Path())
    if not there.is_dir():
        raise RunError(f"run directory {str(path)!r}: {str(there)!r} is not a folder")
    if not os.access(there, os.W_OK):
        raise RunError(f"run directory {str(path)!r}: nothing can be written in {str(there)!r}")


def refuse_used(path: Path) -> None:
    """Raises RunError where no run can begin: there is one, or what is not the beginning of one."""
    if (path / "config.json").exists():
        raise RunError(
            f"{path} already holds a run; resume it with --resume {path}, or name another with --run"
        )
    if path.is_dir() and not all(_of_a_beginning(entry) for entry in path.iterdir()):
        raise RunError(f"{path} is not empty and not a run; name another directory")


def _of_a_beginning(entry: Path) -> bool:
    """Whether a process could have left this that ended while it made a run: nothing of worth is lost."""
    if entry.name in FOLDERS:
        return entry.is_dir() and not any(entry.iterdir())
    if entry.name == "run.json":  # is written into a folder that has the others
        return all((entry.parent / name).is_dir() for name in FOLDERS)
    return entry.name == LOCK or entry.name.startswith((".run.json-", ".config.json-"))
