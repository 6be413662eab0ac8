"""Which problems a run trains on, and whether all it needs is there before it starts."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

from neuromas.assemble import Assembly, check_prompts, check_task
from neuromas.errors import TaskError
from neuromas.seeds import derive
from neuromas.task import Problem, Split, Task
from neuromas.topology import Topology

_PLACES = 2**31  # of an endless split; any generator takes such an index


def check_data(assembly: Assembly, goals: Sequence[Topology]) -> None:
    """Problems for training, validation and test exist and can be prompted, in every stage.

    Better now than after an hour of training. Raises NeuromasError.
    """
    config, task = assembly.config, assembly.task
    wanted: list[tuple[Split, int]] = [("train", config.train.problems), ("test", config.evaluate.test)]
    if config.evaluate.every or len(goals) > 1 or config.growth.parent:  # growth says what it changed
        wanted.append(("validation", config.evaluate.validation))
    for split, count in wanted:
        size = task.size(split)
        if size == 0:
            raise TaskError(f"task {task.name!r} has no {split} problems")
        task.problem(split, count - 1 if size is None else min(count, size) - 1)
    problems = training_problems(task, config.seed, 0, config.train.problems)
    for topology in (assembly.network.topology, *goals):
        check_task(topology, task)
        check_prompts(replace(assembly.network, topology=topology), task, problems)


def training_problems(task: Task, seed: int, start: int, count: int) -> list[Problem]:
    """Problems ``start`` to ``start + count`` of the endless training stream of this seed.

    A finite split is passed through once an epoch, each time in an order of its own. Of an endless one every
    seed meets problems of its own, so that runs differ by the data they see as well as by their draws.
    """
    size = task.size("train")
    if size is None:
        places = (derive(seed, "problem", i) % _PLACES for i in range(start, start + count))
        return [task.problem("train", place) for place in places]
    orders: dict[int, list[int]] = {}
    chosen = []
    for i in range(start, start + count):
        epoch, place = divmod(i, size)
        if epoch not in orders:
            orders[epoch] = list(range(size))
            random.Random(derive(seed, "epoch", epoch)).shuffle(orders[epoch])
        chosen.append(task.problem("train", orders[epoch][place]))
    return chosen
