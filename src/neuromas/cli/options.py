"""What may be typed as an argument: ``key=value`` pairs, numbers within bounds, names of files."""

from __future__ import annotations

import os
from argparse import ArgumentTypeError
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from neuromas.core.errors import ConfigError, RunError, shown
from neuromas.core.files import is_folder


def read_pairs(pairs: Sequence[str]) -> dict[str, Any]:
    """Values are TOML (numbers, true, lists), or plain text where they are not."""
    from neuromas.config import check_plain, read_value

    found: dict[str, Any] = {}
    for pair in pairs:
        key, given, raw = pair.partition("=")
        if not given or not key.strip():
            raise ConfigError(f"{shown(pair)} is not option=value")
        found[key.strip()] = read_value(raw)
    check_plain(found)
    return found


def whole(most: int, least: int = 1) -> Callable[[str], int]:
    """The reader of a whole number from ``least`` (0 or 1) to ``most``."""

    def read(text: str) -> int:
        number = int(text) if text.isascii() and text.isdecimal() and len(text) < 20 else -1
        if number < least:
            raise ArgumentTypeError(f"{shown(text)} is not a whole number of at least {least}")
        if number > most:
            raise ArgumentTypeError(f"{shown(text)} is more than {most}")
        return number

    return read


def temperature(text: str) -> float:
    """A temperature from 0 to 10."""
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0.0 <= number <= 10.0:
        raise ArgumentTypeError(f"{shown(text)} is not a number from 0 to 10")
    return number


def name(text: str) -> str:
    """The name of a file, a run or another thing: not empty, which would stand for nothing given."""
    if not text.strip():
        raise ArgumentTypeError("is empty; leave the option out, or name something")
    return text


def file_to_write(flag: str, text: str) -> Path:
    """Where a file can be written. Raises RunError before any work is done for it."""
    path = Path(text)
    if not is_folder(path.parent):
        raise RunError(f"{flag} {shown(text)}: the folder {shown(str(path.parent))} does not exist")
    if is_folder(path):
        raise RunError(f"{flag} {shown(text)}: is a folder; name a file in it")
    if os.path.lexists(path) and not path.is_file():  # renaming over a device would take it from everybody
        raise RunError(f"{flag} {shown(text)}: is no ordinary file; name another")
    if not os.access(path.parent, os.W_OK):
        raise RunError(f"{flag} {shown(text)}: nothing can be written in {shown(str(path.parent))}")
    return path


def folder_to_write(flag: str, text: str) -> Path:
    """Where a folder is or can be made. Raises RunError before any work is done for it."""
    path = Path(text)
    there = next((place for place in (path, *path.parents) if os.path.lexists(place)), Path())
    if not is_folder(there):
        raise RunError(f"{flag} {shown(text)}: {shown(str(there))} is not a folder")
    if not os.access(there, os.W_OK):
        raise RunError(f"{flag} {shown(text)}: nothing can be written in {shown(str(there))}")
    return path
