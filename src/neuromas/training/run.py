"""A run from its first to its last step: start one, or go on with one."""

from __future__ import annotations

from pathlib import Path

from neuromas.config import Config, make_config
from neuromas.growth.parent import ParentRun
from neuromas.growth.stages import check_stages, settle
from neuromas.learning.credit import make_estimator
from neuromas.models.backbone import Backbone
from neuromas.storage import Run
from neuromas.system.assemble import Assembly, assemble, load_bundle
from neuromas.system.provenance import about, check_unchanged, digests
from neuromas.training.callbacks import Callback
from neuromas.training.checkpoints import forget, lost, newest_intact, unreadable
from neuromas.training.data import check_data
from neuromas.training.loop import Loop
from neuromas.training.state import TrainState
from neuromas.training.trackers import check_trackers


def start(config: Config, directory: Path, *callbacks: Callback, backbone: Backbone | None = None) -> Run:
    """Train a new run in ``directory``. Returns when it is finished or was interrupted."""
    check_trackers(config.run.sinks)
    make_estimator(config.train)
    config = settle(config)
    sources = digests(config)  # before they are read: what changes in between is noticed
    assembly, parent = _beginning(config, backbone)
    check_data(assembly, check_stages(config, assembly.network.topology if parent else None))
    with Run.begin(directory, config.model_dump(mode="json"), {**about(), "inputs": sources}) as run:
        loop = Loop(TrainState.new(assembly), run, callbacks)
        loop.stages.begin(parent)
        return loop.train()


def _beginning(config: Config, backbone: Backbone | None) -> tuple[Assembly, ParentRun | None]:
    """The network with which a run begins: a new one, or its parent's."""
    if not config.growth.parent:
        return assemble(config, backbone=backbone), None
    parent = ParentRun.of(Path(config.growth.parent))
    return load_bundle(parent.folder, backbone=backbone, config=config), parent


def resume(directory: Path, *callbacks: Callback, backbone: Backbone | None = None) -> Run:
    """Continue a run from its newest intact checkpoint, as if it had never stopped; a finished run stays.

    Raises RunError if a file it reads is not what it was at the start.
    """
    run = Run.open(directory)
    if run.finished:
        return run
    with run.lock():
        config = make_config(run.read("config.json"))
        check_unchanged(run.path, run.read("run.json"))
        checkpoint, damaged = newest_intact(run)
        torn = unreadable(run)
        if checkpoint is None:
            assembly, parent = _beginning(config, backbone)
            loop = Loop(TrainState.new(assembly), run, callbacks)
            loop.stages.begin(parent)
            forget(run, 0)
        else:
            loop = Loop(TrainState.new(load_bundle(checkpoint, backbone=backbone)), run, callbacks)
            loop.checkpoints.restore(checkpoint)
            loop.stages.settle()
            loop.checkpoints.prune()  # a kill may have come just before that
        return loop.train([*lost(run, loop.state.step, damaged), *torn])
