"""The ``hub`` task: data sets of the Hugging Face hub, or local files as the ``file`` task reads them.

Data sets need the optional package ``datasets``. Code that comes with a data set is never run.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from neuromas.core.errors import TaskError, one_line
from neuromas.core.task import SPLITS, Problem, Task
from neuromas.tasks.options import Option
from neuromas.tasks.reading import SUFFIXES, Row
from neuromas.tasks.rows import Fields
from neuromas.tasks.tables import (
    FIELD_OPTIONS,
    FILE_OPTIONS,
    Source,
    assemble,
    fields_of,
    problems_of,
    read_table,
)

OPTIONS = (
    Option("dataset", "", "data set id such as owner/name; empty = local files"),
    Option("config", "", "configuration of the data set"),
    Option("revision", "", "branch, tag or commit of the data set"),
    Option("train", "train", "split of the data set, or local file, for training; empty = none"),
    Option("validation", "", "the same for validation; empty = a share of train"),
    Option("test", "test", "the same for test; empty = none, or a share where only train is given"),
    *FILE_OPTIONS,
    *FIELD_OPTIONS,
)


def build(options: Mapping[str, Any], given: Mapping[str, Any]) -> Task:
    """The task over a hub data set or local files.

    Raises:
        TaskError: ``datasets`` is missing, the data cannot be loaded, or a row is malformed.
    """
    chosen = {s: options[s] for s in SPLITS if (options["dataset"] or s in given) and options[s]}
    if not chosen:
        files = ", ".join(SUFFIXES)
        raise TaskError(f"task 'hub': give dataset = an id, or train = a local file ({files})")
    if set(chosen) == {"train"}:
        fields_of(options)  # still to be cut
    loaded: dict[Source, tuple[Problem, ...]] = {}
    for split, name in chosen.items():
        fields = fields_of(options, split)
        if options["dataset"]:
            loaded[split] = problems_of(
                _rows(name, options, fields), fields, name, options["refused"] == "drop"
            )
        elif Path(name).is_file():
            loaded[split] = read_table(name, fields, options)
        else:
            raise TaskError(f"task 'hub': no file {name!r} (for a data set of the hub set dataset = its id)")
    if set(loaded) == {"train"}:
        loaded = {"all": loaded["train"]}
    return assemble("hub", loaded, options)


def _rows(name: str, options: Mapping[str, Any], fields: Fields) -> Iterator[Row]:
    """The rows of a split of the data set, with what an error should call each."""
    try:
        import datasets
    except ImportError as error:
        raise TaskError("task 'hub' needs the package datasets: pip install 'neuromas[hub]'") from error
    try:
        table = datasets.load_dataset(
            options["dataset"],
            options["config"] or None,
            split=name,
            revision=options["revision"] or None,
            **_no_code(datasets),
        )
    except Exception as error:  # the library raises many kinds; the user needs the one line
        source = options["dataset"]
        raise TaskError(
            f"task 'hub': {source} split {name!r} cannot be loaded ({one_line(error)})"
        ) from error
    # only these columns are read: others may hold images, whose decoding costs time and packages
    columns = [column for column in table.column_names if column in fields.columns]
    others = dict.fromkeys(table.column_names)  # that an error may say what there is
    for index, row in enumerate(table.select_columns(columns)):
        yield f"{name} row {index}", {**others, **row}


def _no_code(datasets: Any) -> dict[str, bool]:
    """datasets before 4.0 could run a data set's own code and must be told not to."""
    return {"trust_remote_code": False} if int(datasets.__version__.split(".")[0]) < 4 else {}
