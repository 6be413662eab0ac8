"""Local answers as a page: of every node how often it does its step, and whose value it writes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from neuromas.core.shares import product
from neuromas.report.blocks import Block, Cell, Table, Text, share

Facts = Mapping[str, Any]
MOST = 16  # entries of a level that a matrix shows


def local_blocks(name: str, facts: Facts) -> list[Block]:
    """Blocks of ``evaluation.local``'s facts about an evaluation called ``name``."""
    nodes = facts["nodes"]
    rows = tuple(
        (one["node"], _place(one), _cell(one["right"]), _cell(one["given"]), one["given"]["of"])
        for one in nodes
    )
    head = f"{name}: {facts['accuracy']['of']} items, answer right in {_cell(facts['accuracy']).text}"
    whole = product([one["given"]["share"] for one in nodes])
    lines = [head]
    if whole is not None:
        lines.append(f"product of the shares given right inputs: {share(whole).text}")
    lines += [
        f"{one['node']} writes entry {one['stray']} of its level more often than its own"
        for one in nodes
        if one["stray"] is not None
    ]
    columns = ("node", "level.entry", "right local answer", "given right inputs", "such items")
    return [Text(tuple(lines)), Table(columns, rows, "local answers"), *_matrices(nodes)]


def _matrices(nodes: list[Facts]) -> list[Block]:
    """Node by part, for every level with more than one entry."""
    found: list[Block] = []
    levels = {one["level"] for one in nodes if len(one["wrote"]) > 1}
    for level in sorted(levels):
        mine = [one for one in nodes if one["level"] == level]
        width = min(MOST, max(len(one["wrote"]) for one in mine))
        rows: list[tuple[Cell, ...]] = [
            (one["node"], *(_plain(part) for part in one["wrote"][:width])) for one in mine
        ]
        columns = ("node", *(f"value of {entry}" for entry in range(1, width + 1)))
        note = "of another's value: among items where it differs from its own"
        found.append(Table(columns, tuple(rows), f"whose value a node of level {level} writes ({note})"))
    return found


def _place(one: Facts) -> str:
    return "–" if one["level"] is None else f"{one['level']}.{one['entry']}"


def _cell(found: Facts) -> Any:
    return share(found["share"], None if found["low"] is None else found)


def _plain(found: Facts) -> Any:
    return share(found["share"])
