"""One row of a data set -> one Problem. Shared by files and hub data sets; rows are not trusted."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from neuromas.core.errors import TaskError, unknown
from neuromas.core.task import AnswerKind, Problem
from neuromas.tasks.checking import MAX_CHARS, normal, read_yesno
from neuromas.tasks.formulas import as_fraction, harmless
from neuromas.tasks.pieces import cut_question

MAX_TEXT = 100_000  # characters of one question, choice or answer
MAX_CHOICES = 26
MAX_PARTS = 64
_KINDS: dict[str, AnswerKind] = {
    **dict.fromkeys(("letter", "choice", "multiple_choice", "mc"), "choice"),
    **dict.fromkeys(("number", "numeric", "integer", "float"), "number"),
    **dict.fromkeys(("yesno", "yes/no", "bool", "boolean"), "yesno"),
    **dict.fromkeys(("text", "string", "short"), "text"),
}


@dataclass(frozen=True, slots=True)
class Fields:
    """Names of a row's fields. ``kind`` is an answer type for all rows; empty = per row or inferred.

    ``choices`` may name one field, or several separated by commas (one choice each). ``answer`` is empty
    where there are no gold answers and a reward decides. ``answer_is`` is how the gold answer names its
    choice: "index" (from 0), "letter" or "text"; empty = whichever fits alone. ``cut`` is how questions are
    cut and into how many parts, for rows whose ``parts`` hold none. ``where`` is a field and the texts that
    rows which are read have in it; None = all rows are.
    """

    question: str = "question"
    choices: str = "choices"
    answer: str = "answer"
    answer_type: str = "answer_type"
    kind: str = ""
    answer_is: str = ""
    parts: str = "parts"
    stem: str = "stem"
    cut: tuple[str, int] | None = None
    where: tuple[str, tuple[str, ...]] | None = None

    @property
    def columns(self) -> tuple[str, ...]:
        """All fields of a row that are looked at."""
        several = [name.strip() for name in self.choices.split(",")]
        names = [self.question, *several, self.answer, self.answer_type, self.parts, self.stem, "id"]
        names += [self.where[0]] if self.where else []
        return tuple(dict.fromkeys(name for name in names if name))


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
    stem, parts = _parts(row, question, fields, where)
    identity = _optional(row, "id", where)[:200] or identity
    if not fields.answer:
        return Problem(identity, question, "", parts=parts, stem=stem)
    labels, choices = _choices(row, fields.choices, where) if stated in (None, "choice") else ((), ())
    answer = _text(row, fields.answer, where)
    kind = stated or _inferred(answer, choices)
    if kind == "choice":
        if not choices:
            raise TaskError(f"{where}: no choices in field {fields.choices!r}")
        way = fields.answer_is
        answer = _letter(row.get(fields.answer), answer, labels, choices, where, way=way)
        lines = [f"{chr(ord('A') + i)}. {choice}" for i, choice in enumerate(choices)]
        question = "\n".join([question, *lines])
        stem = "\n".join([stem, *lines]).strip() if parts else ""  # who reads the stem must be able to choose
    else:
        choices = ()
        answer = _gold(answer, kind, where)
    if len(answer) > MAX_CHARS:  # such an answer would never be read, so gold itself would be wrong
        raise TaskError(f"{where}: answer of {len(answer)} characters, at most {MAX_CHARS} are read")
    return Problem(identity, question, answer, kind, choices, parts=parts, stem=stem)


def _gold(answer: str, kind: AnswerKind, where: str) -> str:
    """A gold answer that is no choice, in the form in which answers are compared."""
    if kind == "yesno":
        meant = read_yesno(answer, strict=True)
        if meant is None:
            raise TaskError(f"{where}: answer {answer[:40]!r} is not yes or no")
        return meant
    if kind == "number":
        answer = answer.rsplit("####", 1)[-1].strip()  # a worked solution may stand before it
        if as_fraction(answer) is None and not harmless(answer):
            raise TaskError(f"{where}: answer {answer[:40]!r} is not a number")
    return answer


def _parts(row: Mapping[str, Any], question: str, fields: Fields, where: str) -> tuple[str, tuple[str, ...]]:
    """Stem and parts: those of the row's fields, or the question cut; both empty without either."""
    value = row.get(fields.parts) if fields.parts else None
    if isinstance(value, str):
        value = _listed(value)
    stem = _optional(row, fields.stem, where)
    if value is None:
        if fields.cut is None:
            return "", ()
        cut_stem, parts = cut_question(question, *fields.cut, where)
        return stem or cut_stem, parts
    if fields.cut is not None:
        raise TaskError(
            f"{where}: has parts in field {fields.parts!r}; cut = {fields.cut[0]!r} is for rows without"
        )
    texts = value if isinstance(value, Sequence) else None
    if texts is None or not 1 <= len(texts) <= MAX_PARTS or not all(map(_plain, texts)):
        raise TaskError(
            f"{where}: field {fields.parts!r} must be a list of 1 to {MAX_PARTS} texts, got "
            f"{str(value)[:40]!r} (if it holds something else, set parts = '')"
        )
    parts = tuple(str(text).strip() for text in texts)
    if not all(parts):
        raise TaskError(f"{where}: field {fields.parts!r} has an empty part, number {parts.index('') + 1}")
    _check_characters("".join(parts), fields.parts, where)
    return stem, parts


def _optional(row: Mapping[str, Any], field: str, where: str) -> str:
    """A field's text, empty where the row has none."""
    return "" if not field or row.get(field) in (None, "") else _text(row, field, where)


