"""An experiment: a table a task, then what was to be compared, and the figure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from neuromas.report.blocks import Block, Figure
from neuromas.report.charts.experiment import calls, depth, has_depth
from neuromas.report.experiment import experiment_blocks
from neuromas.report.pages import Page, one_path
from neuromas.report.reading import readable
from neuromas.storage import read_json


def experiment_page(found: Mapping[str, Any], name: str) -> list[Block]:
    """All blocks of an experiment's results."""
    blocks = [
        *experiment_blocks(found),
        Figure("figure", partial(calls, found, name), f"{name}: accuracy over calls"),
    ]
    if not has_depth(found):
        return blocks
    return [*blocks, Figure("depth", partial(depth, found, name), f"{name}: accuracy over depth")]


def _build(paths: Sequence[Path], options: Mapping[str, str]) -> Sequence[Block]:
    """The page of ``results.json``, or of the directory that holds it."""
    path = one_path("experiment", paths)
    file = path / "results.json" if path.is_dir() else path
    found = read_json(file)
    with readable(str(file)):
        return experiment_page(found, found.get("experiment", {}).get("name") or path.stem)


PAGE = Page("experiment", "an experiment's directory, or its results.json", _build)
