"""Untrusted text on a terminal: nothing a model or a data file says can act, hide, or forge a line."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from html import escape

# Control, format (bidirectional marks, zero width), surrogate, line and paragraph separator: all that
# can steer a terminal, reorder what is read, or break a line without showing.
_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})


def visible(text: str) -> str:
    """The text on one line with every control or invisible character written as its escape.

    A line break becomes ``\\n``, the escape character ``\\x1b``. Ordinary characters stay as they are.
    """
    return "".join(_escape(char) if unicodedata.category(char) in _HIDDEN else char for char in text)


def markup(text: str) -> str:
    """The same as text inside SVG or HTML, also inside an attribute."""
    return escape(visible(text))


def quoted(text: str, width: int = 60) -> str:
    """One line in double quotes, at most about ``width`` cells wide; the end shows how much is left out.

    Quotes and backslashes inside are escaped, so that the text cannot end its own quotation.
    """
    safe = visible(text.replace("\\", "\\\\").replace('"', '\\"'))
    first = next(_pieces(safe, max(width, 1)), "")
    return f'"{safe}"' if first == safe else f'"{first}"… ({len(text)} characters)'


def block(text: str, gutter: str = "  │ ", width: int = 100) -> list[str]:
    """The text's own lines, each behind ``gutter`` and folded to ``width`` cells.

    Folding is done here because a terminal that folds would begin the rest without the gutter, where it
    could pass for a line of ours.
    """
    room = max(width - len(gutter), 8)
    lines = text.replace("\r\n", "\n").split("\n")
    return [gutter + piece for line in lines for piece in _pieces(visible(line), room)]


def _pieces(line: str, room: int) -> Iterator[str]:
    """The line cut wherever the next character would pass ``room`` cells; at least one piece."""
    piece, used = "", 0
    for char in line:
        cells = 2 if unicodedata.east_asian_width(char) in "WF" else 1
        if used + cells > room and piece:
            yield piece
            piece, used = "", 0
        piece += char
        used += cells
    yield piece


def _escape(char: str) -> str:
    """The character as Python would write it."""
    return char.encode("unicode_escape").decode("ascii")
