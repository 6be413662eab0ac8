"""``neuromas experiment``: cells side by side, then one table."""

from __future__ import annotations

import argparse
import shlex
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from neuromas.cli import INTERRUPTED
from neuromas.cli.formats import add_formats
from neuromas.cli.options import folder_to_write, name, read_pairs, whole
from neuromas.cli.watching import page_line
from neuromas.core.errors import ConfigError, RunError, shown
from neuromas.report.terminal import visible
from neuromas.storage import Run, write_atomic

if TYPE_CHECKING:
    from neuromas.experiment.cells import Cell
    from neuromas.experiment.plan import Plan

_SIDE_BY_SIDE = 1000
LOCAL = "local"
_DIGITS = 20  # of a seed
_TFLOPS = 20  # assumed of a GPU while single tokens are drawn in turn with learning, see docs/paper.md


def add(parser: argparse.ArgumentParser) -> None:
    """Say what may be typed."""
    text = "base, arms, seeds and comparisons; or a recipe such as depth"
    parser.add_argument("path", metavar="EXPERIMENT.toml", help=text)
    parser.add_argument(
        "--out", type=name, metavar="DIR", help="directory of the experiment (default runs/NAME)"
    )
    parser.add_argument(
        "--jobs",
        type=whole(_SIDE_BY_SIDE),
        metavar="N",
        help="runs at once (default: GPUs, else cores)",
    )
    parser.add_argument(
        "--launcher",
        type=name,
        metavar="NAME",
        default=LOCAL,
        help="where runs are started: local (default), ray, slurm, or module:Name",
    )
    parser.add_argument(
        "--launcher-options",
        nargs="+",
        action="extend",
        metavar="option=value",
        default=[],
        help="options of --launcher, such as cpus=4 (docs/clusters.md)",
    )
    parser.add_argument(
        "--retries",
        type=whole(_SIDE_BY_SIDE, 0),
        metavar="N",
        default=2,
        help="how often a run is tried again that was killed before it saved anything new (default 2)",
    )
    for flag, what in (("arms", "ARM"), ("tasks", "TASK"), ("seeds", "SEED")):
        parser.add_argument(
            f"--{flag}",
            type=_listed,
            metavar=f"{what},...",
            default=(),
            help=f"run these {flag} alone, and what they start with",
        )
    parser.add_argument("--report", action="store_true", help="run nothing, compare what is there")
    parser.add_argument(
        "--dry-run", action="store_true", help="run and write nothing, estimate what it would take"
    )
    text = "what a GPU is assumed to sustain, for --dry-run (default 20)"
    parser.add_argument("--tflops", type=whole(_SIDE_BY_SIDE * 1000), metavar="N", help=text)
    add_formats(parser)


def run(args: argparse.Namespace) -> int:
    """Run what is missing of an experiment, then compare."""
    from neuromas.config import read_toml
    from neuromas.experiment.plan import read_plan, rehearse_plan

    if args.form and not (args.report or args.dry_run):
        raise ConfigError(f"--{args.form} goes with --report or --dry-run")
    if args.report and args.dry_run:
        raise ConfigError("--report compares what was run, --dry-run runs nothing: give one of them")
    if args.tflops and not args.dry_run:
        raise ConfigError("--tflops goes with --dry-run")
    plan = read_plan(read_toml(Path(args.path), "experiment"))
    # a name that is not there is said before every arm is gone through
    choice = plan.chosen(args.arms, args.tasks, _seeds(args.seeds))
    from neuromas.experiment.cells import lay_out, precision_lines
    from neuromas.experiment.launchers.base import make_launcher
    from neuromas.experiment.running import Limits, run_cells

    launcher = make_launcher(args.launcher, read_pairs(args.launcher_options))
    rehearse_plan(plan, args.tasks)
    out = folder_to_write("--out", args.out or f"runs/{plan.name}")
    cells = lay_out(plan, out)
    chosen = [cell for cell in cells if choice.has(cell.arm.name, cell.task, cell.seed)]
    if args.dry_run:
        return _forecast(chosen, args.tflops or _TFLOPS, args.form)
    failures: Mapping[str, str] = {}
    if not args.report:
        try:
            out.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RunError(f"cannot write {out}: {error.strerror or error}") from error
        print("\n".join([_smallest(cells), *precision_lines(chosen)]), flush=True)
        with Run(out).lock():
            limits = Limits(args.jobs, args.retries)
            outcome = run_cells(chosen, launcher, limits, out, _Lines(len(chosen)))
        failures = outcome.failures
        if outcome.interrupted:
            done = sum(cell.finished for cell in chosen)
            again = (
                f"neuromas experiment {shlex.quote(args.path)} --out {shlex.quote(str(out))}{_parts(args)}"
            )
            print(f"stopped; {done} of {len(chosen)} cells are finished; continue with: {visible(again)}")
            return INTERRUPTED
    print(_report(plan, cells, out, args.form), end="")
    for cell, cause in failures.items():
        print(f"failed: {visible(cell)}: {visible(cause)}")
    if not args.form:
        print(page_line(out))
    return 1 if failures else 0


def _forecast(cells: Sequence[Cell], tflops: int, form: str) -> int:
    """What these cells would take."""
    from neuromas.cli.formats import write_out
    from neuromas.experiment.forecast import TERA, forecasts
    from neuromas.report.pages.forecast import forecast_blocks

    rows = [asdict(one) | {"hours": one.hours(tflops * TERA)} for one in forecasts(cells)]
    write_out(forecast_blocks(rows, tflops), form)
    return 0


