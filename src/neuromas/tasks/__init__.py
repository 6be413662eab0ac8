"""Tasks: families of problems with gold answers, made by name.

``make_task("max", {"n": 4})`` gives a task, ``task_info(name)`` its options, ``validate`` checks it
without a model. Importing this package loads no heavy library: every family imports what it needs when
it is made.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from neuromas.core.errors import TaskError, unknown
from neuromas.core.parts import TASKS
from neuromas.core.task import Task
from neuromas.tasks import environments, gym, own
from neuromas.tasks.options import Family, Option, bounds, read_options
from neuromas.tasks.registry import FAMILIES
from neuromas.tasks.simple import from_rows
from neuromas.tasks.validate import Check, ValidationReport, validate

__all__ = [
    "Check",
    "Family",
    "Option",
    "OptionInfo",
    "TaskInfo",
    "ValidationReport",
    "from_rows",
    "make_task",
    "task_info",
    "task_names",
    "validate",
]


@dataclass(frozen=True, slots=True)
class OptionInfo:
    """An option as a table shows it: all texts, ``valid`` and ``help`` may be empty."""

    name: str
    default: str
    valid: str
    help: str


@dataclass(frozen=True, slots=True)
class TaskInfo:
    """A task as a table shows it."""

    name: str
    description: str
    options: tuple[OptionInfo, ...]


def task_names(generators: bool = True) -> tuple[str, ...]:
    """The names that ``make_task`` accepts beside ``module:Name``: families, tasks of installed packages.

    ``generators`` names those of reasoning-gym, too, whose import takes a few seconds.
    """
    return (*FAMILIES, *TASKS.names(), *(gym.gym_names() if generators else ()))


def task_info(name: str) -> TaskInfo:
    """Description and options of a task. One of somebody's own, ``module:Name``, is imported.

    Raises:
        TaskError: for an unknown name. ConfigError: if it cannot be imported.
    """
    if name.startswith(environments.PREFIX):
        name = environments.NAME
    if name in FAMILIES:
        family = FAMILIES[name]
        options = tuple(OptionInfo(o.name, repr(o.default), bounds(o), o.help) for o in family.options)
        return TaskInfo(name, family.description, options)
    if own.is_own(name):
        said, parameters = own.about_own(name)
        return TaskInfo(name, said, tuple(OptionInfo(key, value, "", "") for key, value in parameters))
    bare = name.removeprefix(gym.PREFIX)
    if not name.startswith(gym.PREFIX) or name not in gym.gym_names():
        raise TaskError(unknown("task", name, task_names()))
    listed = (OptionInfo(key, repr(value), "", "") for key, value in gym.gym_options(bare).items())
    return TaskInfo(name, f"reasoning-gym's generator {bare}", tuple(listed))


def make_task(name: str, options: Mapping[str, Any]) -> Task:
    """The task of that name with these options; options not given keep their defaults.

    ``module:Name`` is a class or function of somebody's own: it is imported and called with the options.

    Raises:
        TaskError: for an unknown name or option, a wrong type or an impossible value (one line).
        ConfigError: if it cannot be imported.
    """
    if name.startswith(own.GIVEN):
        raise own.missing(name)
    if name.startswith(environments.PREFIX) or name == environments.NAME:
        return environments.build(name, options)
    if name in FAMILIES:
        family = FAMILIES[name]
        return family.build(read_options(name, family.options, options), options)
    if name.startswith(gym.PREFIX):
        return gym.build(name, options)
    if own.is_own(name):
        return own.make_own(name, options)
    names = (*task_names(generators=False), "gym/<generator>", "<module>:<Name>")
    raise TaskError(unknown("task", name, names))
