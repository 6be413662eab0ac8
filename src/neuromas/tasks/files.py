"""The ``file`` task: questions from JSONL or CSV files of one's own.

Either one file per split (``train``, ``validation``, ``test``), or one ``path`` that is cut by a hash of
the question text. Without a validation file a share of ``train`` becomes validation. Nothing in a file
is evaluated, and sizes are bounded.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from neuromas.core.errors import TaskError, one_line
from neuromas.core.files import open_regular
from neuromas.core.task import SPLITS, Problem, Split, Task
from neuromas.tasks.options import Option
from neuromas.tasks.rows import Fields, to_problem
from neuromas.tasks.stored import StoredTask, by_hash, disjoint, mixed

MAX_BYTES = 1_000_000_000  # of one file
MAX_LINE = 1 << 20  # characters of one JSONL line
MAX_ROWS = 1_000_000

DATA_TASKS = ("file", "hub")  # tasks whose options name data
Source = Split | Literal["all"]  # "all": still to be cut into splits

FIELD_OPTIONS = (
    Option("question", "question", "field that holds the question"),
    Option("choices", "choices", "field that holds the choices, or several fields separated by commas"),
    Option("answer", "answer", "field that holds the gold answer"),
    Option("answer_type", "answer_type", "field that holds the kind of answer"),
    Option(
        "answer_is",
        "",
        "how the answer names its choice, an index counting from 0; empty = whichever fits alone",
        allowed=("", "index", "letter", "text"),
    ),
    Option(
        "kind", "", "kind of all answers; empty = by row", allowed=("", "choice", "number", "yesno", "text")
    ),
    Option("strict", False, "the whole text must be the answer, not one unambiguous part of it"),
    Option("validation_share", 0.1, "share that becomes validation where no such file is given", 0.0, 0.9),
    Option("test_share", 0.1, "share that becomes test when one source is cut", 0.0, 0.9),
    Option("overlap", "error", "what to do if splits share questions", allowed=("error", "drop")),
)
OPTIONS = (
    Option("path", "", "one JSONL or CSV file, cut into splits by a hash of the question"),
    Option("train", "", "JSONL or CSV file of the training problems"),
    Option("validation", "", "the same for validation"),
    Option("test", "", "the same for test"),
    *FIELD_OPTIONS,
)


def build(options: Mapping[str, Any], given: Mapping[str, Any]) -> Task:
    """The task over the files named in ``options``.

    Raises:
        TaskError: no or contradicting files, an unreadable file, a malformed row, overlapping splits.
    """
    fields = fields_of(options)
    paths: dict[Split, str] = {split: options[split] for split in SPLITS}
    if bool(options["path"]) == any(paths.values()):
        raise TaskError("task 'file': give either path, or one or more of train, validation, test")
    sources: Mapping[Source, tuple[Problem, ...]]
    if options["path"]:
        sources = {"all": read_file(options["path"], fields)}
    else:
        sources = {split: read_file(path, fields) for split, path in paths.items() if path}
    return assemble("file", sources, options)


def fields_of(options: Mapping[str, Any]) -> Fields:
    """The field names among the options."""
    return Fields(
        options["question"],
        options["choices"],
        options["answer"],
        options["answer_type"],
        options["kind"],
        options["answer_is"],
    )


def assemble(
    name: str, sources: Mapping[Source, tuple[Problem, ...]], options: Mapping[str, Any]
) -> StoredTask:
    """A task from problems by split, or from ``"all"`` problems that are still to be cut."""
    validation, test = options["validation_share"], options["test_share"]
    if validation + test > 0.95:
        raise TaskError(
            f"task {name!r}: validation_share + test_share = {validation + test:g}, "
            f"nothing is left to train on"
        )
    if "all" in sources:
        splits = by_hash(sources["all"], validation, test)
    else:
        splits = {split: sources.get(split, ()) for split in SPLITS}
        if "validation" not in sources and validation > 0:
            splits |= {k: v for k, v in by_hash(splits["train"], validation, 0.0).items() if k != "test"}
    kept = disjoint(name, splits, options["overlap"])
    return StoredTask(name, {split: mixed(split, kept[split]) for split in kept}, options["strict"])


def read_file(path: str, fields: Fields) -> tuple[Problem, ...]:
    """All problems of a JSONL or CSV file; an error names the file, the line and the problem."""
    file = Path(path)
    if file.suffix.lower() not in (".jsonl", ".csv"):
        raise TaskError(f"{path}: only .jsonl and .csv files can be read, not {file.suffix!r}")
    try:
        with open_regular(file, MAX_BYTES) as raw, io.TextIOWrapper(raw, "utf-8-sig", newline="") as stream:
            rows = _csv_rows(path, stream) if file.suffix.lower() == ".csv" else _json_rows(path, stream)
            return problems_of(rows, fields, file.stem)
    except OSError as error:
        raise TaskError(f"{path}: cannot be read ({error.strerror or one_line(error)})") from error
    except UnicodeDecodeError as error:
        raise TaskError(f"{path}: is not UTF-8 text ({one_line(error)})") from error


def problems_of(
    rows: Iterable[tuple[str, Mapping[str, Any]]], fields: Fields, stem: str
) -> tuple[Problem, ...]:
    """Problems of (where, row) pairs, at least one and at most MAX_ROWS.

    Ids name draws and pairs of items, so a repeated one is refused.
    """
    problems: list[Problem] = []
    known: set[str] = set()
    for where, row in rows:
        if len(problems) >= MAX_ROWS:
            raise TaskError(f"{where}: more than {MAX_ROWS} rows")
        problem = to_problem(row, fields, where, f"{stem}-{len(problems)}")
        if problem.id in known:
            raise TaskError(f"{where}: id {problem.id!r} stands twice")
        known.add(problem.id)
        problems.append(problem)
    if not problems:
        raise TaskError(f"{stem}: holds no problems")
    return tuple(problems)


def _lines(path: str, stream: Any) -> Iterator[str]:
    """The lines, none of them read beyond its bound."""
    number = 0
    while line := stream.readline(MAX_LINE + 1):
        number += 1
        if len(line) > MAX_LINE:
            raise TaskError(f"{path} line {number}: longer than {MAX_LINE} characters")
        yield line


def _json_rows(path: str, stream: Any) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for number, line in enumerate(_lines(path, stream), 1):
        where = f"{path} line {number}"
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise TaskError(f"{where}: is not JSON ({one_line(error)})") from error
        if not isinstance(row, dict):
            raise TaskError(f"{where}: must be a JSON object, got {type(row).__name__}")
        yield where, row


def _csv_rows(path: str, stream: Any) -> Iterator[tuple[str, Mapping[str, Any]]]:
    reader = csv.DictReader(_lines(path, stream), strict=True)
    try:
        heading = list(reader.fieldnames or ())
        twice = next((name for i, name in enumerate(heading) if name in heading[:i]), None)
        if twice is not None:
            raise TaskError(f"{path} line 1: heading {twice[:40]!r} stands twice")
        for row in reader:
            where = f"{path} line {reader.line_num}"
            if None in row or None in row.values():
                raise TaskError(f"{where}: has another number of fields than the heading")
            yield where, row
    except csv.Error as error:
        raise TaskError(f"{path} line {reader.line_num}: is not CSV ({one_line(error)})") from error
