"""Flags for the form in which tables are printed."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from neuromas.report.blocks import Block

FORMS = {
    "markdown": "print tables for GitHub",
    "csv": "print tables with unrounded numbers",
    "latex": "print tables for LaTeX with booktabs",
    "json": "print everything as JSON",
}


def add_formats(parser: argparse.ArgumentParser, *, without: Sequence[str] = ()) -> None:
    """``--markdown``, ``--csv``, ``--latex`` and ``--json``, of which one may be given: ``args.form``."""
    group = parser.add_mutually_exclusive_group()
    parser.set_defaults(form="")
    for form, text in FORMS.items():
        if form not in without:
            group.add_argument(f"--{form}", action="store_const", const=form, dest="form", help=text)


def write_out(blocks: Sequence[Block], form: str) -> None:
    """Print blocks in the form that was asked for, as text without one."""
    from neuromas.report.writers import WRITERS

    print(WRITERS[form or "text"](blocks), end="")
