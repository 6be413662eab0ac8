"""Files that a user names: read only if they are regular, and only up to a size.

A pipe would wait for ever, a device like ``/dev/zero`` has no end, and a name with a NUL or with half a
surrogate pair is refused by Python with an error of another kind. Here each is an OSError whose
``strerror`` says what is wrong, so that ``except OSError`` is all a reader needs.
"""

from __future__ import annotations

import errno
import os
import stat
from io import BufferedReader
from pathlib import Path

MOST_BYTES = 10_000_000


def open_regular(path: str | os.PathLike[str], most: int | None = MOST_BYTES) -> BufferedReader:
    """A regular file of at most ``most`` bytes (None: any size), open for reading; links are followed.

    It is opened without waiting and looked at once it is open, so nothing can be put in its place between.
    Raises OSError with a ``strerror``, also for names that no file can have.
    """
    try:
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0))
    except ValueError as error:  # a NUL, or a surrogate that no file system stores
        raise OSError(errno.EINVAL, "no file can have this name", os.fspath(path)) from error
    try:
        found = os.fstat(handle)
        if not stat.S_ISREG(found.st_mode):
            what = "Is a directory" if stat.S_ISDIR(found.st_mode) else "is not a regular file"
            raise OSError(errno.EINVAL, what, os.fspath(path))
        if most is not None and found.st_size > most:
            raise _too_large(path, most)
        return os.fdopen(handle, "rb")
    except BaseException:
        os.close(handle)
        raise


def read_bytes(path: str | os.PathLike[str], most: int = MOST_BYTES) -> bytes:
    """All of a regular file of at most ``most`` bytes. Raises OSError with a ``strerror``."""
    with open_regular(path, most) as stream:
        content = stream.read(most + 1)  # a file may grow, and those of /proc have no size
    if len(content) > most:
        raise _too_large(path, most)
    return content


def read_text(path: str | os.PathLike[str], most: int = MOST_BYTES, encoding: str = "utf-8") -> str:
    """The same as text. Raises OSError, and UnicodeDecodeError where it is none."""
    return read_bytes(path, most).decode(encoding)


def is_file(path: str | os.PathLike[str]) -> bool:
    """Whether there is such a regular file; False for names that no file can have."""
    try:
        return Path(path).is_file()
    except (ValueError, OSError):  # Python takes most errors for "no", but not a name that is too long
        return False


def is_folder(path: str | os.PathLike[str]) -> bool:
    """Whether there is such a folder; False for names that no file can have."""
    try:
        return Path(path).is_dir()
    except (ValueError, OSError):
        return False


def at_home(name: str) -> Path:
    """The path with a leading ``~`` or ``~user`` resolved, or as it stands where there is no such user."""
    try:
        return Path(name).expanduser()
    except RuntimeError:
        return Path(name)


def _too_large(path: str | os.PathLike[str], most: int) -> OSError:
    return OSError(errno.EFBIG, f"is larger than {most / 1_000_000:g} MB", os.fspath(path))
