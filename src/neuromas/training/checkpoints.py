"""Checkpoints of a run: what is in one, which are kept, and how a run goes on from one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from neuromas.core.errors import RunError, one_line
from neuromas.models.bundle import (
    load_adapters,
    load_memory,
    load_optimisers,
    read_manifest,
    save_optimisers,
)
from neuromas.storage import MANIFEST, OPTIMISERS, Run, read_json
from neuromas.storage.tidy import leftovers, remove
from neuromas.system.saved_state import is_line, read_state
from neuromas.system.saving import save_bundle
from neuromas.training.algorithms.base import Memory
from neuromas.training.state import Best, TrainState


class Checkpointer:
    """Saves a run's state and takes it back."""

    def __init__(self, run: Run, state: TrainState) -> None:
        self._run, self._state = run, state

    def save(self) -> None:
        """A checkpoint to resume from; of older ones those stay that are still needed."""
        self._run.save_checkpoint(self._state.step, self._fill)
        self.write_status(finished=False)
        self.prune()

    def save_last(self) -> None:
        """The same before the run stops, unless it is there."""
        if not self._run.checkpoint(self._state.step).is_dir():
            self.save()
        self.write_status(finished=False)

    def save_named(self, name: str) -> None:
        """A checkpoint that is not one to resume from: a stage's first state, or one that is handed on."""
        self._run.save_named(name, self._fill)

    def _fill(self, folder: Path) -> None:
        """Everything needed to go on: adapters, optimisers and the algorithm's tensors, state, lineage."""
        state = self._state
        files = save_optimisers(
            folder, state.trainer.learner.optimisers, state.trainer.algorithm.state().tensors
        )
        plan = {"plan": state.plan.model_dump(mode="json")} if state.plan.stages else {}
        more = {"state": state.to_dict(), **state.lineage.to_dict(), **plan}
        save_bundle(folder, state.assembly, more, files)

    def take(self, checkpoint: Path) -> None:
        """Take over a checkpoint's state and optimisers. Raises RunError if it holds no training state."""
        manifest, state = read_manifest(checkpoint), self._state
        try:
            state.take(manifest)
        except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
            raise RunError(f"{checkpoint} holds a network but no training state ({error!r})") from error
        load_optimisers(checkpoint, state.trainer.learner.optimisers)
        self._remind(checkpoint, manifest)

    def _remind(self, checkpoint: Path, manifest: Mapping[str, Any]) -> None:
        """Give the algorithm what it kept in a checkpoint. Raises RunError if it cannot go on from that."""
        facts = manifest["state"].get("algorithm", {})
        try:
            self._state.trainer.algorithm.load(Memory(load_memory(checkpoint), facts))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            name = self._state.config.train.algorithm
            raise RunError(f"{checkpoint} holds no state of algorithm {name!r}: {one_line(error)}") from error

    def rewind(self) -> None:
        """Make the run's logs and checkpoints what they were when its state was saved."""
        forget(self._run, self._state.step)
        self._state.ranks.wait()  # others read what is left
        self._state.guard.recall(list(self._run.lines("metrics.jsonl")))
        self.prune()

    def load(self, name: str) -> None:
        """Adapters and optimisers of a checkpoint of this stage; the graph and the place stay."""
        folder, trainer = self._run.named(name), self._state.trainer
        manifest = read_manifest(folder)
        load_adapters(folder, self._state.base.model.bank, manifest["versions"])
        trainer.publish()
        load_optimisers(folder, trainer.learner.optimisers, required=False)
        if (folder / OPTIMISERS).exists():
            self._remind(folder, manifest)

    def prune(self) -> None:
        """Remove checkpoints that are no longer needed."""
        if not self._run.written_here:
            return
        # the log knows all ends of stages, the lineage only those that led to the present network
        named = {str(row.get("folder")) for row in self._run.lines("growth.jsonl")}
        keep = self._state.config.run.newest
        for kept in self._run.checkpoints()[-keep:]:  # the newest may be damaged some day
            named |= {path.name for path in leans_on(self._run, read_json(kept / MANIFEST))}
        self._run.prune(keep, self._state.lineage.steps, named)

    def write_status(self, finished: bool, folder: str = "") -> None:
        """Say where the run stands; ``folder`` is the checkpoint it hands on where that is not its best."""
        best = self._state.best
        step, folder = (None, folder) if best is None else (best.step, folder or best.folder)
        status = {"finished": finished, "step": self._state.step, "best": step, "checkpoint": folder or None}
        self._run.write("status.json", {**status, "seconds": round(self._state.seconds, 1)})


def newest_intact(run: Run) -> tuple[Path | None, list[str]]:
    """The checkpoint to go on from, and why newer ones are damaged. Raises RunError if all are."""
    return run.newest_intact(read_manifest, lambda manifest: leans_on(run, manifest))


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

    Only the newest checkpoint keeps its optimiser states, and what it leans on where the guard goes back to
    that. All stays where ``run.keep`` is set, or while somebody reads a network here.
    """
    if keep is not None:
        return
    manifest = read_json(run.checkpoints()[-1] / MANIFEST)
    needed = {path.name for path in leans_on(run, manifest)}
    returns = manifest["config"]["train"]["guard"] == "restore"
    remove(run, leftovers(run, run.named(handed_on), needed, resumable=True, returns=returns))


def forget(run: Run, step: int) -> None:
    """Drop lines that are damaged or were written after ``step`` steps, from which the run goes on."""
    for name in ("metrics.jsonl", "episodes.jsonl", "growth.jsonl"):
        _keep(run, name, lambda row: row["step"] < step)
    _keep(run, "validation.jsonl", lambda row: row["step"] <= step)
    # the end of a stage is told again by the process that goes on from it
    _keep(run, "events.jsonl", lambda row: row["step"] < step + (row["event"] != "stage"))


def _keep(run: Run, name: str, wanted: Callable[[Mapping[str, Any]], bool]) -> None:
    run.keep_lines(name, lambda row: is_line(name, row) and wanted(row))


def unreadable(run: Run) -> list[str]:
    """A line for each log in which lines are damaged: going on leaves them out for good.

    Those of ``metrics.jsonl`` are missed by their steps, see ``lost``.
    """
    counts = {
        name: run.damaged_lines(name) + sum(not is_line(name, row) for row in run.lines(name))
        for name in ("validation.jsonl", "growth.jsonl", "events.jsonl", "episodes.jsonl")
    }
    return [f"{name}: {count} damaged line(s) left out" for name, count in counts.items() if count]


def lost(run: Run, step: int, damaged: Sequence[str]) -> list[str]:
    """What a run that goes on from ``step`` is without, a line each; ``damaged`` says it of checkpoints."""
    lines = [f"{cause}; going on from {run.checkpoint(step).name}" for cause in damaged]
    missing = run.missing_steps(step)
    return [*lines, f"metrics.jsonl has lost the lines of {missing} steps"] if missing else lines
