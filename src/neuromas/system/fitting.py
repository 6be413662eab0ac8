"""Whether a network, a task and a trained network go together, for one run and for a whole plan of them.

Nothing here needs a backbone, so that a plan is checked without loading one.
"""

from __future__ import annotations

from neuromas.config import Config, at_stage
from neuromas.config.sections import ModelConfig
from neuromas.core.errors import PartsError, PromptError, cut
from neuromas.core.task import Task
from neuromas.prompts.build import question_for
from neuromas.tasks.registry import FAMILIES
from neuromas.tasks.rewards import is_foreign
from neuromas.topology.files import short
from neuromas.topology.graph import Topology
from neuromas.topology.views import under

ADAPTER_KEYS = ("rank", "ranks", "alpha", "targets")  # what adapters that go on, or stand together, agree in


def check_parts(topology: Topology, task: Task, name: str = "") -> None:
    """The task's first problem has as many parts as the topology hands out.

    It is one of training, or of test where there are none to train on. ``name`` is what the user calls the
    topology. Raises PartsError with what is handed out and what is needed, TaskError as the task does.
    """
    problem = task.problem("test" if task.size("train") == 0 else "train", 0)
    try:
        for node in range(len(topology.nodes)):
            question_for(topology, node, problem)
    except PromptError as error:
        have, need = len(problem.parts), topology.shares
        wanted = f"parts = {have} must be at least {need}" if _has_parts(task) else f"{need} parts are needed"
        said = f"task {task.name!r} does not fit topology {name or topology}"
        raise PartsError(f"{said}: {error}; {wanted}") from error


def check_stage_parts(plan: Config, index: int, goal: Topology, task: Task) -> None:
    """A stage's task (from 0) has as many parts as its graph ``goal`` hands out, under each of its views.

    Raises PartsError naming the stage as ``staged`` does, TaskError as the task does.
    """
    shape = shape_name(plan.shapes[index][0])
    try:
        check_parts(goal, task, shape)
        for mode in at_stage(plan, index).lift.modes[:1]:  # the goal has the last one
            check_parts(under(goal, mode), task, f"{shape} under its view {mode!r}")
    except PartsError as error:
        raise staged(error, plan, index) from None


def staged(error: PartsError, plan: Config, index: int) -> PartsError:
    """The error with the number of its stage (from 0), where a run has several or lists the one."""
    listed = plan.stages or plan.growth.stages
    return PartsError(f"stage {index + 1}: {error}") if listed else error


def shape_name(shape: str) -> str:
    """A shape as the user wrote it, or in short where that is a whole graph."""
    return cut(short(shape), 300)


def other_adapters(was: ModelConfig, now: ModelConfig) -> tuple[str, str, str] | None:
    """Key and both values, as they are shown, where adapters of ``was`` cannot go on as those of ``now``.

    None where they can.
    """
    for key in ADAPTER_KEYS:
        before, after = getattr(was, key), getattr(now, key)
        if before != after:
            return f"model.{key}", adapter_value(before), adapter_value(after)
    return None


def adapter_value(value: object) -> str:
    """A value of one of ``ADAPTER_KEYS`` in a message; ``model.ranks`` may be left out."""
    return "unset" if value == () else repr(list(value) if isinstance(value, tuple) else value)


def _has_parts(task: Task) -> bool:
    """Whether the number of parts is an option of the task that is called so."""
    family = None if is_foreign(task) else FAMILIES.get(task.name)
    return family is not None and any(
        one.name == "parts" and type(one.default) is int for one in family.options
    )
