"""Whether all the problems a run needs are there, and can be prompted, before it starts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from neuromas.config import Config
from neuromas.core.errors import ConfigError, TaskError
from neuromas.core.task import Split
from neuromas.growth.stages import stage_config
from neuromas.system.assemble import Assembly, check_prompts, check_task, configured_task, equipped
from neuromas.tasks.stream import training_problems
from neuromas.topology.graph import Topology
from neuromas.topology.views import under


def check_data(assembly: Assembly, plan: Config, goals: Sequence[Topology], start: int = 0) -> None:
    """Problems for training, validation and test exist and can be prompted, in every stage from ``start`` on.

    ``goals`` are the graphs of the plan's stages. Better now than after an hour of training. Raises NeuromasError.
    """
    if plan.train.steps and not assembly.network.engine.capabilities.logprobs:
        raise ConfigError(
            f"engine.name = {plan.engine.name!r} gives no log-probabilities, without which nothing is "
            "learned: such a network can be asked and evaluated (train.steps = 0)"
        )
    _check_problems(assembly, [assembly.network.topology], grows=len(goals) > 1 or bool(plan.growth.parent))
    for index, goal in enumerate(goals[start:], start=start):
        config = stage_config(plan, index)
        same = config.task == assembly.config.task
        task = assembly.task if same else configured_task(config)
        modes = config.lift.modes
        stage = replace(assembly, config=config, task=task, network=equipped(assembly.network, config, task))
        _check_problems(stage, [goal, *([under(goal, modes[0])] if modes else [])], grows=len(goals) > 1)


def _check_problems(assembly: Assembly, topologies: Sequence[Topology], grows: bool) -> None:
    """The problems of one stage, through networks of these topologies."""
    config, task = assembly.config, assembly.task
    wanted: list[tuple[Split, int]] = [("train", config.train.problems), ("test", config.evaluate.test)]
    if config.evaluate.every or grows:  # growth says what it changed
        wanted.append(("validation", config.evaluate.validation))
    for split, count in wanted:
        size = task.size(split)
        if size == 0:
            raise TaskError(f"task {task.name!r} has no {split} problems")
        task.problem(split, count - 1 if size is None else min(count, size) - 1)
    problems = training_problems(task, config.seed, 0, config.train.problems)
    for topology in topologies:
        check_task(topology, task)
        check_prompts(replace(assembly.network, topology=topology), task, problems)
