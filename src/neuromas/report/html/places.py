"""What the paths of a page are, without reading more than names."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from pathlib import Path

from neuromas.core.errors import RunError, shown
from neuromas.report.pages.runs import find_runs

MOST_RUNS = 40
FILE = "report.html"


def places(paths: Sequence[Path]) -> tuple[list[Path], list[Path]]:
    """Runs and experiments in the order given, each once; of a folder of runs, all of these.

    Raises RunError for a path that is nothing of it, or where there are too many runs for one page.
    """
    runs: list[Path] = []
    experiments: list[Path] = []
    for path in paths:
        if (path / "config.json").is_file():
            runs.append(path)
        elif is_experiment(path):
            experiments.append(path)
        else:
            runs += _below(path)
    runs, experiments = list(dict.fromkeys(runs)), list(dict.fromkeys(experiments))
    if len(runs) > MOST_RUNS:
        raise RunError(f"more than {MOST_RUNS} runs for one page; name fewer, or the experiment they are of")
    return runs, experiments


def _below(path: Path) -> list[Path]:
    """The runs in a folder that is neither a run nor an experiment."""
    if not path.is_dir():
        what = "is a file" if path.is_file() else "does not exist"
        raise RunError(f"{shown(str(path))} {what}; name a run, or an experiment's directory")
    found = list(islice(find_runs(path), MOST_RUNS + 1))
    if not found:
        raise RunError(f"{shown(str(path))} holds no run and no experiment")
    return found


def default_file(paths: Sequence[Path]) -> Path:
    """Where a page goes: into the one run or experiment it is of, else here."""
    one = paths[0]
    if len(paths) > 1 or not ((one / "config.json").is_file() or is_experiment(one)):
        return Path(FILE)
    return (one if one.is_dir() else one.parent) / FILE


def is_experiment(path: Path) -> bool:
    """Whether a path is an experiment's directory or its results."""
    if path.name == "results.json" and path.is_file():
        return True
    return (path / "results.json").is_file() or (path / "cells").is_dir()


def labelled(paths: Sequence[Path]) -> list[str]:
    """A short name for every path: as many of its last parts as tell it from the others."""
    whole = [path.resolve().parts for path in paths]
    for length in range(1, max(map(len, whole), default=0) + 1):
        names = ["/".join(parts[-length:]) for parts in whole]
        if len(set(names)) == len(names):
            return names
    return [str(path) for path in paths]
