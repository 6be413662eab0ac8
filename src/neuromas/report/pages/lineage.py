"""The history of a network: its ancestors, how each grew, and what it cost until then."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from neuromas.core.errors import RunError
from neuromas.report.blocks import Block, Figure, Table, Text
from neuromas.report.lineage import Generation, generations, lineage_svg, lineage_text
from neuromas.report.pages import Page, one_path
from neuromas.report.reading import readable
from neuromas.storage import MANIFEST, Run, read_json
from neuromas.topology.graph import Topology

_COST = ("steps", "calls", "prompt_tokens", "new_tokens", "seconds")


def _build(paths: Sequence[Path], options: Mapping[str, str]) -> Sequence[Block]:
    """The manifest's lineage; of a run, that of the network it hands on."""
    path = one_path("lineage", paths)
    folder = path if (path / MANIFEST).is_file() else Run.open(path).handed_on
    manifest = read_json(folder / MANIFEST)
    with readable(f"{folder}: the network's lineage"):
        rows = [
            (str(Topology.from_dict(one.topology)), *(one.spent[name] for name in _COST), one.asked, one.then)
            for one in [*generations(manifest), Generation.last(manifest)]
        ]
        columns = ("network", *(name.replace("_", " ") for name in _COST), "asked", "then")
        if not all(isinstance(cell, str | int | float) for row in rows for cell in row):
            raise RunError(f"{folder}: the network's lineage is damaged: a cost is no number")
        return [
            Text(tuple(lineage_text(manifest).split("\n"))),
            Table(columns, tuple(rows), "lineage", aside=True),
            Figure("lineage", lineage_svg(manifest), "ancestors of the network"),
        ]


PAGE = Page("lineage", "a run or a checkpoint", _build)
