"""All runs below a directory with their figures; what is damaged is named and not read further."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from neuromas.config import make_config
from neuromas.core.errors import ConfigError, NeuromasError, RunError, one_line, unknown
from neuromas.report.blocks import Block, Cell, Shown, Table, Text, number, share
from neuromas.report.pages import Page, one_path
from neuromas.report.reading import marked, prompt_mark, read_evaluation, readable
from neuromas.storage import Run
from neuromas.topology.files import short

_DEPTH = 6  # folders below the one that is named; an experiment's cells lie three deep
COLUMNS = ("run", "task", "network", "model", "seed", "steps", "state", "before", "after", "alarms", "MB")


@dataclass(frozen=True, slots=True)
class Listed:
    """A run in a list: its row, and what is wrong with it (empty: nothing)."""

    row: tuple[Cell, ...]
    fault: str = ""


def find_runs(folder: Path) -> Iterator[Path]:
    """Folders that hold a run, sorted, without looking into runs or following links."""
    for here, folders, files in os.walk(folder):
        path = Path(here)
        if "config.json" in files and ("run.json" in files or "checkpoints" in folders):
            folders.clear()
            yield path
        elif len(path.relative_to(folder).parts) >= _DEPTH:
            folders.clear()
        folders.sort()


def list_run(path: Path, name: str) -> Listed:
    """One row. What cannot be read is a fault, never an error."""
    size = number(_bytes(path) / 1e6)
    try:
        with readable(str(path)):
            return Listed((name, *_facts(Run.open(path)), size))
    except (NeuromasError, OSError) as error:
        return Listed((name, *[None] * 5, "damaged", *[None] * 3, size), one_line(error))


def _facts(run: Run) -> Iterator[Cell]:
    """The cells between the name of a run and its size."""
    config = make_config(run.read("config.json"))
    shapes = [short(shape) for shape, _ in config.shapes]
    status = run.read("status.json") if (run.path / "status.json").is_file() else {}
    step = status.get("step", 0)
    if not isinstance(step, int):
        raise RunError(f"{run.path}/status.json is damaged: 'step' is no number")
    network = marked(" -> ".join(shapes), prompt_mark(run))
    yield from (config.task.name, network, config.model.backbone, config.seed)
    yield Shown(f"{step}/{config.train.steps}", step)
    yield _state(run, config.train.steps)
    for name in ("test-before", "test-after"):
        if (run.path / "evaluations" / f"{name}.json").is_file():
            summary, _ = read_evaluation(run, name, item=())
            yield share(summary["accuracy"], summary["interval"])
        else:
            yield None
    yield sum(row.get("event") == "alarm" for row in run.lines("events.jsonl"))


def _state(run: Run, steps: int) -> str:
    """``finished``, ``running`` while a process works on it, ``untrained`` without steps, ``interrupted``."""
    if run.finished:
        return "finished"
    left = "interrupted" if steps else "untrained"
    try:
        return "running" if run.busy else left
    except OSError:  # somebody else's, which cannot be locked
        return left


def _bytes(path: Path) -> int:
    """Bytes of all files of a run; links count as what they are."""
    total = 0
    for here, _, files in os.walk(path):
        for name in files:
            try:
                total += os.lstat(os.path.join(here, name)).st_size
            except OSError:  # removed while we look
                continue
    return total


def _key(row: Sequence[Cell], column: int) -> tuple[bool, float, str]:
    """Numbers by their value, text by its letters, what is missing last."""
    cell = row[column]
    value = cell.value if isinstance(cell, Shown) else cell
    if value is None:
        return True, 0.0, ""
    return (False, 0.0, value) if isinstance(value, str) else (False, float(value), "")


def _build(paths: Sequence[Path], options: Mapping[str, str]) -> Sequence[Block]:
    """The table, sorted by a column, then a line for every damaged run."""
    folder = one_path("runs", paths)
    sort = options.get("sort", COLUMNS[0])
    if sort not in COLUMNS:
        raise ConfigError(unknown("column", sort, COLUMNS))
    if not folder.is_dir():
        raise RunError(f"{str(folder)!r} is no folder")
    listed = [list_run(path, os.path.relpath(path, folder)) for path in find_runs(folder)]
    if not listed:
        return [Text((f"no runs in {folder}",))]
    listed.sort(key=lambda one: _key(one.row, COLUMNS.index(sort)))
    blocks: list[Block] = [Table(COLUMNS, tuple(one.row for one in listed))]
    faults = tuple(f"damaged: {one.fault}" for one in listed if one.fault)
    return [*blocks, Text(faults)] if faults else blocks


PAGE = Page("runs", "a folder with runs in it", _build, {"sort": f"a column: {', '.join(COLUMNS)}"})
