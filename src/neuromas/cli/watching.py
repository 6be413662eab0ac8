"""Training under a progress bar, then its report: what train and grow share."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from neuromas.cli import INTERRUPTED
from neuromas.report.terminal import visible
from neuromas.storage import Run

if TYPE_CHECKING:
    from neuromas.training.callbacks import Callback


def train_in(directory: Path, work: Callable[[Callback], Run], first: Sequence[str] = ()) -> int:
    """Train under a progress bar, then report. A second Ctrl-C ends at once, and says how to go on.

    Lines that are to be read ``first`` are printed once nothing more can be refused. Of several processes
    the first one does all that; the others are silent.
    """
    from neuromas.cli.progress import Progress
    from neuromas.models.ranks import place
    from neuromas.training.callbacks import Callback

    rank, _ = place()
    try:
        if rank:
            return 0 if work(Callback()).finished else INTERRUPTED
        with Progress(first) as progress:
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
    print(page_line(run.path))
    return 0


def page_line(directory: Path) -> str:
    """How to have a run or an experiment as a page."""
    return visible(f"as a page: neuromas report {shlex.quote(str(directory))}")