def _text(row: Mapping[str, Any], field: str, where: str) -> str:
    """A field as non-empty text of bounded length."""
    if field not in row:
        raise TaskError(f"{where}: " + unknown("field", field, [str(key)[:40] for key in list(row)[:30]]))
    value = row[field]
    if isinstance(value, bool):
        return "yes" if value else "no"
    if not _plain(value) or not str(value).strip():
        raise TaskError(f"{where}: field {field!r} must be text or a number, got {str(value)[:40]!r}")
    text = str(value).strip()
    if len(text) > MAX_TEXT:
        raise TaskError(
            f"{where}: field {field!r} has {len(text)} characters, at most {MAX_TEXT} are allowed"
        )
    _check_characters(text, field, where)
    return text


def _plain(value: Any) -> bool:
    """Whether a value is text or a finite number: JSON files may hold NaN and Infinity."""
    return isinstance(value, str | int) or (isinstance(value, float) and math.isfinite(value))


def _check_characters(text: str, field: str, where: str) -> None:
    """Refuses lone surrogates: JSON can hold them, no tokenizer and no file can."""
    found = re.search("[\ud800-\udfff]", text)
    if found:
        raise TaskError(f"{where}: field {field!r} holds half a character ({found[0]!a}, a lone surrogate)")


def _kind(row: Mapping[str, Any], fields: Fields, where: str) -> AnswerKind | None:
    """The stated answer kind, or ``None`` if none is stated."""
    stated = str(fields.kind or row.get(fields.answer_type) or "").strip().lower()
    if stated == "code":
        raise TaskError(
            f"{where}: programs are judged by running them (answer_type 'code'); see tasks humaneval, mbpp"
        )
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
    labels: Any = ()
    if isinstance(value, str):
        value = _listed(value)
    if isinstance(value, Mapping):
        if "text" not in value:
            known = [str(key)[:40] for key in list(value)[:30]]
            raise TaskError(f"{where}: " + unknown("field of choices", "text", known))
        labels, value = value.get("label"), value["text"]
        labels = () if labels is None else labels
    if value is None:
        return (), ()
    if not isinstance(value, Sequence) or not all(map(_plain, value)):
        raise TaskError(f"{where}: field {field!r} must be a list of texts, got {str(value)[:40]!r}")
    texts = tuple(str(choice).strip() for choice in value)
    twice = next((text for i, text in enumerate(texts) if text in texts[:i]), None)
    if twice is not None:
        raise TaskError(f"{where}: choice {twice[:40]!r} stands twice in field {field!r}")
    _check_characters("".join(texts), field, where)
    if len(texts) > MAX_CHOICES or any(not text or len(text) > MAX_TEXT for text in texts):
        raise TaskError(f"{where}: choices must be at most {MAX_CHOICES} non-empty texts, got {len(texts)}")
    return _labels(labels, len(texts), where), texts


def _labels(given: Any, count: int, where: str) -> tuple[str, ...]:
    """The labels of ``count`` choices, or none."""
    fits = isinstance(given, Sequence) and not isinstance(given, str) and all(map(_plain, given))
    labels = tuple(str(label).strip() for label in given) if fits else ()
    if not fits or (labels and len(set(labels)) != count):
        raise TaskError(f"{where}: labels must be {count} different texts, got {str(given)[:40]!r}")
    return labels


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


def _letter(
    given: Any, answer: str, labels: Sequence[str], choices: Sequence[str], where: str, *, way: str
) -> str:
    """The gold letter: a label, a 0-based whole number, a letter, or the text of exactly one choice.

    Where these name different choices, a wrong gold answer would train and judge without a word: refused,
    unless ``way`` says which is meant. A label counts before all of them, as nothing else can be meant.
    """
    letters = [chr(ord("A") + i) for i in range(len(choices))]
    if not way and answer in labels:
        return letters[labels.index(answer)]
    found = {
        "index": _by_index(given, answer, letters, way == "index"),
        "letter": bare if (bare := answer.strip("(). ").upper()) in letters else None,
        "text": _by_text(answer, letters, choices),
    }
    meant = {key: letter for key, letter in found.items() if letter and way in ("", key)}
    if len(set(meant.values())) > 1:
        shown = {key: answer[:20] if key == "index" else repr(answer[:20]) for key in meant}
        readings = ", ".join(f"{key} {shown[key]} is {letter}" for key, letter in meant.items())
        ways = " or ".join(map(repr, meant))
        raise TaskError(f"{where}: the answer names several choices ({readings}); set answer_is = {ways}")
    if meant:
        return next(iter(meant.values()))
    wanted = {
        "index": f"no index from 0 to {len(choices) - 1}",
        "letter": f"no letter from A to {letters[-1]}",
        "text": "not the text of exactly one choice",
    }.get(way, f"neither a letter from A to {letters[-1]} nor exactly one choice")
    raise TaskError(f"{where}: answer {answer[:40]!r} is {wanted}")


def _by_index(given: Any, answer: str, letters: Sequence[str], digits: bool) -> str | None:
    """The letter at a whole number; with ``digits`` also at a number written as text, as in CSV files."""
    whole = isinstance(given, int) and not isinstance(given, bool)
    if not whole and not (digits and re.fullmatch("[0-9]{1,2}", answer)):
        return None
    place = int(answer)
    return letters[place] if 0 <= place < len(letters) else None


def _by_text(answer: str, letters: Sequence[str], choices: Sequence[str]) -> str | None:
    """The letter of the one choice that reads like this, to the letter or by case and closing marks."""
    for same in (str, normal):
        named = [letter for letter, text in zip(letters, choices, strict=True) if same(text) == same(answer)]
        if len(named) == 1:
            return named[0]
    return None
