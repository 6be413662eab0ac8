"""Budgets that are known before anything runs, and the comparisons of an experiment held to them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from neuromas.config import Config, at_stage
from neuromas.core.budgets import Budget, unequal
from neuromas.core.errors import ConfigError, NeuromasError, one_line
from neuromas.core.task import Task
from neuromas.experiment.arms import Arm
from neuromas.experiment.size import size_of
from neuromas.tasks import make_task
from neuromas.topology.graph import Topology

if TYPE_CHECKING:
    from neuromas.experiment.plan import Plan
    from neuromas.methods.base import Bench, Method


@dataclass(frozen=True, slots=True)
class Rehearsed:
    """An arm that trains, as it was rehearsed: the graph with which each stage ends, and the run's task."""

    goals: Sequence[Topology]
    task: Task


Arms = Mapping[str, Rehearsed]


@dataclass(frozen=True, slots=True)
class Planned:
    """Budgets of an arm's stage; None where they depend on what happens, or on a model that is not here.

    ``calls`` are those of a question, ``parameters`` trained ones, ``training`` calls of training and search.
    """

    calls: float | None = None
    parameters: float | None = None
    training: float | None = None


def method_of(arm: Arm) -> Method | None:
    """What an arm made of another answers with; None where a network itself does.

    Raises ConfigError in one line for a method or an option that there is not.
    """
    name, options = arm.answers
    if name == "network" and not arm.method:
        return None
    from neuromas.methods.running import make_method

    try:
        return make_method(name, options)
    except ConfigError as error:
        raise ConfigError(f"arm {arm.name!r}: {error}") from None


def check_budgets(plan: Plan, label: str, arms: Arms) -> None:
    """Methods can be made and asked, and comparisons of equal budgets are such where that is known.

    ``arms`` are those that train. Raises ConfigError in one line.
    """
    for arm in plan.arms:
        if arm.of and plan.trains(arm, label):
            _check_calls(plan, arm, label, arms)
    for line in plan.compare:
        sides = [plan.point(side) for side in (line.first, line.second)]
        for name, _ in sides:
            if getattr(method_of(plan.arm(name)), "oracle", False):
                raise ConfigError(
                    f"compare: {name!r} is an oracle bound, gold answers decide what counts in it; "
                    "nothing can be compared with that"
                )
        if not line.equal or not all(plan.trains(plan.arm(name), label) for name, _ in sides):
            continue
        first, second = (planned(plan, label, arms, place) for place in sides)
        for kind in line.equal:
            if said := _differ(kind, first, second):
                raise ConfigError(f"compare: {line.first!r} and {line.second!r} of {label!r}: {said}")


def planned(plan: Plan, label: str, arms: Arms, place: tuple[str, int]) -> Planned:
    """The budgets of an arm and stage as the plan has them."""
    arm = plan.arm(place[0])
    if not arm.of:
        return _trained(plan, label, arms, place)
    network = _trained(plan, label, arms, plan.point(arm.of))
    method = method_of(arm)
    if method is None:
        return network
    bench = _bench(plan, arm, label, arms)
    parameters = method.parameters(replace(bench, parameters=int(network.parameters or 1)))
    searches, charged = method.searches(), parameters > 0
    return Planned(
        None if searches or method.varies() else _calls(arm, method, bench),
        None if charged and network.parameters is None else parameters,
        None if searches else network.training if charged else 0,
    )


def _differ(kind: Budget, first: Planned, second: Planned) -> str:
    """Why two budgets are not equal; empty where they are, or where that is not known yet."""
    one, other = (getattr(side, kind, None) for side in (first, second))  # tokens and FLOPs are measured
    return "" if one is None or other is None else unequal(kind, one, other)


