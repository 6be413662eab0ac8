"""An experiment: a table a task, then what was to be compared, and the figure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from neuromas.report.blocks import Block, Figure
from neuromas.report.chart import depth_svg, experiment_svg
from neuromas.report.experiment import experiment_blocks
from neuromas.report.pages import Page, one_path
from neuromas.report.reading import readable
from neuromas.storage import read_json


def experiment_page(found: Mapping[str, Any], name: str) -> list[Block]:
    """All blocks of an experiment's results."""
    blocks = [
        *experiment_blocks(found),
        Figure("figure", experiment_svg(found, name), f"{name}: accuracy over calls"),
    ]
    over_depth = depth_svg(found, name)
    return [*blocks, Figure("depth", over_depth, f"{name}: accuracy over depth")] if over_depth else blocks


def _build(paths: Sequence[Path], options: Mapping[str, str]) -> Sequence[Block]:
    """The page of ``results.json``, or of the directory that holds it."""
    path = one_path("experiment", paths)
    file = path / "results.json" if path.is_dir() else path
    found = read_json(file)
    with readable(str(file)):
        return experiment_page(found, found.get("experiment", {}).get("name") or path.stem)


PAGE = Page("experiment", "an experiment's directory, or its results.json", _build)
