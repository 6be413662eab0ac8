"""Networks are read while training goes on: what somebody reads is not removed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """While a network is read from a run, or from one of its checkpoints, none is removed there."""
    inside = path / "checkpoints"
    with guarded(inside if inside.is_dir() else path.parent, alone=False):
        yield


@contextmanager
def guarded(folder: Path, alone: bool) -> Iterator[bool]:
    """Many may read a folder's checkpoints, or one may remove some: then the value says whether it may.

    Where the system has no such locks nobody waits.
    """
    try:
        import fcntl

        handle = os.open(folder, os.O_RDONLY)
    except (ImportError, OSError):
        yield True
        return
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB if alone else fcntl.LOCK_SH)
        free = True
    except BlockingIOError:
        free = False
    except OSError:
        free = True
    try:
        yield free
    finally:
        os.close(handle)
