"""Several runs side by side with paired tests, and experiments with their figures and tables."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from neuromas.report.blocks import Block, Cell, Shown, Table, Text, difference, share
from neuromas.report.comparing import compare_pairs, correct
from neuromas.report.experiment import experiment_blocks
from neuromas.report.html import charts
from neuromas.report.html.headline import accuracy
from neuromas.report.html.kept import Evaluated, Kept, Row, bearing, interval, rows, scored, text
from neuromas.report.html.parts import Fold, Lead, Note, Part
from neuromas.report.pages.runs import COLUMNS, find_runs, list_run
from neuromas.report.reading import readable
from neuromas.statistics import MIN_SEEDS
from neuromas.storage import read_json

BEFORE, AFTER = "test-before", "test-after"
Pair = tuple[Evaluated, Evaluated]
_NOTE = (
    "All trainings: would it be so with other questions and networks trained anew; these networks: with "
    "other questions alone. Holm: corrected over all {count} comparisons of the table."
)
_CELLS = 200  # runs of an experiment that are listed


def comparison_parts(groups: Sequence[Sequence[Kept]]) -> list[Part]:
    """A table of all runs, and paired tests: before against after in each arm, and arms against the first."""
    runs = [run for group in groups for run in group]
    if len(runs) < 2:
        return []
    names = arm_names(groups)
    missing: list[str] = []
    tests = [one for line in _lines(groups, names) if (one := _tested(*line, missing)) is not None]
    parts: list[Part] = [_table(groups, names)]
    if tests:
        parts.append(_tests(correct(tests)))
        parts.append(Lead(_NOTE.format(count=len(tests))))
        if any(one["trainings"] is None for one in tests):
            parts.append(
                Note(
                    f"Fewer than {MIN_SEEDS} seeds on both sides: nothing can be said of all trainings.",
                    "warn",
                )
            )
    waiting = [run.label for run in runs if "test-after" not in run.evaluations]
    missing += [f"{label}: no test after training yet, so it is in no test" for label in waiting]
    return [*parts, *(Note(line) for line in missing)]


def arm_names(groups: Sequence[Sequence[Kept]]) -> list[str]:
    """A name for every arm: the folder that its runs have in common, else its number."""
    folders = [{run.label.rpartition("/")[0] for run in group} for group in groups]
    names = [next(iter(one)) if len(one) == 1 else "" for one in folders]
    one_name = [group[0].label if len(group) == 1 else "" for group in groups]
    return [
        name if name and names.count(name) == 1 else single or f"arm {number}"
        for number, (name, single) in enumerate(zip(names, one_name, strict=True), start=1)
    ]


def _lines(groups: Sequence[Sequence[Kept]], names: Sequence[str]) -> Iterator[tuple[str, list[Pair]]]:
    """What is compared: its name, and first and second evaluation of every seed."""
    ended = [{run.config.get("seed"): run for run in group if AFTER in run.evaluations} for group in groups]
    for name, seeds in zip(names, ended, strict=True):
        both = [run.evaluations for run in seeds.values() if BEFORE in run.evaluations]
        if both:
            yield f"{name}: before → after", [(one[BEFORE], one[AFTER]) for one in both]
    for name, seeds in zip(names[1:], ended[1:], strict=True):
        shared = [seed for seed in seeds if seed in ended[0]]
        if shared:
            pairs = [(ended[0][seed].evaluations[AFTER], seeds[seed].evaluations[AFTER]) for seed in shared]
            yield f"{names[0]} → {name}", pairs
        elif seeds and ended[0]:
            first, second = (next(iter(one.values())) for one in (ended[0], seeds))
            yield (
                f"{first.label} → {second.label} (other seeds)",
                [(first.evaluations[AFTER], second.evaluations[AFTER])],
            )


def _tested(name: str, pairs: Sequence[Pair], missing: list[str]) -> dict[str, Any] | None:
    """One comparison; None where it cannot be made, and then why."""
    with bearing(missing, name):
        found = compare_pairs([scored(side.items) for pair in pairs for side in pair])
        return {**found, "name": name}
    return None


def _tests(tests: Sequence[Row]) -> Table:
    """A row a comparison."""
    body: list[tuple[Cell, ...]] = []
    for one in tests:
        trainings, networks = one["trainings"] or {}, one["networks"] or {}
        body.append(
            (
                *(one["name"], len(one["seeds"]["differences"]), one["count"]),
                difference(trainings.get("mean"), trainings.get("interval")),
                *(_chance(trainings.get(key)) for key in ("p_value", "holm")),
                difference(networks.get("difference"), networks.get("interval")),
                *(_chance(networks.get(key)) for key in ("p_value", "holm")),
                ", ".join(f"{100 * value:+.1f}" for value in one["seeds"]["differences"]),
            )
        )
    columns = (
        *("second minus first", "seeds", "questions", "all trainings", "p", "p Holm"),
        *("these networks", "p", "p Holm", "each seed, points"),
    )
    return Table(columns, tuple(body), "paired tests")


def _chance(value: float | None) -> Shown | None:
    return None if value is None else Shown(f"{value:.2g}", value)


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
    from neuromas.report.charts.experiment import calls, depth, has_depth

    about = found.get("experiment")
    name = (text(about.get("name")) if isinstance(about, dict) else "") or path.stem
    points = rows(found.get("points"))
    run = {**found, "points": [one for one in points if isinstance(one, dict) and one.get("seeds")]}
    if not run["points"]:
        return [Note("no cell of this experiment is finished", "info")]
    over_depth = charts.drawn(lambda: depth(run, name)) if has_depth(run) else []
    return [*over_depth, *charts.drawn(lambda: calls(run, name))]


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
    listed = [list_run(one, str(one.relative_to(folder))).row for one in find_runs(folder / "cells")][:_CELLS]
    if not listed:
        return []
    table = Table(COLUMNS, tuple(listed), "runs")
    return [
        Fold("fold-cells", f"Its {len(listed)} runs; give one to this command for its own page", (table,))
    ]


def _table(groups: Sequence[Sequence[Kept]], names: Sequence[str]) -> Table:
    """A row a run, arm by arm."""
    body: list[tuple[Cell, ...]] = []
    for name, group in zip(names, groups, strict=True):
        for run in group:
            ends = [run.evaluations.get(one) for one in (BEFORE, AFTER)]
            seed = run.config.get("seed")
            body.append(
                (
                    *(run.label, name, seed if isinstance(seed, int) else None),
                    *(share(accuracy(one), interval(one.summary) if one else None) for one in ends),
                    *(_left(run, one) for one in ("blank", "shuffle")),
                )
            )
    columns = ("run", "arm", "seed", "before", "after", "blanked", "shuffled")
    return Table(columns, tuple(body), "runs; those of one arm differ in their seed alone")


def _left(run: Kept, name: str) -> Shown | None:
    one = run.evaluations.get(f"test-after-{name}")
    return None if one is None else share(accuracy(one))
