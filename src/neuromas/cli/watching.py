"""Training under a progress bar, then its report: what train and grow share."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from neuromas.cli import INTERRUPTED
from neuromas.report.terminal import visible
from neuromas.storage import Run

if TYPE_CHECKING:
    from neuromas.cli.progress import Progress


def train_in(directory: Path, work: Callable[[Progress], Run]) -> int:
    """Train under a progress bar, then report. A second Ctrl-C ends at once, and says how to go on."""
    from neuromas.cli.progress import Progress

    try:
        with Progress() as progress:
            run = work(progress)
    except KeyboardInterrupt:
        if (directory / "config.json").is_file():
            raise KeyboardInterrupt(f"; continue with: {_again(directory)}") from None
        raise
    return _report(run)


def _again(directory: Path) -> str:
    return f"neuromas train --resume {shlex.quote(str(directory))}"


def _report(run: Run) -> int:
    """The report of a finished run, or how to go on with an interrupted one."""
    if not run.finished:
        step = run.read("status.json").get("step")
        print(visible(f"stopped after step {step}; continue with: {_again(run.path)}"))
        return INTERRUPTED
    from neuromas.report.pages.run import run_report

    print(run_report(run))
    return 0
