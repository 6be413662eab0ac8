"""The command that runs an experiment: cells side by side, then one table."""

from __future__ import annotations

import argparse
import json
import os
import shlex
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from neuromas.errors import RunError
from neuromas.report.chart import experiment_svg
from neuromas.report.experiment import experiment_text
from neuromas.report.results import results
from neuromas.report.tables import percent
from neuromas.report.terminal import visible
from neuromas.store import Run, write_atomic

if TYPE_CHECKING:
    from neuromas.experiment.cells import Cell
    from neuromas.experiment.plan import Plan

INTERRUPTED = 130


def experiment(args: argparse.Namespace) -> int:
    """Run what is missing of an experiment, then compare."""
    from neuromas.experiment.cells import lay_out
    from neuromas.experiment.plan import load_plan
    from neuromas.experiment.running import run_cells

    plan = load_plan(Path(args.path))
    out = Path(args.out or f"runs/{plan.name}")
    cells = lay_out(plan, out)
    failures: Mapping[str, str] = {}
    if not args.report:
        try:
            out.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RunError(f"cannot write {out}: {error.strerror or error}") from error
        with Run(out).lock():
            outcome = run_cells(cells, args.jobs or _cores(), out, _Lines(len(cells)))
        failures = outcome.failures
        if outcome.interrupted:
            done = sum(cell.finished for cell in cells)
            again = f"neuromas experiment {shlex.quote(args.path)} --out {shlex.quote(str(out))}"
            print(f"stopped; {done} of {len(cells)} cells are finished; continue with: {again}")
            return INTERRUPTED
    print(_report(plan, cells, out, write=not args.report))
    for name, cause in failures.items():
        print(f"failed: {visible(name)}: {visible(cause)}")
    return 1 if failures else 0


def _report(plan: Plan, cells: Sequence[Cell], out: Path, write: bool) -> str:
    """The tables; with ``write`` everything is kept beside the cells."""
    rows = [row for cell in cells for row in cell.rows()]
    compare = [
        {"task": task, "first": plan.point(one.first), "second": plan.point(one.second), "why": one.why}
        for task in plan.labels()
        for one in plan.compare
    ]
    found = results(rows, compare)
    text = experiment_text(found)
    if write:
        from neuromas.provenance import about

        kept = {"experiment": plan.model_dump(mode="json"), "about": about(), **found}
        write_atomic(out / "results.json", json.dumps(kept, indent=1, ensure_ascii=False) + "\n")
        write_atomic(out / "figure.svg", experiment_svg(found, plan.name))
        text += f"\nwrote {visible(str(out / 'results.json'))} and figure.svg"
    return text


class _Lines:
    """A line for every cell that ends."""

    def __init__(self, cells: int) -> None:
        self._cells = cells
        self._started = time.monotonic()

    def __call__(self, event: Mapping[str, Any]) -> None:
        """Say what became of a cell, what it took, and what all took until now."""
        cell, cause = event["cell"], event["cause"]
        if event.get("busy"):
            what = "waits: another process is working on its run"
        elif cause:
            what = f"failed: {visible(cause)}"
        else:
            last = max(1, len(cell.arm.stages))
            summary, _ = Run(cell.run).evaluation(cell.evaluation(last))
            took = f"in {_clock(event['seconds'])}" if event["seconds"] else "was already finished"
            what = f"{took}, accuracy {percent(summary['accuracy'])}"
        total = _clock(time.monotonic() - self._started)
        print(f"[{event['done']}/{self._cells}] {visible(cell.name)}  {what}  (total {total})", flush=True)


def _clock(seconds: float) -> str:
    """``1:02:03``, or ``2:03``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def _cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
