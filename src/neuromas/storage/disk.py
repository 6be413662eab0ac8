"""Files and folders that are there whole or not at all, also after a loss of power.

A file is written beside its place, flushed to the disk, renamed, and the folder that names it is flushed. A
kill leaves at most a file or folder under a name that ``sweep`` knows. Modes are those the umask gives.
"""

from __future__ import annotations

import errno
import json
import os
import re
import secrets
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from neuromas.core.errors import RunError, one_line
from neuromas.core.files import read_bytes

ERRORS = "backslashreplace"  # half a surrogate pair, as data may hold, becomes JSON's own escape of it
_WORK = re.compile(r"\..+-[a-z0-9_]{8}")  # the last part is ours or, until 0.1.0, tempfile's
_OLD = ".old"
_MOST_BYTES = 1 << 30  # of a file that is read whole


def write_atomic(path: Path, text: str | bytes) -> None:
    """Write beside the file, flush to disk, rename over it, flush the folder."""
    write_together({path: text})


def write_together(texts: Mapping[Path, str | bytes]) -> None:
    """Write files of one folder of which the last one vouches for the others.

    All are on the disk before any takes its place, so that a full disk changes nothing. Then the last one's
    older self goes first and it comes last: after a kill it never stands beside files of another writing.
    """
    works = {path: _beside(path) for path in texts}
    *_, last = texts
    try:
        for path, text in texts.items():
            _write_new(works[path], text)
        if len(texts) > 1:
            last.unlink(missing_ok=True)
            flush(last.parent)
        for path, work in works.items():
            os.replace(work, path)
    except BaseException:
        for work in works.values():
            work.unlink(missing_ok=True)
        raise
    flush(last.parent)


def _write_new(path: Path, text: str | bytes) -> None:
    """A file that is not there yet, down to the disk; text in UTF-8."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0), 0o666)
    with os.fdopen(handle, "wb") as stream:
        stream.write(text.encode("utf-8", ERRORS) if isinstance(text, str) else text)
        stream.flush()
        os.fsync(stream.fileno())


def replace_folder(target: Path, fill: Callable[[Path], None]) -> None:
    """Build a folder beside its place, flush all of it and rename it there.

    What was there stands aside until then: after a kill between the two renames ``sweep`` puts it back.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    work = _beside(target)
    work.mkdir()
    try:
        fill(work)
        _settle(work)
        old = target.with_name(f".{target.name}{_OLD}")
        if target.exists():
            shutil.rmtree(old, ignore_errors=True)
            target.rename(old)
        try:
            work.rename(target)
        except BaseException:
            if old.exists():
                old.rename(target)
            raise
        flush(target.parent)
        shutil.rmtree(old, ignore_errors=True)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def remove_folder(path: Path) -> None:
    """Remove a folder so that at no moment half of it stands in its place."""
    work = _beside(path)
    with suppress(OSError):
        path.rename(work)
    shutil.rmtree(work, ignore_errors=True)


def sweep(folder: Path, pattern: str = "*") -> None:
    """Put back, or remove, what killed processes left in a folder; nobody else may be writing there."""
    for path in folder.glob(f".{pattern}"):
        if path.name.endswith(_OLD) and path.is_dir():
            place = path.with_name(path.name[1 : -len(_OLD)])
            if not place.exists():
                path.rename(place)
        elif not _WORK.fullmatch(path.name):
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def flush(path: Path) -> None:
    """Bring a file's content, or a folder's list of names, to the disk."""
    try:
        handle = os.open(path, os.O_RDONLY)
    except PermissionError:
        if os.name == "nt":  # which opens no folder, and keeps names without being asked
            return
        raise
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno != errno.EINVAL:  # a file system that cannot
            raise
    finally:
        os.close(handle)


def refuse_links(path: Path) -> None:
    """Raises RunError if a folder holds a link that leads out of it, or what is neither file nor folder.

    A run of somebody else could make us write, or wait, anywhere.
    """
    root = path.resolve()
    for here, folders, files in os.walk(path):
        for name in (*folders, *files):
            entry = Path(here, name)
            if entry.is_symlink() and not entry.resolve().is_relative_to(root):
                raise RunError(f"{entry} is a link that leads out of {path}; nothing was written")
            if not entry.is_file() and not entry.is_dir() and entry.exists():
                raise RunError(f"{entry} is neither a file nor a folder; nothing was written")


def read_whole(path: Path) -> bytes:
    """A run comes from anywhere: a pipe or a device in it is not waited for, and sizes are bounded."""
    return read_bytes(path, _MOST_BYTES)


def read_line(text: str) -> dict[str, Any] | None:
    """A JSON object from a line; None if it is damaged."""
    try:
        row = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return row if isinstance(row, dict) else None


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file. Raises RunError with one line."""
    try:
        data = json.loads(read_whole(path).decode("utf-8"))
    except OSError as error:
        raise RunError(f"{path}: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise RunError(f"{path} is damaged: not JSON ({one_line(error)})") from error
    if not isinstance(data, dict):
        raise RunError(f"{path} is damaged: not a JSON object")
    return data


def json_lines(rows: Iterable[Mapping[str, Any]]) -> str:
    """The rows as JSON, a line each."""
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def json_text(data: Mapping[str, Any]) -> str:
    """A JSON object as people may read it."""
    return json.dumps(data, indent=1, ensure_ascii=False) + "\n"


@contextmanager
def clear(path: Path) -> Iterator[None]:
    """Turns a failing disk into one line; what was written before stays."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or error
        raise RunError(f"cannot write {path}: {reason}; nothing written earlier is lost") from error


def _beside(path: Path) -> Path:
    """A name for work in progress, which ``sweep`` knows again."""
    return path.with_name(f".{path.name}-{secrets.token_hex(4)}")


def _settle(folder: Path) -> None:
    """Give files the mode that new ones get here, and flush all of them and every folder."""
    mode = folder.stat().st_mode & 0o666
    for here, _, files in os.walk(folder, topdown=False):
        for name in files:
            path = Path(here, name)
            if path.stat().st_mode & 0o777 != mode:
                path.chmod(mode)  # libraries choose their own
            flush(path)
        flush(Path(here))
