"""Which stages are tested on the same questions: a stage may have a task of its own, a deeper one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from neuromas.config import Config, at_stage
from neuromas.tasks import make_task

if TYPE_CHECKING:
    from neuromas.experiment.plan import Plan

_DRAWN = 3  # test problems by which questions are told apart
_Options = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Level:
    """The questions of some stages: ``depth = 2``, and the depth; no name where all have the same."""

    name: str = ""
    depth: int | None = None


def stage_configs(config: Config) -> list[Config]:
    """The ordinary configuration of every stage of a run."""
    return [at_stage(config, index) for index in range(len(config.shapes))]


def levels(plan: Plan, label: str) -> dict[tuple[str, int], Level]:
    """The level of every arm and stage of a task; that of an arm made of another is its network's.

    Levels are told apart by the first test problems, and named by the options that all of a level share
    and not all levels have.
    """
    here = [arm for arm in plan.arms if plan.trains(arm, label)]
    trained = [arm for arm in here if not arm.of]
    stages = {
        (arm.name, number): config
        for arm in trained
        for number, config in enumerate(stage_configs(plan.config(arm, label, plan.seeds[0])), start=1)
    }
    tasks = {place: (config.task.name, dict(config.task.options)) for place, config in stages.items()}
    groups: dict[object, list[tuple[str, int]]] = {}
    several = {repr(asked): asked for asked in tasks.values()}
    drawn = {key: _first(*asked) if len(several) > 1 else () for key, asked in several.items()}
    for place, asked in tasks.items():
        key = repr(asked)
        groups.setdefault(drawn[key], []).append(place)
    shared = [
        _shared([{"task": tasks[place][0], **tasks[place][1]} for place in group])
        for group in groups.values()
    ]
    everywhere = _shared(shared)
    found: dict[tuple[str, int], Level] = {}
    depths = [one.get("depth") for one in shared]
    told_by_depth = None not in depths and len(set(depths)) == len(depths)
    for number, (group, options) in enumerate(zip(groups.values(), shared, strict=True), start=1):
        own = ", ".join(f"{key} = {value}" for key, value in options.items() if key not in everywhere)
        depth = options.get("depth")
        own = f"depth = {depth}" if told_by_depth else own
        name = "" if len(groups) == 1 else own or f"questions {number}"
        found |= dict.fromkeys(group, Level(name, depth if type(depth) is int else None))
    for arm in here:
        if arm.of:
            found[arm.name, 1] = found[plan.point(arm.of)]
    return found


def _first(name: str, options: _Options) -> object:
    """The first test problems of a task: what they ask and what is right."""
    task = make_task(name, options)
    size = task.size("test")
    problems = [task.problem("test", i) for i in range(_DRAWN if size is None else min(size, _DRAWN))]
    return tuple((problem.question, problem.answer) for problem in problems)


def _shared(several: Sequence[_Options]) -> dict[str, Any]:
    """What all of these say."""
    return {key: value for key, value in several[0].items() if all(one.get(key) == value for one in several)}
