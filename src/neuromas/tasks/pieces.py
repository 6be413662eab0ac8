"""Questions cut into parts, so that a topology may hand them to different nodes (``question = "split"``)."""

from __future__ import annotations

import re
from collections.abc import Sequence

from neuromas.core.errors import TaskError

CUTS = ("sentences", "lines", "chunks")
# an end mark, perhaps behind it a closing quote, white space, and what may begin a sentence
_END = re.compile(r"(?<=[.!?])([\"'”’)\]]*)\s+(?=[\"'“‘(\[]?[^\W_])|(?<=[。！？])")
_SHORT = re.compile(r"(?:^|[\s(\[])(?:[A-Z]|Mr|Mrs|Ms|Dr|St|Prof|No|vs|etc|cf|e\.g|i\.e|approx)\.$")


def cut_question(question: str, how: str, count: int, where: str) -> tuple[str, tuple[str, ...]]:
    """The stem and ``count`` parts of a question.

    ``sentences`` and ``lines``: the last one that asks (else the last) is the stem, which all nodes may read;
    those before and after it are dealt out in order, about equally long. ``chunks``: runs of words, without a
    stem. Raises TaskError with ``where`` in it if there are too few pieces.
    """
    units = (
        question.split()
        if how == "chunks"
        else _sentences(question)
        if how == "sentences"
        else _lines(question)
    )
    stem = ""
    if how != "chunks" and units:
        asking = [place for place, unit in enumerate(units) if unit.rstrip("\"'”’)]").endswith(("?", "？"))]
        stem = units.pop(asking[-1] if asking else -1)
    if len(units) < count:
        what, rest = ("words", "") if how == "chunks" else (how, " beside the one that asks")
        raise TaskError(
            f"{where}: the question has {len(units)} {what}{rest} and cannot be cut into {count} pieces; "
            f"lower pieces or leave the row out" + ("" if how == "chunks" else ", or cut = 'chunks'")
        )
    joint = "\n" if how == "lines" else " "
    return stem, tuple(joint.join(group) for group in _dealt(units, count))


def _lines(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip()]


def _sentences(text: str) -> list[str]:
    """Sentences by their end marks; an abbreviation's full stop is none."""
    found: list[str] = []
    begin = 0
    for match in _END.finditer(text):
        piece = text[begin : match.end(1) if match[1] is not None else match.end()]
        if _SHORT.search(piece):
            continue
        found.append(" ".join(piece.split()))
        begin = match.end()
    return [one for one in [*found, " ".join(text[begin:].split())] if one]


def _dealt(units: Sequence[str], count: int) -> list[list[str]]:
    """The units in ``count`` runs, none empty, each ending nearest to its share of the whole length."""
    groups: list[list[str]] = []
    ends = [0]
    for unit in units:
        ends.append(ends[-1] + len(unit) + 1)
    begin = 0
    for group in range(1, count):
        goal = ends[-1] * group / count
        possible = range(begin + 1, len(units) - (count - group) + 1)
        end = min(possible, key=lambda place: (abs(ends[place] - goal), place))
        groups.append(list(units[begin:end]))
        begin = end
    return [*groups, list(units[begin:])]
