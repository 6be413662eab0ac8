"""Which problems are held out, and what a summary says of the network that answers them. Light to import."""

from __future__ import annotations

from typing import Any

from neuromas.core.errors import TaskError
from neuromas.core.task import Problem, Split, Task
from neuromas.system.network import Network


def first_problems(task: Task, split: Split, count: int) -> list[Problem]:
    """The first ``count`` problems of a split. Raises TaskError if there are none."""
    size = task.size(split)
    problems = [task.problem(split, i) for i in range(count if size is None else min(count, size))]
    if not problems:
        raise TaskError(f"task {task.name!r} has no {split} problems")
    return problems


def about_network(network: Network) -> dict[str, Any]:
    """What a summary says of the network that answered: nodes, adapters, whose prompts if a user's own."""
    mark = network.template.mark
    size = {"nodes": len(network.topology.nodes), "adapters": len(set(network.assignment))}
    return size | ({"prompts": mark} if mark else {})
