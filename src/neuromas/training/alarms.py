"""What a run does about alarms: tells them, stops, or goes back to its best state with half the rate."""

from __future__ import annotations

from collections.abc import Sequence

from neuromas.core.errors import RunError
from neuromas.learning.alarms import Alarm
from neuromas.training.stages import StageController


def answer(raised: Sequence[Alarm], stages: StageController) -> None:
    """Tell alarms that went on, then do what ``train.guard`` says.

    Raises RunError, once a checkpoint is saved, where that is ``stop``.
    """
    mode, state, log = stages.state.config.train.guard, stages.state, stages.log
    for alarm in raised:
        log.alarm(alarm)
    if raised and mode == "stop":
        stages.checkpoints.save()
        raise RunError(f"{log.run.path}: train.guard = 'stop' at step {state.step}: {raised[0].text}")
    if mode == "restore" and any(_is_breaking(alarm, stages) for alarm in raised):
        _restore(stages)


def _is_breaking(alarm: Alarm, stages: StageController) -> bool:
    """Whether the alarm asks for the stage's best state."""
    best, stage = stages.state.best, stages.state.stage
    # the network before gates opened cannot be gone back to: it is no state of the one that is trained
    closed = best is not None and best.step == stage.since and stage.gated(stages.state.config.growth)
    return alarm.breaking and not (closed and alarm.name == "fallen")


def _restore(stages: StageController) -> None:
    """Back to the best state, with half the rate, so often as ``alarms.restores`` allows."""
    state, log = stages.state, stages.log
    if state.best is None:
        return
    if state.guard.halved >= state.config.alarms.restores:
        log.note("guard", f"not restored again: alarms.restores = {state.config.alarms.restores}")
        return
    if state.best.step != state.step:  # else it is here, and its checkpoint is still to be written
        stages.checkpoints.load(state.best.folder)
    state.guard.restart(state.step, restored=True)
    stages.settle()
    rate = f"the learning rate is now {state.trainer.lr:g}"
    log.note("guard", f"back to the state of step {state.best.step}; {rate}")
