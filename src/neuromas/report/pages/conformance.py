"""Whether a page keeps what ``Page`` promises; shipped as ``neuromas.testing.check_page``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from neuromas.report.blocks import Figure, Quote, Table, Text
from neuromas.report.pages import Page
from neuromas.report.terminal import visible
from neuromas.report.writers import WRITERS


def check_page(page: Page, paths: Sequence[Path], options: Mapping[str, str] | None = None) -> None:
    """Build the page twice and print it in every form.

    Raises AssertionError if it gives anything but blocks, if building it twice gives two pages, or if what a
    form prints could act on a terminal.
    """
    assert isinstance(page, Page), f"{page!r} is no Page"
    assert page.name, "a page has a name"
    assert page.reads, "a page says what it reads"
    blocks, again = (list(page.build(paths, dict(options or {}))) for _ in range(2))
    for place, one in enumerate(blocks):
        assert isinstance(one, Text | Quote | Table | Figure), f"block {place} is {type(one).__name__}"
    assert blocks == again, "the same paths gave another page"
    for form, write in WRITERS.items():
        for line in write(blocks).split("\n"):
            assert visible(line) == line, f"as {form} the page prints what can act on a terminal: {line!r}"
