"""The ``file`` task: questions from CSV, JSONL, JSON or Parquet files of one's own.

Either one file per split (``train``, ``validation``, ``test``), or one ``path`` that is cut by a hash of
the question text. Without a validation file a share of ``train`` becomes validation.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from neuromas.core.errors import TaskError
from neuromas.core.task import SPLITS, Problem, Split, Task
from neuromas.tasks.options import Option
from neuromas.tasks.tables import FIELD_OPTIONS, FILE_OPTIONS, Source, assemble, fields_of, read_table

DATA_TASKS = ("file", "hub", "humaneval", "mbpp")  # tasks whose options name data
OPTIONS = (
    Option("path", "", "one CSV, JSONL, JSON or Parquet file, cut into splits by a hash of the question"),
    Option("train", "", "such a file with the training problems"),
    Option("validation", "", "the same for validation"),
    Option("test", "", "the same for test"),
    *FILE_OPTIONS,
    *FIELD_OPTIONS,
)


def build(options: Mapping[str, Any], given: Mapping[str, Any]) -> Task:
    """The task over the files named in ``options``.

    Raises:
        TaskError: no or contradicting files, an unreadable file, a malformed row, overlapping splits.
    """
    paths: dict[Split, str] = {split: options[split] for split in SPLITS}
    if bool(options["path"]) == any(paths.values()):
        raise TaskError("task 'file': give either path, or one or more of train, validation, test")
    sources: Mapping[Source, tuple[Problem, ...]]
    if options["path"]:
        sources = {"all": read_table(options["path"], fields_of(options), options)}
    else:
        sources = {
            split: read_table(path, fields_of(options, split), options)
            for split, path in paths.items()
            if path
        }
    return assemble("file", sources, options)
