"""Whether all the problems a run needs are there, and can be prompted, before it starts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from neuromas.config import Config, as_written
from neuromas.core.errors import ConfigError, TaskError
from neuromas.core.task import Split
from neuromas.growth.stages import advance, stage_config
from neuromas.growth.transfer import rows_after
from neuromas.system.assemble import (
    Assembly,
    check_prompts,
    check_task,
    configured_task,
    equipped,
    first_view,
)
from neuromas.system.fitting import check_stage_parts
from neuromas.system.network import Network, check_only
from neuromas.system.prompting import check_shown, shown_examples
from neuromas.tasks.stream import training_problems
from neuromas.topology.graph import Topology
from neuromas.training.algorithms.build import make_algorithm


def check_data(assembly: Assembly, plan: Config, goals: Sequence[Topology], start: int = 0) -> None:
    """Problems for training, validation and test exist and can be prompted, in every stage from ``start`` on.

    ``goals`` are the graphs of the plan's stages. Better now than after an hour. Raises NeuromasError.
    """
    can, name = assembly.network.engine.capabilities, plan.engine.name
    trains = any(steps for _, steps in plan.shapes)
    if trains and not can.adapters:
        raise ConfigError(
            f"engine.name = {name!r} writes with a model of its own, which nothing here trains: such a "
            "network can be asked and evaluated (neuromas evaluate CONFIG, or train.steps = 0)"
        )
    if trains and not can.logprobs:
        raise ConfigError(
            f"engine.name = {name!r} gives no log-probabilities, without which nothing is "
            "learned: such a network can be asked and evaluated (train.steps = 0)"
        )
    _check_learners(assembly.network, plan, goals, start)
    if not (plan.stages and plan.growth.parent):  # such a parent need not fit what its child is to learn
        _check_splits(assembly, grows=len(goals) > 1 or bool(plan.growth.parent))
        _check_prompts(assembly, [assembly.network])
    for index, goal in enumerate(goals[start:], start=start):
        config = stage_config(plan, index)
        same = config.task == assembly.config.task
        task = assembly.task if same else configured_task(config)
        network = replace(equipped(assembly.network, config, task), topology=goal)
        taught = config.lift.taught if config.lift.view else 0.0
        _check_algorithm(plan, index, goal, taught)
        shown = shown_examples(config, task, 0) if config.lift.view else ()
        views = [network, *([first_view(network, config, shown)] if config.lift.view else [])]
        if config.network.examples:
            check_shown(
                network.template, [one.topology for one in views if one.examples], config.network.examples
            )
        here = replace(assembly, config=config, task=task)
        _check_splits(here, grows=len(goals) > 1)
        check_stage_parts(plan, index, goal, task)
        _check_prompts(here, views)


def _check_algorithm(plan: Config, index: int, goal: Topology, taught: float) -> None:
    """The training algorithm can train the graph of a stage (from 0). Raises ConfigError."""
    train = stage_config(plan, index).train
    try:
        make_algorithm(train).check(train, goal, taught)
    except ConfigError as error:
        raise ConfigError(as_written(plan, index, str(error))) from None


def _check_learners(network: Network, plan: Config, goals: Sequence[Topology], start: int) -> None:
    """What ``train.only`` wants of each stage can be had, with the adapters that nodes will share by then."""
    configs = [stage_config(plan, index) for index in range(len(goals))]
    if not any(config.train.only for config in configs):
        return
    here, rows = goals[start - 1] if start else network.topology, network.assignment
    assigned: list[tuple[int, ...] | None] = [None] * start  # of stages that were asked before
    for index in range(start, len(goals)):
        if index or plan.growth.parent:
            change = advance(here, goals[index], configs[index])
            here, rows = change.goal, rows_after(here, rows, change, configs[index])
        assigned.append(rows)
    for only in dict.fromkeys(config.train.only for config in configs):
        those = [index for index, config in enumerate(configs) if config.train.only == only]
        stages = [(goals[index], configs[index].network.share) for index in those]
        check_only(stages, only, [assigned[index] for index in those])


def _check_splits(assembly: Assembly, grows: bool) -> None:
    """One stage has the problems it needs."""
    config, task = assembly.config, assembly.task
    wanted: list[tuple[Split, int]] = [("train", config.train.problems), ("test", config.evaluate.test)]
    if config.evaluate.every or grows:  # growth says what it changed
        wanted.append(("validation", config.evaluate.validation))
    for split, count in wanted:
        size = task.size(split)
        if size == 0:
            why = getattr(task, "untrained", "") if split == "train" else ""
            raise TaskError(why or f"task {task.name!r} has no {split} problems")
        task.problem(split, count - 1 if size is None else min(count, size) - 1)


def _check_prompts(assembly: Assembly, networks: Sequence[Network]) -> None:
    """The problems of one stage, through these networks."""
    config, task = assembly.config, assembly.task
    problems = training_problems(task, config.seed, 0, config.train.problems)
    for network in networks:
        check_task(network.topology, task)
        check_prompts(network, task, problems)
