"""Blocks as plain text, Markdown, CSV, LaTeX and JSON. Nothing in a block can act in any of them."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from neuromas.core.errors import ConfigError, shown
from neuromas.report.blocks import Block, Cell, Figure, Quote, Shown, Table, Text
from neuromas.report.terminal import block, visible
from neuromas.storage import write_atomic

_LATEX = {
    **{char: f"\\{char}" for char in "&%$#_{}"},
    **{"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"},
    **{"<": r"\textless{}", ">": r"\textgreater{}", "–": "--"},
}
_MARKDOWN = re.compile(r"([\\`*_{}\[\]<>#|~&!])")
_FORMULA = ("=", "+", "-", "@")  # a spreadsheet takes a cell that begins so for a formula


def as_text(blocks: Sequence[Block]) -> str:
    """Plain text for a terminal: a blank line between blocks, without a final newline."""
    return "\n\n".join("\n".join(map(visible, lines)) for lines in map(_plain, blocks) if lines)


def as_markdown(blocks: Sequence[Block], folder: str = "") -> str:
    """GitHub's Markdown. Figures are those that ``write_figures`` put into ``folder``."""
    parts: list[str] = []
    for one in blocks:
        if isinstance(one, Table):
            parts += [f"**{_markdown(one.title)}**"] if one.title else []
            parts.append(_pipes(one))
        elif isinstance(one, Text):
            single = len(one.lines) == 1 and not one.lines[0].startswith(" ")
            parts.append(_markdown(one.lines[0]) if single else _fenced(map(visible, one.lines)))
        elif isinstance(one, Quote):
            parts += [_markdown(one.heading.strip())] if one.heading else []
            parts.append(_fenced(map(visible, one.text.replace("\r\n", "\n").split("\n"))))
        elif folder:
            parts.append(
                f"![{_markdown(one.caption or one.name)}](<{_markdown(f'{folder}/{one.name}.svg')}>)"
            )
    return "\n\n".join(parts) + "\n"


def as_csv(blocks: Sequence[Block]) -> str:
    """The tables with their numbers unrounded, a blank line between two; an interval is two more columns.

    Tables of the same columns are one, with their titles in the first column. Text stays out. Text that a
    spreadsheet would take for a formula is preceded by an apostrophe.
    """
    alike: dict[tuple[str, ...], list[Table]] = {}
    for one in blocks:
        if isinstance(one, Table):
            alike.setdefault(one.columns, []).append(one)
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    for place, table in enumerate(map(_merged, alike.values())):
        if place:
            stream.write("\n")
        wide = [any(_interval(row[i]) for row in table.rows) for i in range(len(table.columns))]
        names = zip(table.columns, wide, strict=True)
        writer.writerow([_csv(name) for column, w in names for name in _spread_name(column, w)])
        for row in table.rows:
            cells = zip(row, wide, strict=True)
            writer.writerow([_csv(value) for cell, w in cells for value in _spread(cell, w)])
    return stream.getvalue()


def as_latex(blocks: Sequence[Block]) -> str:
    """Every table as a ``tabular`` with the rules of booktabs; text as comments."""
    parts = []
    for one in blocks:
        if isinstance(one, Table):
            parts.append("\n".join(_tabular(one)))
        elif isinstance(one, Text):
            parts.append("\n".join(f"% {visible(line)}".rstrip() for line in one.lines))
    return "\n\n".join(parts) + "\n"


def as_json(blocks: Sequence[Block]) -> str:
    """All blocks with their numbers, a JSON list; in ASCII, so that nothing in it acts on a terminal."""
    return json.dumps([_data(one) for one in blocks], indent=1) + "\n"


WRITERS: dict[str, Callable[[Sequence[Block]], str]] = {
    "text": lambda blocks: as_text(blocks) + "\n",
    "markdown": as_markdown,
    "csv": as_csv,
    "latex": as_latex,
    "json": as_json,
}


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Columns as wide as their widest cell."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]


def _plain(one: Block) -> list[str]:
    """A block's lines, not yet escaped (text that was quoted is)."""
    if isinstance(one, Text):
        return list(one.lines)
    if isinstance(one, Quote):
        return [*([one.heading] if one.heading else []), *block(one.text, "    │ ")]
    if isinstance(one, Table) and not one.aside:
        rows = _readable(one)
        return [
            *([one.title] if one.title else []),
            *aligned([[visible(cell) for cell in row] for row in rows]),
        ]
    return []