def _listed(text: str) -> tuple[str, ...]:
    """Names with commas between them."""
    return tuple(name(part) for part in text.split(","))


def _seeds(given: Sequence[str]) -> list[int]:
    """Seeds as numbers. Raises ConfigError."""
    for one in given:
        if not (one.isascii() and one.isdecimal() and len(one) < _DIGITS):
            raise ConfigError(f"--seeds {shown(one)}: a seed is a whole number from 0")
    return [int(one) for one in given]


def _parts(args: argparse.Namespace) -> str:
    """The options that chose a part of the experiment and where it runs, to be typed again."""
    given = [(flag, getattr(args, flag)) for flag in ("arms", "tasks", "seeds")]
    parts = "".join(f" --{flag} {shlex.quote(','.join(names))}" for flag, names in given if names)
    if args.launcher != LOCAL:
        parts += f" --launcher {shlex.quote(args.launcher)}"
    if args.launcher_options:
        parts += f" --launcher-options {shlex.join(args.launcher_options)}"
    return parts


def _smallest(cells: Sequence[Cell]) -> str:
    """What differences the seeds and questions of the experiment can show, before anything is paid for."""
    from neuromas.statistics import MIN_SEEDS, detectable_difference
    from neuromas.statistics.clustered import DISAGREEMENT, SEED_SD

    questions = max(2, min(cell.config.evaluate.test for cell in cells))
    seeds = len({cell.seed for cell in cells})
    alone = f"{100 * detectable_difference(questions, None):.0f}"
    if seeds < MIN_SEEDS:
        what = f"of these networks alone {alone} points; of ways to train none, which takes {MIN_SEEDS} seeds"
    else:
        counts = [seeds, *(more for more in (5, 10, 20) if more > seeds)]
        each = [f"{100 * detectable_difference(questions, n):.0f} with {n} seeds" for n in counts]
        what = f"in points {', '.join(each)}; of these networks alone {alone}"
    return (
        f"smallest difference between two arms that {questions} test questions show in 4 of 5 experiments "
        f"(p <= 0.05, one comparison): {what}. Assumed: seeds differ by {100 * SEED_SD:.0f} points (standard "
        f"deviation), two arms on {100 * DISAGREEMENT:.0f} % of the questions (docs/numbers.md)"
    )


def _report(plan: Plan, cells: Sequence[Cell], out: Path, form: str) -> str:
    """The tables; everything is kept beside the cells."""
    from neuromas.report.charts.drawing import svg
    from neuromas.report.charts.experiment import calls, depth, has_depth
    from neuromas.report.experiment import experiment_blocks
    from neuromas.report.results import as_json, results
    from neuromas.report.writers import WRITERS

    rows = [row for cell in cells for row in cell.rows()]
    compare = [
        {"task": task, "first": plan.point(one.first), "second": plan.point(one.second)}
        | {"why": one.why, "equal": list(one.equal)}
        for task in plan.labels()
        for one in plan.compare
        if all(plan.trains(plan.arm(plan.point(side)[0]), task) for side in (one.first, one.second))
    ]
    found = results(rows, compare)
    text = WRITERS[form or "text"](experiment_blocks(found))
    if not any(point["seeds"] for point in found["points"]):
        return text
    from neuromas.system.provenance import about

    kept = {"experiment": plan.model_dump(mode="json"), "about": about(), **found}
    write_atomic(out / "results.json", as_json(kept) + "\n")
    charts = {"figure.svg": calls, **({"depth.svg": depth} if has_depth(found) else {})}
    try:
        drawn = {file: svg(chart(found, plan.name)) for file, chart in charts.items()}
        also = f"{',' if len(drawn) > 1 else ' and'} {' and '.join(drawn)}"
    except RunError as error:  # they can be drawn later, the tables are wanted now
        stale = [file for file in charts if (out / file).is_file()]
        earlier = f" (that of an earlier report stays: {' and '.join(stale)})" if stale else ""
        drawn, also = {}, f"; no figure: {error}{earlier}"
    for file, picture in drawn.items():
        write_atomic(out / file, picture)
    return text if form else f"{text}wrote {visible(str(out / 'results.json'))}{also}\n"


class _Lines:
    """A line for every cell that ends."""

    def __init__(self, cells: int) -> None:
        self._cells = cells
        self._started = time.monotonic()

    def __call__(self, event: Mapping[str, Any]) -> None:
        """Say what became of a cell, what it took, and what all took until now."""
        from neuromas.report.blocks import percent
        from neuromas.report.reading import read_evaluation

        cell, cause = event["cell"], event["cause"]
        if event.get("busy"):
            what = "waits: another process is working on its run"
        elif event.get("again"):
            what = f"lost: {visible(cause)}; tried again ({event['again']})"
        elif cause:
            what = f"failed: {visible(cause)}"
        else:
            last = cell.arm.last
            summary, _ = read_evaluation(Run(cell.run), cell.evaluation(last), ("accuracy",))
            took = f"in {_clock(event['seconds'])}" if event["seconds"] else "was already finished"
            what = f"{took}, accuracy {percent(summary['accuracy'])}"
        total = _clock(time.monotonic() - self._started)
        print(f"[{event['done']}/{self._cells}] {visible(cell.name)}  {what}  (total {total})", flush=True)


def _clock(seconds: float) -> str:
    """``1:02:03``, or ``2:03``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
