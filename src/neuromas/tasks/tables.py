"""From rows of any source to a task: which columns are read, and how rows become splits."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from neuromas.core.errors import TaskError, shown, unknown
from neuromas.core.task import SPLITS, Problem, Split
from neuromas.tasks.options import Option
from neuromas.tasks.pieces import CUTS
from neuromas.tasks.reading import Row, read_rows
from neuromas.tasks.rows import Fields, to_problem
from neuromas.tasks.stored import StoredTask, by_hash, disjoint, mixed

MAX_ROWS = 1_000_000
MOST_DROPPED = 0.05  # share of rows that refused = "drop" may pass over
_SHOWN = 100  # values of a field that an error may name
Source = Split | Literal["all"]  # "all": still to be cut into splits

FIELD_OPTIONS = (
    Option("question", "question", "field that holds the question"),
    Option("choices", "choices", "field that holds the choices, or several fields separated by commas"),
    Option("answer", "answer", "field that holds the gold answer; empty = there is none, a reward decides"),
    Option("answer_type", "answer_type", "field that holds the kind of answer"),
    Option("parts", "parts", "field that holds the question's parts, a list or text with |; empty = none"),
    Option("stem", "stem", "field that holds what every reader of a part is shown, too"),
    Option("cut", "", "cut every question into pieces, instead of a field of parts", allowed=("", *CUTS)),
    Option("pieces", 2, "how many pieces cut makes", 2, 64),
    Option(
        "answer_is",
        "",
        "how the answer names its choice, an index counting from 0; empty = whichever fits alone",
        allowed=("", "index", "letter", "text"),
    ),
    Option(
        "kind", "", "kind of all answers; empty = by row", allowed=("", "choice", "number", "yesno", "text")
    ),
    Option("where", "", "rows that are read, as field=value or field=value|value; empty = all"),
    Option("test_where", "", "the same for the test split alone, in place of where"),
    Option("refused", "error", "what to do with rows that are no question", allowed=("error", "drop")),
    Option("strict", False, "the whole text must be the answer, not one unambiguous part of it"),
    Option("validation_share", 0.1, "share that becomes validation where no such file is given", 0.0, 0.9),
    Option("test_share", 0.1, "share that becomes test when one source is cut", 0.0, 0.9),
    Option("overlap", "error", "what to do if splits share questions", allowed=("error", "drop")),
)
FILE_OPTIONS = (
    Option("sep", "", "separator of CSV files; empty = , ; | or tab, whichever the heading has"),
    Option("encoding", "utf-8", "encoding of text files"),
)


def fields_of(options: Mapping[str, Any], source: Source = "all") -> Fields:
    """The field names among the options, and which rows of a source are read.

    Raises TaskError for a condition that is none, or one on test rows of a source that is still to be cut.
    """
    cut = (options["cut"], options["pieces"]) if options["cut"] else None
    keys = ("question", "choices", "answer", "answer_type", "kind", "answer_is", "parts", "stem")
    if source == "all" and options["test_where"]:
        raise TaskError("option 'test_where' is for a test file or split of its own; set where")
    key = "test_where" if source == "test" and options["test_where"] else "where"
    return Fields(**{key: options[key] for key in keys}, cut=cut, where=_condition(key, options[key]))


def _condition(key: str, text: str) -> tuple[str, tuple[str, ...]] | None:
    """Field and values of ``field=value|value``; None for no text."""
    if not text:
        return None
    field, _, values = text.partition("=")
    wanted = tuple(value.strip() for value in values.split("|"))
    if not field.strip() or not all(wanted):
        raise TaskError(f"option {key!r} = {shown(text)}: write field=value or field=value|value")
    return field.strip(), wanted


def read_table(path: str, fields: Fields, options: Mapping[str, Any]) -> tuple[Problem, ...]:
    """All problems of a file. Raises TaskError that names file, line or row, and field."""
    rows = read_rows(path, fields.columns, options["sep"], options["encoding"])
    return problems_of(rows, fields, Path(path).stem, options["refused"] == "drop")


def problems_of(rows: Iterable[Row], fields: Fields, stem: str, drop: bool = False) -> tuple[Problem, ...]:
    """Problems of (where, row) pairs, at least one and at most MAX_ROWS.

    Ids name draws and pairs of items, so a repeated one is refused. Rows that do not meet ``fields.where``
    are passed over unread. With ``drop`` so are those that cannot be a problem; if they are over MOST_DROPPED
    of all, the first is refused, because then the options are wrong and not the rows.
    """
    problems: list[Problem] = []
    known: set[str] = set()
    dropped: list[TaskError] = []
    for where, row in _chosen(_bounded(rows), fields, stem):
        try:
            problem = to_problem(row, fields, where, f"{stem}-{len(problems) + len(dropped)}")
        except TaskError as error:
            if not drop:
                raise
            dropped.append(error)
            continue
        if problem.id in known:
            raise TaskError(f"{where}: id {problem.id!r} stands twice")
        known.add(problem.id)
        problems.append(problem)
    if len(dropped) > MOST_DROPPED * (len(problems) + len(dropped)):
        raise TaskError(f"{dropped[0]}; {len(dropped)} of {len(problems) + len(dropped)} rows are refused")
    if not problems:
        raise TaskError(f"{stem}: holds no problems")
    return tuple(problems)


def _chosen(rows: Iterable[Row], fields: Fields, stem: str) -> Iterator[Row]:
    """The rows that have one of the wanted values in the field of ``fields.where``.

    Raises TaskError where a row has no such field, or where no row has some of the values: a misspelt one.
    """
    if fields.where is None:
        yield from rows
        return
    field, wanted = fields.where
    there: dict[str, None] = {}  # in order
    for where, row in rows:
        if field not in row:
            raise TaskError(f"{where}: " + unknown("field", field, [str(key)[:40] for key in list(row)[:30]]))
        value = str(row[field]).strip()
        if value in wanted:
            yield where, row
        if len(there) < _SHOWN or value in wanted:
            there[value] = None
    for value in wanted:
        if value not in there:
            raise TaskError(f"{stem}: " + unknown(f"value of {field!r}", value, [one[:40] for one in there]))


def _bounded(rows: Iterable[Row]) -> Iterator[Row]:
    for number, (where, row) in enumerate(rows):
        if number >= MAX_ROWS:
            raise TaskError(f"{where}: more than {MAX_ROWS} rows")
        yield where, row


def assemble(
    name: str, sources: Mapping[Source, Sequence[Problem]], options: Mapping[str, Any]
) -> StoredTask:
    """A task from problems by split, or from ``"all"`` problems that are still to be cut."""
    validation, test = options["validation_share"], options["test_share"]
    if validation + test > 0.95:
        raise TaskError(
            f"task {name!r}: validation_share + test_share = {validation + test:g}, "
            f"nothing is left to train on"
        )
    splits: dict[Split, tuple[Problem, ...]]
    if "all" in sources:
        splits = by_hash(sources["all"], validation, test)
    else:
        splits = {split: tuple(sources.get(split, ())) for split in SPLITS}
        if "validation" not in sources and validation > 0:
            splits |= {k: v for k, v in by_hash(splits["train"], validation, 0.0).items() if k != "test"}
    kept = disjoint(name, splits, options["overlap"])
    return StoredTask(name, {split: mixed(split, kept[split]) for split in kept}, options["strict"])