def readable_cell(cell: Cell) -> str:
    """A cell as people read it."""
    if cell is None:
        return "–"
    return cell.text if isinstance(cell, Shown) else f"{cell:g}" if isinstance(cell, float) else str(cell)


def _value(cell: Cell) -> str | int | float | None:
    """A cell as machines read it."""
    return cell.value if isinstance(cell, Shown) else cell


def _interval(cell: Cell) -> bool:
    return isinstance(cell, Shown) and cell.low is not None


def _merged(tables: Sequence[Table]) -> Table:
    """Tables of the same columns as one."""
    if len(tables) == 1:
        return tables[0]
    rows = tuple((table.title, *row) for table in tables for row in table.rows)
    return Table(("table", *tables[0].columns), rows)


def _spread_name(column: str, wide: bool) -> Iterator[str]:
    yield column
    if wide:
        yield from (f"{column} low", f"{column} high")


def _spread(cell: Cell, wide: bool) -> Iterator[str | int | float | None]:
    yield _value(cell)
    if wide:
        yield from (cell.low, cell.high) if isinstance(cell, Shown) else (None, None)


def _csv(value: str | int | float | None) -> str | int | float | None:
    if not isinstance(value, str):
        return value
    text = visible(value)
    return f"'{text}" if text.startswith(_FORMULA) else text


def _pipes(table: Table) -> str:
    """A table of Markdown."""
    sides = ["---" if wordy(table, i) else "--:" for i in range(len(table.columns))]
    head, *body = ([_markdown(cell) for cell in row] for row in _readable(table))
    return "\n".join(f"| {' | '.join(line)} |" for line in [head, sides, *body])


def wordy(table: Table, column: int) -> bool:
    """Whether a column holds text, and so stands to the left."""
    return any(isinstance(row[column], str) for row in table.rows)


def _markdown(text: str) -> str:
    """Text that is no markup, on one line."""
    return _MARKDOWN.sub(r"\\\1", visible(text))


def _fenced(lines: Iterator[str]) -> str:
    """Lines as they are, behind a fence longer than any in them."""
    body = "\n".join(lines)
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", body)), default=0))
    return f"{fence}\n{body}\n{fence}"


def _tabular(table: Table) -> Iterator[str]:
    """The lines of a table of LaTeX."""
    sides = "".join("l" if wordy(table, i) else "r" for i in range(len(table.columns)))
    head, *body = ([_latex(visible(cell)) for cell in row] for row in _readable(table))
    if table.title:
        yield f"% {visible(table.title)}"
    yield from (rf"\begin{{tabular}}{{{sides}}}", r"\toprule", " & ".join(head) + r" \\", r"\midrule")
    yield from (" & ".join(row) + r" \\" for row in body)
    yield from (r"\bottomrule", r"\end{tabular}")


def _readable(table: Table) -> list[list[str]]:
    """Names and cells as people read them."""
    return [list(table.columns), *([readable_cell(cell) for cell in row] for row in table.rows)]


def _latex(text: str) -> str:
    return "".join(_LATEX.get(char, char) for char in text)


def _data(one: Block) -> dict[str, Any]:
    """A block as plain data."""
    if isinstance(one, Table):
        rows = [[_number(cell) for cell in row] for row in one.rows]
        return {"kind": "table", "title": one.title, "columns": list(one.columns), "rows": rows}
    if isinstance(one, Text):
        return {"kind": "text", "lines": list(one.lines)}
    if isinstance(one, Quote):
        return {"kind": "quote", "heading": one.heading.strip(), "text": one.text}
    return {"kind": "figure", "name": one.name, "caption": one.caption, "svg": one.svg}


def _number(cell: Cell) -> Any:
    """A plain value, or a number with its interval."""
    if _interval(cell) and isinstance(cell, Shown):
        return {"value": cell.value, "low": cell.low, "high": cell.high}
    return _value(cell)


def write_figures(blocks: Sequence[Block], folder: Path) -> list[Path]:
    """Every figure as ``NAME.svg`` in the folder. Raises ConfigError where a name is no file's."""
    figures = [one for one in blocks if isinstance(one, Figure)]
    for one in figures:
        if not re.fullmatch(r"[\w][\w.-]*", one.name):
            raise ConfigError(
                f"a figure cannot be called {shown(one.name)}: use letters, digits, '-' and '_'"
            )
    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / f"{one.name}.svg" for one in figures]
    for file, one in zip(files, figures, strict=True):
        write_atomic(file, one.svg)
    return files
