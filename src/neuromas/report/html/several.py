"""Several runs side by side with paired tests, and experiments with their figures and tables."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from neuromas.report.blocks import Block, Cell, Shown, Table, Text, share
from neuromas.report.experiment import experiment_blocks
from neuromas.report.html.charts import drawn
from neuromas.report.html.headline import accuracy
from neuromas.report.html.kept import Kept, bearing, interval, text
from neuromas.report.html.parts import Fold, Group, Lead, Note, Part
from neuromas.report.pages.compare import compare_sides
from neuromas.report.pages.runs import COLUMNS, find_runs, list_run
from neuromas.report.reading import readable
from neuromas.statistics import MIN_SEEDS
from neuromas.storage import read_json

_CELLS = 200  # runs of an experiment that are listed


def comparison_parts(groups: Sequence[Sequence[Kept]]) -> list[Part]:
    """A table of all runs; before against after over the seeds of each arm; arms against the first."""
    runs = [run for group in groups for run in group]
    if len(runs) < 2:
        return []
    parts: list[Part] = [_table(groups)]
    tested = [[run for run in group if "test-after" in run.evaluations] for group in groups]
    for number, group in enumerate(tested, start=1):
        whole = [run for run in group if "test-before" in run.evaluations]
        if len(whole) > 1:
            names = [f"{run.run.path}:{name}" for run in whole for name in ("test-before", "test-after")]
            title = f"Arm {number}: before against after, {len(whole)} seeds"
            parts += _compared(title, names, "pairs")
            if len(whole) < MIN_SEEDS:
                parts.append(
                    Note(
                        f"{len(whole)} seeds: from {MIN_SEEDS} on there is a test over all trainings", "warn"
                    )
                )
    if len(tested) > 1 and sum(map(bool, tested)) > 1:
        parts += _arms([group for group in tested if group])
    missing = [run.label for run in runs if "test-after" not in run.evaluations]
    return [*parts, *(Note(f"{label}: no test after training yet, so it is in no test") for label in missing)]


def experiment_parts(path: Path) -> list[Part]:
    """Figures, tables and comparisons of an experiment's results; the runs it has so far without them."""
    file = path / "results.json" if path.is_dir() else path
    parts: list[Part] = []
    missing: list[str] = []
    if file.is_file():
        with bearing(missing, str(file)):
            found = read_json(file)
            with readable(str(file)):
                parts += _figures(found, path)
                parts += _blocks(experiment_blocks(found))
    else:
        parts.append(Note("no results yet: they are written when cells have ended", "info"))
    return [*parts, *(Note(line) for line in missing), *_cells(path)]


def _figures(found: dict[str, object], path: Path) -> list[Part]:
    from neuromas.report.charts.experiment import calls, depth

    about = found.get("experiment")
    name = (text(about.get("name")) if isinstance(about, dict) else "") or path.stem
    return [*drawn(lambda: calls(found, name)), *drawn(lambda: depth(found, name))]


def _blocks(blocks: Sequence[Block]) -> list[Part]:
    """Tables as they are; what is said of comparisons line by line, folded away below their table."""
    lines = [block for block in blocks if isinstance(block, Text)]
    tables: list[Part] = [block for block in blocks if isinstance(block, Table)]
    return (
        [*tables, Fold("fold-comparisons", "Comparisons and notes in words", tuple(lines))]
        if lines
        else tables
    )


def _cells(path: Path) -> list[Part]:
    """The runs of an experiment, folded away."""
    folder = path if path.is_dir() else path.parent
    rows = [list_run(one, str(one.relative_to(folder))).row for one in find_runs(folder / "cells")][:_CELLS]
    if not rows:
        return []
    table = Table(COLUMNS, tuple(rows), "runs")
    return [Fold("fold-cells", f"Its {len(rows)} runs; give one to this command for its own page", (table,))]


def _table(groups: Sequence[Sequence[Kept]]) -> Table:
    """A row a run, arm by arm."""
    body: list[tuple[Cell, ...]] = []
    for number, group in enumerate(groups, start=1):
        for run in group:
            ends = [run.evaluations.get(name) for name in ("test-before", "test-after")]
            seed = run.config.get("seed")
            body.append(
                (
                    *(run.label, number, seed if isinstance(seed, int) else None),
                    *(share(accuracy(one), interval(one.summary) if one else None) for one in ends),
                    *(_left(run, name) for name in ("blank", "shuffle")),
                )
            )
    columns = ("run", "arm", "seed", "before", "after", "blanked", "shuffled")
    return Table(columns, tuple(body), "runs; those of one arm differ in their seed alone")


def _left(run: Kept, name: str) -> Shown | None:
    one = run.evaluations.get(f"test-after-{name}")
    return None if one is None else share(accuracy(one))


def _arms(groups: Sequence[Sequence[Kept]]) -> list[Part]:
    """Arms against the first one: over the seeds both have, else run by run."""
    parts: list[Part] = []
    first = {run.config.get("seed"): run for run in groups[0]}
    for number, group in enumerate(groups[1:], start=2):
        both = [(first[seed], run) for run in group if (seed := run.config.get("seed")) in first]
        title = f"Arm {number} against arm 1"
        if both:
            names = [str(one.run.path) for pair in both for one in pair]
            seeds = "one seed" if len(both) == 1 else f"{len(both)} seeds that both have"
            parts += _compared(f"{title}: {seeds}", names, "pairs" if len(both) > 1 else "auto")
        else:
            parts += _compared(
                f"{title}: other seeds, run against run",
                [str(groups[0][0].run.path), str(group[0].run.path)],
                "auto",
            )
    if len(groups) > 2:
        parts.append(
            Lead(f"p values of these {len(groups) - 1} comparisons are not corrected for their number.")
        )
    return parts


def _compared(title: str, names: Sequence[str], way: str) -> list[Part]:
    missing: list[str] = []
    parts: list[Part] = []
    with bearing(missing, title):
        parts += compare_sides(names, way).blocks
    return [Group(title, (*parts, *(Note(line) for line in missing)))]
