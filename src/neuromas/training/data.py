"""Whether all the problems a run needs are there, and can be prompted, before it starts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from neuromas.core.errors import ConfigError, TaskError
from neuromas.core.task import Split
from neuromas.system.assemble import Assembly, check_prompts, check_task
from neuromas.tasks.stream import training_problems
from neuromas.topology.graph import Topology


def check_data(assembly: Assembly, goals: Sequence[Topology]) -> None:
    """Problems for training, validation and test exist and can be prompted, in every stage.

    Better now than after an hour of training. Raises NeuromasError.
    """
    config, task = assembly.config, assembly.task
    if config.train.steps and not assembly.network.engine.capabilities.logprobs:
        raise ConfigError(
            f"engine.name = {config.engine.name!r} gives no log-probabilities, without which nothing is "
            "learned: such a network can be asked and evaluated (train.steps = 0)"
        )
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
