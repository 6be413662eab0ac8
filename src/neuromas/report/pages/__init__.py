"""Report pages: one file a page, one line in ``core.parts.PAGES``.

A page reads what lies on disk and gives blocks. A package offers pages of its own in the entry-point group
``neuromas.pages``; ``module:NAME`` names one, too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from neuromas.core.errors import ConfigError, shown, unknown
from neuromas.core.parts import PAGES
from neuromas.report.blocks import Block


@dataclass(frozen=True, slots=True)
class Page:
    """A page of a report.

    ``reads`` says what its paths are. ``build`` makes its blocks from them and from options, of which
    ``options`` names those it knows (with their meaning); it raises NeuromasError with one line where
    something is missing or damaged.
    """

    name: str
    reads: str
    build: Callable[[Sequence[Path], Mapping[str, str]], Sequence[Block]]
    options: Mapping[str, str] = field(default_factory=dict)


def build_page(name: str, paths: Sequence[Path], options: Mapping[str, str] | None = None) -> Sequence[Block]:
    """The blocks of a page by name. Raises ConfigError if there is none, or if it knows an option not."""
    page = PAGES.get(name)
    if not isinstance(page, Page):
        raise ConfigError(f"page {shown(name)} is no neuromas.report.pages.Page")
    given = dict(options or {})
    for key in given:
        if key not in page.options:
            raise ConfigError(unknown(f"option of the page {page.name!r}", key, tuple(page.options)))
    return page.build(paths, given)


def one_path(page: str, paths: Sequence[Path]) -> Path:
    """The path of a page that reads one. Raises ConfigError for more or none."""
    if len(paths) != 1:
        raise ConfigError(f"the page {page!r} reads one path, not {len(paths)}")
    return paths[0]
