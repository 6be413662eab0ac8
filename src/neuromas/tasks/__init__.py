"""Tasks: families of problems with gold answers, made by name; files, tasks and rewards of one's own.

``make_task("max", {"n": 4})`` gives a task, ``task_info(name)`` its options, ``validate`` checks it
without a model. Importing this package loads no heavy library: every family imports what it needs when
it is made.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from neuromas.core.errors import TaskError, did_you_mean, nearest, shown
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
    """The names that ``make_task`` accepts beside ``module:Name``: families, tasks that packages offer.

    ``generators`` names those of reasoning-gym, too.
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
    if name not in gym.gym_names():
        raise TaskError(_unknown(name))
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
    if name in gym.gym_names() or name.removeprefix(gym.PREFIX) in gym.LEFT_OUT:
        return gym.build(name, options)
    if own.is_own(name):
        return own.make_own(name, options)
    raise TaskError(_unknown(name))


def _unknown(name: str) -> str:
    """One line on a task that does not exist: the nearest, not the hundred there are."""
    known = {full.removeprefix(gym.PREFIX): full for full in reversed(task_names())}  # built-in ones last
    near = nearest(name.removeprefix(gym.PREFIX), known)
    hint = did_you_mean(known[one] for one in near)
    return f"unknown task {shown(name)}{hint} (`neuromas tasks` lists what there is; module:Name is your own)"