def _trained(plan: Plan, label: str, arms: Arms, place: tuple[str, int]) -> Planned:
    """The budgets of a trained network."""
    name, stage = place
    goal, config = arms[name].goals[stage - 1], plan.config(plan.arm(name), label, plan.seeds[0])
    parameters = None
    if not any(one.growth.tied for one in _lineage(plan, label, place)):
        from neuromas.system.network import assign

        each = size_of(config.model).adapter
        rows = set(assign(goal, at_stage(config, stage - 1).network.share))
        parameters = None if each is None else each * len(rows)
    return Planned(len(goal.nodes), parameters, _paid(plan, label, arms, place))


def _lineage(plan: Plan, label: str, place: tuple[str, int]) -> list[Config]:
    """The configurations of a stage, of those before it, and of those of the networks it started with."""
    arm, config = plan.arm(place[0]), plan.config(plan.arm(place[0]), label, plan.seeds[0])
    here = [at_stage(config, index) for index in range(place[1])]
    return [*(_lineage(plan, label, plan.point(arm.start)) if arm.start else []), *here]


def _paid(plan: Plan, label: str, arms: Arms, place: tuple[str, int]) -> int | None:
    """Calls of training until the end of a stage.

    None where a stage may end early, teaches new nodes, or plays episodes again for its credit or algorithm.
    """
    arm = plan.arm(place[0])
    before = _paid(plan, label, arms, plan.point(arm.start)) if arm.start else 0
    if before is None:
        return None
    config, paid = plan.config(arm, label, plan.seeds[0]), before
    for index, goal in enumerate(arms[arm.name].goals[: place[1]]):
        one, (_, steps) = at_stage(config, index), config.shapes[index]
        early = one.growth.until or one.growth.patience or one.growth.init == "passthrough"
        if early or one.train.credit != "shared" or one.train.algorithm != "reinforce":
            return None
        paid += steps * one.train.batch * one.train.samples * len(goal.nodes)
    return paid


def _bench(plan: Plan, arm: Arm, label: str, arms: Arms) -> Bench:
    """The bench on which an arm's method will answer, with an engine that recites."""
    from neuromas.engines.scripted import ScriptedEngine
    from neuromas.methods.base import Allowance, Bench
    from neuromas.system.network import Network, assign

    name, stage = plan.point(arm.of)
    run = plan.config(plan.arm(name), label, plan.seeds[0])
    config = at_stage(run, stage - 1)
    goal, limits = arms[name].goals[stage - 1], config.network
    network = Network(goal, ScriptedEngine(lambda prompt, adapter: ""), assign(goal, limits.share))
    allowance = Allowance(0, limits.message_tokens, limits.answer_tokens)
    own = config.task != run.task
    task = make_task(config.task.name, config.task.options) if own else arms[name].task
    return Bench(network, task, frozen=len(goal.nodes), parameters=0, allowance=allowance, seed=config.seed)


def _calls(arm: Arm, method: Method, bench: Bench) -> int:
    """Most calls of a question. Raises ConfigError if the method cannot say, or refuses this network."""
    try:
        return method.calls(bench)
    except NeuromasError as error:
        raise ConfigError(f"arm {arm.name!r}: {error}") from None
    except Exception as error:  # foreign code: whatever it raises, it cannot be used
        raise ConfigError(f"arm {arm.name!r}: method {arm.method!r}: {one_line(error)}") from error


def _check_calls(plan: Plan, arm: Arm, label: str, arms: Arms) -> None:
    """The calls of a method are bounded. Raises ConfigError."""
    method = method_of(arm)
    if method is None:
        return
    from neuromas.methods.running import MOST_CALLS

    items = plan.config(plan.arm(plan.point(arm.of)[0]), label, plan.seeds[0]).evaluate.test
    calls = _calls(arm, method, _bench(plan, arm, label, arms))
    if calls * items > MOST_CALLS:
        raise ConfigError(
            f"arm {arm.name!r}: {calls} calls for each of evaluate.test = {items} questions, "
            f"at most {MOST_CALLS} in all"
        )
