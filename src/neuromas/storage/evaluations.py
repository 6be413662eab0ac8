"""An evaluation's files in a run, written by one process at a time."""

from __future__ import annotations

import glob
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from neuromas.storage.disk import clear, json_lines, json_text, refuse_links, sweep, write_together

PROMPTS = ".prompts.jsonl"
_LOCK = ".evaluations.lock"  # not the run's own, as a run that is being trained may be evaluated as well


@contextmanager
def writing(run: Path) -> Iterator[Path]:
    """The run's folder of evaluations, whose only writer one is meanwhile."""
    from filelock import FileLock

    refuse_links(run)
    folder = run / "evaluations"
    with clear(run):
        folder.mkdir(exist_ok=True)
    with FileLock(str(run / _LOCK)), clear(run):
        yield folder


def write(
    folder: Path,
    name: str,
    summary: Mapping[str, Any],
    rows: tuple[Iterable[Mapping[str, Any]], Mapping[str, Sequence[str]]],
) -> None:
    """Items, by item what every node read, and the summary, without which they are no evaluation.

    What a killed writer left of the same evaluation is removed.
    """
    items, prompts = rows
    sweep(folder, f"{glob.escape(name)}.*")
    texts, read = {folder / f"{name}.jsonl": json_lines(items)}, folder / f"{name}{PROMPTS}"
    if prompts:
        texts[read] = json_lines({"id": item, "prompts": list(seen)} for item, seen in prompts.items())
    else:
        read.unlink(missing_ok=True)  # never those of an older evaluation
    write_together({**texts, folder / f"{name}.json": json_text(summary)})
