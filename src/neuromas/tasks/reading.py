"""Files of rows: CSV with any separator, JSONL, JSON and Parquet, read alike and without trust.

Every row comes with the words that an error uses for its place. Nothing in a file is evaluated, sizes are
bounded, and only regular files are opened.
"""

from __future__ import annotations

import codecs
import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from neuromas.core.errors import TaskError, one_line, shown
from neuromas.core.files import open_regular, read_text

MAX_BYTES = 1_000_000_000  # of one file
MAX_JSON = 200_000_000  # of a JSON file, which is read as a whole
MAX_LINE = 1 << 20  # characters of one line
SUFFIXES = (".csv", ".tsv", ".jsonl", ".json", ".parquet")
_SEPARATORS = ",;\t|"
_NAMES = {"tab": "\t", "\\t": "\t", "comma": ",", "semicolon": ";", "pipe": "|", "space": " "}

Row = tuple[str, Mapping[str, Any]]  # its place in words, and its fields


def read_rows(path: str, wanted: Sequence[str], sep: str = "", encoding: str = "utf-8") -> Iterator[Row]:
    """The rows of a file, with what an error should call each.

    ``wanted`` are the columns that are looked at: others are not decoded, and a CSV file's separator is the
    one with which its heading has most of them. ``sep`` names it instead. Raises TaskError in one line with
    file, line (or row) and cause.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in SUFFIXES:
        raise TaskError(f"{path}: only {', '.join(SUFFIXES)} files can be read, not {suffix!r}")
    try:
        codecs.lookup(encoding)
    except (LookupError, ValueError) as error:
        raise TaskError(f"{path}: unknown encoding {shown(encoding, 40)} (e.g. utf-8, latin-1)") from error
    try:
        if suffix == ".parquet":
            yield from _parquet_rows(path, wanted)
        elif suffix == ".json":
            yield from _json_rows(path, read_text(path, MAX_JSON, _with_mark(encoding)))
        else:
            with (
                open_regular(path, MAX_BYTES) as raw,
                io.TextIOWrapper(raw, _with_mark(encoding), newline="") as stream,
            ):
                lines = _lines(path, stream)
                yield from (
                    _jsonl_rows(path, lines) if suffix == ".jsonl" else _csv_rows(path, lines, wanted, sep)
                )
    except OSError as error:
        raise TaskError(f"{path}: cannot be read ({error.strerror or one_line(error)})") from error
    except UnicodeError as error:
        where = _undecodable(path, encoding)
        said = "UTF-8" if encoding == "utf-8" else encoding
        raise TaskError(f"{path}{where}: is not {said} text; set encoding, e.g. latin-1 or utf-16") from error


def _with_mark(encoding: str) -> str:
    """UTF-8 files may begin with a byte order mark."""
    return "utf-8-sig" if encoding.lower().replace("_", "-") in ("utf-8", "utf8") else encoding


def _undecodable(path: str, encoding: str) -> str:
    """`` line 7``: the first line that is not text of the encoding; empty where lines cannot be told."""
    if "16" in encoding or "32" in encoding:
        return ""
    with open_regular(path, MAX_BYTES) as raw:
        for number, line in enumerate(raw, 1):
            try:
                line.decode(encoding)
            except UnicodeError:
                return f" line {number}"
    return ""


def _lines(path: str, stream: Any) -> Iterator[str]:
    """The lines, none of them read beyond its bound."""
    number = 0
    while line := stream.readline(MAX_LINE + 1):
        number += 1
        if len(line) > MAX_LINE:
            raise TaskError(f"{path} line {number}: longer than {MAX_LINE} characters")
        yield line


def _jsonl_rows(path: str, lines: Iterator[str]) -> Iterator[Row]:
    for number, line in enumerate(lines, 1):
        if line.strip():
            where = f"{path} line {number}"
            yield where, _object(where, _parsed(where, line))


def _json_rows(path: str, text: str) -> Iterator[Row]:
    """A list of objects, or an object with one list of objects in it (as ``{"data": […]}``)."""
    found = _parsed(path, text)
    if isinstance(found, dict):
        lists = [value for value in found.values() if isinstance(value, list)]
        found = lists[0] if len(lists) == 1 else None
    if not isinstance(found, list):
        raise TaskError(f"{path}: must be a list of JSON objects, or an object that holds one such list")
    for number, row in enumerate(found):
        where = f"{path} row {number}"
        yield where, _object(where, row)


def _parsed(where: str, text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise TaskError(f"{where}: is not JSON ({one_line(error)})") from error


def _object(where: str, row: Any) -> Mapping[str, Any]:
    if not isinstance(row, dict):
        raise TaskError(f"{where}: must be a JSON object, got {type(row).__name__}")
    return row


def _csv_rows(path: str, lines: Iterator[str], wanted: Sequence[str], sep: str) -> Iterator[Row]:
    first = next(lines, "")
    delimiter = _separator(path, sep) if sep else _sniffed(first, wanted)
    reader = csv.DictReader(_chained(first, lines), strict=True, delimiter=delimiter)
    try:
        heading = list(reader.fieldnames or ())
        twice = next((name for i, name in enumerate(heading) if name in heading[:i]), None)
        if twice is not None:
            raise TaskError(f"{path} line 1: heading {twice[:40]!r} stands twice")
        for row in reader:
            where = f"{path} line {reader.line_num}"
            if None in row or None in row.values():
                extra: Any = row.pop(None, ())
                count = sum(value is not None for value in row.values()) + len(extra)
                raise TaskError(
                    f"{where}: has another number of fields than the heading ({count}, not {len(heading)}; "
                    f"the separator is {delimiter!r})"
                )
            yield where, row
    except csv.Error as error:
        raise TaskError(f"{path} line {reader.line_num}: is not CSV ({one_line(error)})") from error


def _chained(first: str, rest: Iterator[str]) -> Iterator[str]:
    yield first
    yield from rest


def _separator(path: str, sep: str) -> str:
    found = _NAMES.get(sep, sep)
    if len(found) != 1 or found in '"\r\n':
        raise TaskError(
            f"{path}: sep = {shown(sep, 40)} is not one character, nor one of {', '.join(_NAMES)}"
        )
    return found


def _sniffed(heading: str, wanted: Sequence[str]) -> str:
    """The separator with which the heading has most of the wanted columns, then most columns."""

    def found(separator: str) -> tuple[int, int]:
        try:
            names = next(csv.reader([heading], delimiter=separator), [])
        except csv.Error:
            return (0, 0)
        return len(set(names) & set(wanted)), len(names)

    return max(_SEPARATORS, key=found)  # of equals the first


def _parquet_rows(path: str, wanted: Sequence[str]) -> Iterator[Row]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise TaskError(f"{path}: Parquet needs the package pyarrow: pip install 'neuromas[hub]'") from error
    with open_regular(path, MAX_BYTES) as stream:
        try:
            file = pyarrow.parquet.ParquetFile(stream)
            names = file.schema_arrow.names
            columns = [name for name in names if name in wanted]
            others = dict.fromkeys(names)  # that an error may say what there is
            number = 0
            for batch in file.iter_batches(columns=columns):
                for row in batch.to_pylist():
                    yield f"{path} row {number}", {**others, **row}
                    number += 1
        except pyarrow.ArrowException as error:
            raise TaskError(f"{path}: is not Parquet ({one_line(error)})") from error
