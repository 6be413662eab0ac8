"""What a run takes back when it goes on from a checkpoint, and what it no longer keeps when it ends."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from neuromas.core.errors import RunError
from neuromas.storage import MANIFEST, Run, read_json
from neuromas.storage.tidy import leftovers, remove
from neuromas.system.saved_state import is_line, read_state
from neuromas.training.best import Best


def leans_on(run: Run, manifest: Mapping[str, Any]) -> list[Path]:
    """The other checkpoints a checkpoint needs to go on: its stage's best, and its first with an anchor."""
    try:
        state = read_state(manifest.get("state"))
        anchored = manifest["config"]["train"].get("anchor") and state.stage.start is not None
    except (RunError, KeyError, TypeError, AttributeError):
        return []  # whoever goes on from it says what is wrong
    best = Best.read(state.best)
    names = [] if best is None else [best.folder]
    return [run.named(name) for name in (*names, *([f"start-{state.stage.index + 1}"] if anchored else []))]


def settle_down(run: Run, handed_on: str, keep: int | None) -> None:
    """Leave a run that ends what it hands on and what it could be trained on from; see ``storage.tidy``.

    Only the newest checkpoint keeps its optimiser states. All stays where ``run.keep`` is set, or while
    somebody reads a network here.
    """
    if keep is not None:
        return
    newest = run.checkpoints()[-1]
    needed = {path.name for path in leans_on(run, read_json(newest / MANIFEST))}
    remove(run, leftovers(run, run.named(handed_on), needed, resumable=True))


def forget(run: Run, step: int) -> None:
    """Drop lines that are damaged or were written after ``step`` steps, from which the run goes on."""
    for name in ("metrics.jsonl", "episodes.jsonl", "growth.jsonl"):
        _keep(run, name, lambda row: row["step"] < step)
    _keep(run, "validation.jsonl", lambda row: row["step"] <= step)
    # the end of a stage is told again by the session that goes on from it
    _keep(run, "events.jsonl", lambda row: row["step"] < step + (row["event"] != "stage"))


def _keep(run: Run, name: str, wanted: Callable[[Mapping[str, Any]], bool]) -> None:
    run.keep_lines(name, lambda row: is_line(name, row) and wanted(row))


def lost(run: Run, step: int, damaged: Sequence[str]) -> list[str]:
    """What a run that goes on from ``step`` is without, a line each; ``damaged`` says it of checkpoints."""
    lines = [f"{cause}; going on from {run.checkpoint(step).name}" for cause in damaged]
    missing = run.missing_steps(step)
    return [*lines, f"metrics.jsonl has lost the lines of {missing} steps"] if missing else lines
