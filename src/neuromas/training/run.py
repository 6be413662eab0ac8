"""A run from its first to its last step: start one, or go on with one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from neuromas.config import Config, as_written, in_precision, make_config
from neuromas.core.errors import ConfigError, PartsError
from neuromas.core.task import Task
from neuromas.growth.parent import ParentRun
from neuromas.growth.stages import check_stages, goals, idle_views, settle, stage_config
from neuromas.learning.credit import make_estimator
from neuromas.models.backbone import Backbone
from neuromas.models.bundle import read_manifest
from neuromas.models.ranks import joined
from neuromas.storage import Run
from neuromas.system.assemble import Assembly, assemble
from neuromas.system.fitting import staged
from neuromas.system.prompting import choose_template, keep_copy, prompt_facts
from neuromas.system.provenance import (
    about,
    check_unchanged,
    code_changed,
    code_of,
    command,
    computed_in,
    digests,
    precision_changed,
    trained_in,
)
from neuromas.system.saving import load_bundle, saved_plan
from neuromas.system.trust import note_if_possible
from neuromas.tasks.saved import opened
from neuromas.training.algorithms.build import make_algorithm
from neuromas.training.callbacks import Callback, check_callbacks
from neuromas.training.changes import (
    Changes,
    as_line,
    changed_config,
    changes,
    check_stages_stay,
    reopen,
    schedule_notes,
    unsaid,
)
from neuromas.training.checkpoints import lost, newest_intact, unreadable
from neuromas.training.data import check_data
from neuromas.training.loop import Loop
from neuromas.training.several import backbone_for, cut_for, described, entered, idle, shared_by
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
    check_callbacks(callbacks)
    check_trackers(config.run.trackers)
    make_estimator(config.train)
    make_algorithm(config.train)
    config = settle(config)
    with joined(config.model.device) as here:
        config = cut_for(config, here)
        ranks = described(here, config)
        sources = digests(config)  # before they are read: what changes in between is noticed
        assembly, parent = _beginning(config, backbone_for(ranks, config, backbone), task)
        assembly = shared_by(ranks, assembly)
        shapes = check_stages(config, assembly.network.topology if parent else None)
        check_data(assembly, config, shapes)
        prompts = prompt_facts(assembly.network, config.network.prompt)
        dtype = assembly.model.backbone.dtype
        facts = {**about(dtype), "command": command(), "inputs": sources, **code_of(assembly.task), **prompts}
        if ranks.size > 1:
            facts["processes"] = ranks.size
        begun = Run.begin(directory, config.model_dump(mode="json"), facts)
        with entered(ranks, begun, directory) as run:
            if run.written_here:
                keep_copy(run.path, assembly.network.template)
            loop = Loop(TrainState.new(assembly, config), run, callbacks)
            loop.stages.begin(parent)
            notes = [*idle(ranks), *idle_views(config, shapes)]
            if parent:
                before = trained_in(read_manifest(parent.folder))
                notes += precision_changed(
                    before, config, assembly.model.backbone, f"where {parent.run} was trained"
                )
            return loop.train(notes)


def _beginning(
    config: Config, backbone: Backbone | None, task: Task | None, run: Path | None = None
) -> tuple[Assembly, ParentRun | None]:
    """The network with which a run begins: a new one, or its parent's; ``run`` is one that has begun."""
    if task is not None and any(stage.task for stage in config.stages):
        raise ConfigError("stages name tasks of their own, and the task was given as an object; choose one")
    first = stage_config(config, 0)
    if not config.growth.parent:
        template = choose_template(config, goals(config), run)
        try:
            return assemble(first, backbone=backbone, task=task, template=template), None
        except PartsError as error:
            raise staged(error, config, 0) from None
    parent = ParentRun.of(Path(config.growth.parent), config.growth.module)
    return load_bundle(parent.folder, backbone=backbone, config=first, task=task), parent


