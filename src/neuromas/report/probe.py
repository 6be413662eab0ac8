"""A probe as a page: a row for each kind of question and number of worked examples, then advice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from neuromas.report.blocks import Block, Cell, Table, Text, number, share
from neuromas.report.terminal import quoted, visible

Facts = Mapping[str, Any]
_COLUMNS = ("question", "examples", "items", "greedy", "sampled", "any right", "right and wrong",
            "best constant", "wrong, e.g.")  # fmt: skip


def probe_blocks(facts: Facts) -> list[Block]:
    """Blocks of what ``neuromas probe`` found: its ``about``, ``standings`` and ``advice``."""
    about = facts["about"]
    head = (
        f"{about['task']}: {about['answers_with']}, {about['items']} {about['split']} questions, "
        f"{about['samples']} samples at temperature {about['temperature']:g}"
    )
    rows = tuple(_row(one) for one in facts["standings"])
    failures = [visible(f"{one['title']}: {one['failure']}") for one in facts["standings"] if one["failure"]]
    found: list[Block] = [Text((head,)), Table(_COLUMNS, rows)]
    if failures:
        found.append(Text(tuple(dict.fromkeys(failures))))
    return [*found, Text(_lines(facts["advice"]))] if facts["advice"] else found


def _lines(advice: Sequence[str]) -> tuple[str, ...]:
    return tuple(f"- {visible(line)}" for line in advice)


def _row(one: Facts) -> tuple[Cell, ...]:
    """A standing; dashes where nothing could be asked."""
    head: tuple[Cell, ...] = (one["title"], one["examples"], one["items"])
    if one["failure"]:
        return (*head, *[None] * 6)
    return (
        *head,
        *(share(one["greedy"]), number(one["reward"], 2), share(one["any"]), share(one["mixed"])),
        f"{100 * one['constant']:.0f} % ({quoted(one['constant_text'], 12)})",
        quoted(one["said"], 24),
    )
