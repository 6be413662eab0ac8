"""Answers against gold answers: how often each was given, and how often it was right to give."""

from __future__ import annotations

from collections import Counter

from neuromas.report.blocks import Cell, Table
from neuromas.report.html import charts
from neuromas.report.html.kept import Evaluated, Kept, text
from neuromas.report.html.parts import Fold, Lead, Note, Part

MOST = 30
_LONGEST = 60


def label_parts(run: Kept) -> list[Part]:
    """Counts of answers and golds, most frequent first."""
    before, after = (run.evaluations.get(name) for name in ("test-before", "test-after"))
    last = after or before
    if last is None or not last.items:
        return [Note("no items of a test evaluation were kept yet")]
    golds = Counter(text(item.get("gold")) for item in last.items.values())
    given = {one.name: _given(one) for one in (before, after) if one is not None}
    answers = Counter[str]()
    for counts in (golds, *given.values()):
        answers += counts
    top = [answer for answer, _ in answers.most_common(MOST)]
    body: list[tuple[Cell, ...]] = [
        (
            answer[:_LONGEST] or "(nothing)",
            golds[answer],
            *(counts[answer] for counts in given.values()),
            sum(text(item.get("gold")) == answer and item.get("score") == 1 for item in last.items.values()),
        )
        for answer in top
    ]
    columns = (
        "answer",
        "gold",
        *(name.replace("-", " ") for name in given),
        f"right in {last.name.replace('-', ' ')}",
    )
    unread = sum(item.get("parsed") is None for item in last.items.values())
    words = f"{len(golds)} different golds among {len(last.items)} questions"
    if unread:
        words += f"; {unread} answers could not be understood"
    parts: list[Part] = [Lead(words + "."), *_chart(run)]
    more = "" if len(answers) <= MOST else f", the {MOST} most frequent of {len(answers)}"
    return [
        *parts,
        Fold(f"fold-labels-{run.key}", f"Counts as a table{more}", (Table(columns, tuple(body), "answers"),)),
    ]


def _chart(run: Kept) -> list[Part]:
    """Answers against golds, drawn."""
    from neuromas.report.charts.labels import labels
    from neuromas.report.charts.series import told

    return charts.drawn(lambda: labels(told([run.run.path])))


def _given(one: Evaluated) -> Counter[str]:
    return Counter(text(item.get("parsed")) for item in one.items.values() if item.get("parsed") is not None)