def resume(
    directory: Path,
    *callbacks: Callback,
    overrides: Sequence[str] = (),
    backbone: Backbone | None = None,
    task: Task | None = None,
) -> Run:
    """Continue a run from its newest intact checkpoint, as if it had never stopped.

    A finished run stays as it is, unless ``overrides`` (``key=value``) give it more steps or stages, see
    ``changes``. ``task`` is the object it was begun with, if there was one. Raises RunError if a file it
    reads is not what it was at the start, ConfigError naming key and both values for an override that would
    make it another run; then nothing is changed.
    """
    check_callbacks(callbacks)
    run = Run.open(directory)
    if run.finished and not _wanted(run, overrides)[1]:
        return run
    with joined(_wanted(run, overrides)[0].model.device) as here, entered(here, run.lock(), directory) as run:
        config, found = _wanted(run, overrides)
        dtype = computed_in(run)
        ranks = described(here, config)
        check_unchanged(run.path, run.read("run.json"))
        checkpoint, damaged = ranks.led(lambda: newest_intact(run))
        torn = unreadable(run)
        backbone = backbone_for(ranks, config, backbone, dtype)
        if checkpoint is None:
            assembly, parent = _beginning(config, backbone, task, run.path)
            loop = Loop(TrainState.new(shared_by(ranks, assembly), config), run, callbacks)
            loop.stages.begin(parent)
            before = config
        else:
            assembly = shared_by(ranks, load_bundle(checkpoint, backbone=backbone, task=task))
            before = saved_plan(read_manifest(checkpoint))
            stage = config if not config.stages else assembly.config
            assembly = replace(assembly, config=stage, task=opened(assembly.task))
            loop = Loop(TrainState.new(assembly, config), run, callbacks)
            loop.checkpoints.take(checkpoint)
            loop.stages.settle()
        ranks.wait()  # all have read what the first changes now
        code = code_changed(run.path, run.read("run.json"), assembly.task)
        code += precision_changed(dtype, config, assembly.model.backbone, "where the run began")
        notes = _changed(loop, before, found)
        loop.checkpoints.rewind()  # a kill may have come just before older checkpoints were removed
        return loop.train(
            [*idle(ranks), *code, *lost(run, loop.state.step, damaged), *torn, *notes], unsaid(run, config)
        )


def _wanted(run: Run, overrides: Sequence[str]) -> tuple[Config, Changes]:
    """The configuration with which a run goes on, and what that changes. Raises ConfigError."""
    config = make_config(run.read("config.json"))
    if not overrides:
        return config, {}
    known = in_precision(config, computed_in(run))
    wanted = in_precision(changed_config(known, overrides), known.model.dtype)
    found = changes(known, wanted)
    # what the run leaves open stays so in its files
    model = wanted.model.model_copy(update={"dtype": config.model.dtype})
    return wanted.model_copy(update={"model": model}), found


def _changed(loop: Loop, before: Config, found: Changes) -> list[str]:
    """Check that the state of a checkpoint can go on, then write what is changed; lines on what that does.

    ``before`` is the checkpoint's configuration. That of the run may be another one without any override:
    the run was killed after a change, before its next checkpoint.
    """
    state, run = loop.state, loop.run
    changes(before, state.plan)
    check_stages_stay(before, state)
    if not found:
        return []
    if run.finished and not loop.stages.left:
        growth = state.config.growth
        ends = f"growth.until = {growth.until:g}, growth.patience = {growth.patience}"
        ends = as_written(state.plan, state.stage.index, ends)
        early = "" if state.over else f" (its last stage ended early: {ends})"
        raise ConfigError(
            f"{run.path} is finished, and {as_line(found)} gives it nothing to do; "
            f"name more steps or stages{early}"
        )
    check_trackers(state.config.run.trackers)
    check_data(state.assembly, state.plan, loop.stages.goals, state.stage.index + 1)
    if run.written_here:
        note_if_possible(state.plan)
        reopen(run, state.plan, found, state.step)
    return schedule_notes(before, state)
