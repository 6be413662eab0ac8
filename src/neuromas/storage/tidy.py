"""What a finished run can do without: older checkpoints, and optimiser states from which nothing goes on.

Two thirds of a checkpoint are AdamW's moments. Reading, asking and evaluating need none of them; training a
finished run on needs those of its newest checkpoint.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from neuromas.storage.disk import flush, read_json, remove_folder, write_atomic
from neuromas.storage.run import MANIFEST, Run

OPTIMISERS = "optimisers.safetensors"


@dataclass(frozen=True, slots=True)
class Leftover:
    """A checkpoint's folder, or its file of optimiser states; ``size`` in bytes."""

    path: Path
    size: int

    @property
    def whole(self) -> bool:
        """Whether all of the checkpoint goes."""
        return self.path.name != OPTIMISERS


def leftovers(
    run: Run, handed_on: Path, needed: Collection[str], resumable: bool, returns: bool = False
) -> list[Leftover]:
    """What may go from a run whose training is over, in the order of names.

    ``handed_on`` stays, the newest checkpoint, those that ended a stage, and those of the names ``needed``.
    ``resumable``: the newest keeps its optimiser states, and damaged checkpoints stay to be looked at; so do
    those ``needed`` keep theirs if a run that goes on ``returns`` to them.
    """
    newest = run.checkpoints()[-1:]
    goes_on = {path.name for path in newest if resumable} | (set(needed) if resumable and returns else set())
    stay = {path.name for path in (*newest, handed_on)} | set(needed) | set(_stage_ends(run))
    found = []
    for path in sorted((run.path / "checkpoints").glob("[!.]*-*")):
        if path.is_symlink() or not path.is_dir() or (resumable and path.name.startswith("damaged-")):
            continue
        states = path / OPTIMISERS
        if path.name not in stay:
            found.append(
                Leftover(path, sum(file.stat().st_size for file in path.rglob("*") if file.is_file()))
            )
        elif states.is_file() and path.name not in goes_on:
            found.append(Leftover(states, states.stat().st_size))
    return found


def _stage_ends(run: Run) -> Iterator[str]:
    """Names of the checkpoints that stages of the run handed on, by its log of growth."""
    for row in run.lines("growth.jsonl"):
        yield from (
            run.checkpoint(row[key]).name for key in ("best", "step") if isinstance(row.get(key), int)
        )
        if isinstance(row.get("folder"), str):
            yield row["folder"]


def remove(run: Run, found: Collection[Leftover]) -> bool:
    """Remove them; False if somebody reads a network of the run just now, and then all of them stay."""
    with run.unread() as free:
        for one in found if free else ():
            if one.whole:
                remove_folder(one.path)
            else:
                _drop_states(one.path)
    return free


def _drop_states(path: Path) -> None:
    """The manifest stops vouching for the file before the file goes.

    A kill between the two leaves a file that nobody names; it is found the next time.
    """
    manifest = read_json(path.parent / MANIFEST)
    files = manifest.get("files")
    if isinstance(files, dict) and files.pop(OPTIMISERS, None) is not None:
        write_atomic(path.parent / MANIFEST, json.dumps(manifest, indent=1, ensure_ascii=False) + "\n")
    path.unlink(missing_ok=True)
    flush(path.parent)
