"""One row of a data set -> one Problem. Shared by files and hub data sets; rows are not trusted."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from neuromas.errors import TaskError, unknown
from neuromas.task import AnswerKind, Problem
from neuromas.tasks.checking import read_yesno
from neuromas.tasks.formulas import as_fraction, harmless

MAX_TEXT = 100_000  # characters of one question, choice or answer
MAX_CHOICES = 26
_KINDS: dict[str, AnswerKind] = {
    **dict.fromkeys(("letter", "choice", "multiple_choice", "mc"), "choice"),
    **dict.fromkeys(("number", "numeric", "integer", "float"), "number"),
    **dict.fromkeys(("yesno", "yes/no", "bool", "boolean"), "yesno"),
    **dict.fromkeys(("text", "string", "short"), "text"),
}


@dataclass(frozen=True, slots=True)
class Fields:
    """Names of a row's fields. ``kind`` is an answer type for all rows; empty = per row or inferred.

    ``choices`` may name one field, or several separated by commas (one choice each).
    """

    question: str = "question"
    choices: str = "choices"
    answer: str = "answer"
    answer_type: str = "answer_type"
    kind: str = ""


def to_problem(row: Mapping[str, Any], fields: Fields, where: str, identity: str) -> Problem:
    """The problem in a row.

    Args:
        where: what an error names, e.g. ``"exam.jsonl line 3"``.
        identity: the problem's id if the row has no ``id``.

    Raises:
        TaskError: ``where`` and what is wrong, on one line.
    """
    stated = _kind(row, fields, where)  # first: a code row has no question and must say why it fails
    question = _text(row, fields.question, where)
    labels, choices = _choices(row, fields.choices, where) if stated in (None, "choice") else ((), ())
    given = row.get(fields.answer)
    answer = _text(row, fields.answer, where)
    kind = stated or _inferred(answer, choices)
    if kind == "choice":
        if not choices:
            raise TaskError(f"{where}: no choices in field {fields.choices!r}")
        answer = _letter(given, answer, labels, choices, where)
        lines = [f"{chr(ord('A') + i)}. {choice}" for i, choice in enumerate(choices)]
        question = "\n".join([question, *lines])
    elif kind == "yesno":
        meant = read_yesno(answer, strict=True)
        if meant is None:
            raise TaskError(f"{where}: answer {answer[:40]!r} is not yes or no")
        answer = meant
    elif kind == "number":
        answer = answer.rsplit("####", 1)[-1].strip()  # a worked solution may stand before it
        if as_fraction(answer) is None and not harmless(answer):
            raise TaskError(f"{where}: answer {answer[:40]!r} is not a number")
    identity = str(row.get("id") or identity)[:200]
    return Problem(identity, question, answer, kind, choices if kind == "choice" else ())


def _text(row: Mapping[str, Any], field: str, where: str) -> str:
    """A field as non-empty text of bounded length."""
    if field not in row:
        raise TaskError(f"{where}: " + unknown("field", field, [str(key)[:40] for key in list(row)[:30]]))
    value = row[field]
    if isinstance(value, bool):
        return "yes" if value else "no"
    if not isinstance(value, str | int | float) or not str(value).strip():
        raise TaskError(f"{where}: field {field!r} must be text or a number, got {str(value)[:40]!r}")
    text = str(value).strip()
    if len(text) > MAX_TEXT:
        raise TaskError(
            f"{where}: field {field!r} has {len(text)} characters, at most {MAX_TEXT} are allowed"
        )
    return text


def _kind(row: Mapping[str, Any], fields: Fields, where: str) -> AnswerKind | None:
    """The stated answer kind, or ``None`` if none is stated."""
    stated = str(fields.kind or row.get(fields.answer_type) or "").strip().lower()
    if stated == "code":
        raise TaskError(f"{where}: code tasks need a sandbox and are not supported yet (answer_type 'code')")
    if stated and stated not in _KINDS:
        raise TaskError(f"{where}: " + unknown("answer_type", stated[:40], _KINDS))
    return _KINDS[stated] if stated else None


def _inferred(answer: str, choices: Sequence[str]) -> AnswerKind:
    """The kind of an answer that states none: choices, else yes/no, else number, else text."""
    if choices:
        return "choice"
    if answer.lower() in ("yes", "no"):
        return "yesno"
    return "number" if as_fraction(answer) is not None else "text"


def _choices(row: Mapping[str, Any], field: str, where: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Labels (may be empty) and texts of the choices; a list, a JSON list, "a|b|c", or label/text lists."""
    names = [name.strip() for name in field.split(",")]
    value: Any = row.get(field) if len(names) == 1 else [row.get(name) for name in names]
    labels: Sequence[Any] = ()
    if isinstance(value, str):
        value = _listed(value)
    if isinstance(value, Mapping):
        labels, value = value.get("label") or (), value.get("text")
    if value is None:
        return (), ()
    if not isinstance(value, Sequence) or not all(isinstance(v, str | int | float) for v in value):
        raise TaskError(f"{where}: field {field!r} must be a list of texts, got {str(value)[:40]!r}")
    texts = tuple(str(choice).strip() for choice in value)
    if len(texts) > MAX_CHOICES or any(not text or len(text) > MAX_TEXT for text in texts):
        raise TaskError(f"{where}: choices must be at most {MAX_CHOICES} non-empty texts, got {len(texts)}")
    return tuple(str(label).strip() for label in labels), texts


def _listed(cell: str) -> list[Any] | None:
    """A cell of a CSV file as a list; ``None`` if it is empty."""
    if not cell.strip():
        return None
    if cell.lstrip().startswith("["):
        try:
            parsed = json.loads(cell)
        except (ValueError, RecursionError):
            parsed = None
        if isinstance(parsed, list):
            return parsed
    return cell.split("|")


def _letter(given: Any, answer: str, labels: Sequence[str], choices: Sequence[str], where: str) -> str:
    """The gold letter: a label, a letter, a 0-based whole number, or the text of exactly one choice."""
    letters = [chr(ord("A") + i) for i in range(len(choices))]
    if len(labels) == len(choices) and answer in labels:
        return letters[labels.index(answer)]
    if isinstance(given, int) and not isinstance(given, bool) and 0 <= given < len(letters):
        return letters[given]
    bare = answer.strip("(). ").upper()
    if bare in letters:
        return bare
    named = [letter for letter, choice in zip(letters, choices, strict=True) if choice == answer]
    if len(named) == 1:
        return named[0]
    raise TaskError(
        f"{where}: answer {answer[:40]!r} is neither a letter from A to {letters[-1]} nor exactly one choice"
    )
