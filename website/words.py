"""Text for generated pages that Markdown takes as it is meant."""

from __future__ import annotations


def cell(text: str) -> str:
    """Text for a cell of a table: no line breaks, no bar, nothing that Markdown would take for HTML."""
    return bars(text).replace("<", "&lt;")


def bars(text: str) -> str:
    """Code for a cell of a table, in which ``<`` is itself."""
    return " ".join(text.split()).replace("|", "\\|")


def sentence(text: str) -> str:
    """A line of help as a sentence."""
    text = " ".join(text.split()).replace("<", "&lt;")
    return text[:1].upper() + text[1:] + ("" if text.endswith(".") else ".")
