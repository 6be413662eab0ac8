"""Tasks: families of problems with gold answers, made by name.

``make_task("max", {"n": 4})`` gives a task; ``describe_tasks()`` lists what there is. Importing this
package loads no heavy library: every family imports what it needs when it is made.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from neuromas.errors import TaskError, unknown
from neuromas.task import Task
from neuromas.tasks.options import Family, Option, read_options
from neuromas.tasks.registry import FAMILIES

__all__ = ["Family", "Option", "make_task", "task_names"]


def task_names() -> tuple[str, ...]:
    """The names that ``make_task`` accepts."""
    return tuple(FAMILIES)


def make_task(name: str, options: Mapping[str, Any]) -> Task:
    """The task of that name with these options; options not given keep their defaults.

    Raises:
        TaskError: for an unknown name or option, a wrong type or an impossible value (one line).
    """
    if name not in FAMILIES:
        raise TaskError(unknown("task", name, task_names()))
    family = FAMILIES[name]
    return family.build(read_options(name, family.options, options), options)
