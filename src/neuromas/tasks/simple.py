"""The shortest way to a task of one's own: rows at hand, with or without a reward function."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from neuromas.core.errors import TaskError, shown
from neuromas.core.task import Problem, Task
from neuromas.tasks.options import Option, read_options
from neuromas.tasks.reading import Row
from neuromas.tasks.rewards import Rewards, Value, rewarded
from neuromas.tasks.tables import FIELD_OPTIONS, assemble, fields_of, problems_of

_ROWS = "rows"


def from_rows(
    rows: Iterable[tuple[str, str] | Mapping[str, Any] | Problem],
    reward: Callable[..., Value] | Rewards | None = None,
    **options: str | int | float | bool,
) -> Task:
    """A task over (question, answer) pairs, mappings with such fields, or problems.

    A hash of the question decides a row's split, as with one file (``validation_share``, ``test_share``); the
    other ``options`` are those of files that name fields, such as ``kind="number"`` or ``cut="sentences"``.
    ``reward`` is what training pays instead of the comparison with the answer; rows may then be questions
    alone. Raises TaskError that names the row.
    """
    specs: tuple[Option, ...] = FIELD_OPTIONS
    settings = read_options(_ROWS, specs, options)
    given = list(rows)
    if reward is not None and all(isinstance(row, str) for row in given):
        settings["answer"] = ""
    if given and all(isinstance(row, Problem) for row in given):
        problems = tuple(row for row in given if isinstance(row, Problem))
        twice = len({problem.id for problem in problems}) < len(problems)
        if twice:
            raise TaskError("rows: two problems have the same id")
    else:
        fields = fields_of(settings)
        named = _named(given, fields.question, fields.answer, reward is not None)
        problems = problems_of(named, fields, _ROWS, settings["refused"] == "drop")
    return rewarded(assemble(_ROWS, {"all": problems}, settings), reward)


def _named(rows: list[Any], question: str, answer: str, paid: bool) -> Iterator[Row]:
    """Rows as mappings, each with what an error should call it."""
    for number, row in enumerate(rows):
        where = f"row {number}"
        if isinstance(row, str) and paid:
            yield where, {question: row}
        elif isinstance(row, Mapping):
            yield where, row
        elif isinstance(row, tuple | list) and len(row) == 2:
            yield where, {question: row[0], answer: row[1]}
        else:
            what = "a (question, answer) pair, a mapping or a neuromas.Problem"
            raise TaskError(f"{where} is {shown(row, 60)}, not {what}")
