"""A run from its first to its last step: start one, or go on with one."""

from __future__ import annotations

from pathlib import Path

from neuromas.config import Config, make_config
from neuromas.core.task import Task
from neuromas.growth.parent import ParentRun
from neuromas.growth.stages import check_stages, settle
from neuromas.learning.credit import make_estimator
from neuromas.models.backbone import Backbone
from neuromas.storage import Run
from neuromas.system.assemble import Assembly, assemble, load_bundle
from neuromas.system.provenance import about, check_unchanged, code_changed, code_of, digests
from neuromas.training.callbacks import Callback
from neuromas.training.checkpoints import forget, lost, newest_intact
from neuromas.training.data import check_data
from neuromas.training.loop import Loop
from neuromas.training.state import TrainState
from neuromas.training.trackers import check_trackers


def start(
    config: Config,
    directory: Path,
    *callbacks: Callback,
    backbone: Backbone | None = None,
    task: Task | None = None,
) -> Run:
    """Train a new run in ``directory``. Returns when it is finished or was interrupted.

    ``task`` is an object of the user's in the place of the configured task.
    """
    check_trackers(config.run.sinks)
    make_estimator(config.train)
    config = settle(config)
    sources = digests(config)  # before they are read: what changes in between is noticed
    assembly, parent = _beginning(config, backbone, task)
    check_data(assembly, check_stages(config, assembly.network.topology if parent else None))
    facts = {**about(), "inputs": sources, **code_of(assembly.task)}
    with Run.begin(directory, config.model_dump(mode="json"), facts) as run:
        loop = Loop(TrainState.new(assembly), run, callbacks)
        loop.stages.begin(parent)
        return loop.train()


def _beginning(
    config: Config, backbone: Backbone | None, task: Task | None
) -> tuple[Assembly, ParentRun | None]:
    """The network with which a run begins: a new one, or its parent's."""
    if not config.growth.parent:
        return assemble(config, backbone=backbone, task=task), None
    parent = ParentRun.of(Path(config.growth.parent))
    return load_bundle(parent.folder, backbone=backbone, config=config, task=task), parent


def resume(
    directory: Path, *callbacks: Callback, backbone: Backbone | None = None, task: Task | None = None
) -> Run:
    """Continue a run from its newest intact checkpoint, as if it had never stopped; a finished run stays.

    ``task`` is the object it was begun with, if there was one.
    Raises RunError if a file it reads is not what it was at the start.
    """
    run = Run.open(directory)
    if run.finished:
        return run
    with run.lock():
        config = make_config(run.read("config.json"))
        check_unchanged(run.path, run.read("run.json"))
        checkpoint, damaged = newest_intact(run)
        if checkpoint is None:
            assembly, parent = _beginning(config, backbone, task)
            loop = Loop(TrainState.new(assembly), run, callbacks)
            loop.stages.begin(parent)
            forget(run, 0)
        else:
            assembly = load_bundle(checkpoint, backbone=backbone, task=task)
            loop = Loop(TrainState.new(assembly), run, callbacks)
            loop.checkpoints.restore(checkpoint)
            loop.stages.settle()
            loop.checkpoints.prune()  # a kill may have come just before that
        changed = code_changed(run.path, run.read("run.json"), assembly.task)
        return loop.train([*changed, *lost(run, loop.state.step, damaged)])
