"""An experiment file: one base configuration, arms that differ from it, and the comparisons wanted.

Everything is checked before anything runs: every arm's configuration, the way from each of its stages
to the next, and that every comparison names stages there are.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, PrivateAttr, ValidationError, model_validator

from neuromas.config import MOST_PASSES, Config, Section, check_plain, make_config, read_toml
from neuromas.core.errors import ConfigError, NeuromasError, TopologyError, cut, shown, unknown
from neuromas.experiment.arms import FORMS, SECTIONS, WORD, Arm, Compare, Name, TaskPlan
from neuromas.experiment.budgets import Rehearsed, check_budgets
from neuromas.experiment.fitting import Source, Tasks, check_arm
from neuromas.experiment.levels import levels
from neuromas.growth.stages import rehearse, settle
from neuromas.learning.credit import make_estimator
from neuromas.system.prompting import choose_template
from neuromas.topology.graph import Topology

_MANY = 10_000  # checkpoints of a stage that has the base's steps


@dataclass(frozen=True, slots=True)
class Choice:
    """Part of an experiment: names of arms, labels of tasks, seeds."""

    arms: frozenset[str]
    tasks: frozenset[str]
    seeds: frozenset[int]

    def has(self, arm: str, task: str, seed: int) -> bool:
        """Whether a cell is in this part."""
        return arm in self.arms and task in self.tasks and seed in self.seeds


class Plan(Section):
    """The whole experiment."""

    name: Name = Field(description="of the folder below runs/, and in the drawing")
    seeds: tuple[Annotated[int, Field(ge=0)], ...] = Field(
        (0, 1, 2), min_length=1, strict=False, description="every arm is trained once with each"
    )
    tasks: tuple[TaskPlan, ...] = Field(
        (), strict=False, description="every arm is trained on each; empty: the base's task"
    )
    base: dict[str, Any] = Field(
        default_factory=dict, description="the configuration of all runs, but for seed and growth.stages"
    )
    arms: tuple[Arm, ...] = Field(min_length=1, strict=False, description="what is compared")
    compare: tuple[Compare, ...] = Field(
        (), strict=False, description="pairs to test, Holm-corrected together"
    )

    # config()'s, kept with what they were made of, by identity: a copy with another base shares this table
    _made: dict[tuple[str, str, int, str], tuple[tuple[object, ...], Config]] = PrivateAttr(
        default_factory=dict
    )

    @model_validator(mode="after")
    def _consistent(self) -> Plan:
        for what, found in (("seeds", self.seeds), ("arms", [arm.name for arm in self.arms])):
            _distinct(what, found)
        if "seed" in self.base:
            raise ValueError("base.seed has no effect: an experiment has seeds")
        growth = self.base.get("growth", {})
        for key, held in (("growth.stages", growth), ("growth.parent", growth), ("stages", self.base)):
            if isinstance(held, Mapping) and key.rpartition(".")[2] in held:
                raise ValueError(f"base.{key} has no effect: arms have stages and a start of their own")
        if self.tasks and "task" in self.base:
            raise ValueError("base.task has no effect where there are tasks")
        for arm in self.arms:
            if (leans := arm.of or arm.start) and self.arm(self.point(leans)[0]).of:
                how = "is made of" if arm.of else "starts with"
                raise ValueError(f"arm {arm.name!r} {how} {leans!r}, which trains nothing itself")
        for arm in self.arms:
            self._ancestors(arm)
            for label in arm.tasks:
                if label not in self.labels():
                    raise ValueError(f"arm {arm.name!r}: {unknown('task', label, self.labels())}")
        for line in self.compare:
            if self.point(line.first) == self.point(line.second):
                name, stage = self.point(line.first)
                raise ValueError(f"compare: {line.first!r} and {line.second!r} are both {name}:{stage}")
        return self

    @property
    def asked(self) -> dict[str, str]:
        """The arms that only ask the network of another, with that arm."""
        return {arm.name: self.point(arm.of)[0] for arm in self.arms if arm.of}

    def arm(self, name: str) -> Arm:
        """An arm by name. Raises ValueError naming those there are."""
        for arm in self.arms:
            if arm.name == name:
                return arm
        raise ValueError(unknown("arm", name, [arm.name for arm in self.arms]))

    def point(self, text: str) -> tuple[str, int]:
        """Arm and stage (from 1; the last where none is named) of ``ARM:STAGE``. Raises ValueError."""
        name, given, stage = text.partition(":")
        last = self.arm(name).last
        if given and (not re.fullmatch(r"[1-9][0-9]{0,5}", stage) or int(stage) > last):
            raise ValueError(unknown(f"stage of arm {name!r}", stage, [str(k) for k in range(1, last + 1)]))
        return name, int(stage) if given else last

    def source(self, arm: Arm) -> tuple[Arm, int] | None:
        """Arm and stage whose network this one is made of or starts with; None if there is none."""
        if not (leans := arm.of or arm.start):
            return None
        name, stage = self.point(leans)
        return self.arm(name), stage

    def _ancestors(self, arm: Arm) -> list[Arm]:
        """The arms it needs, nearest first. Raises ValueError where they need it in turn."""
        found = [arm]
        while source := self.source(found[-1]):
            if source[0] in found:
                way = " -> ".join(one.name for one in [*found, source[0]])
                raise ValueError(f"arm {arm.name!r} can never start: each starts with the next of {way}")
            found.append(source[0])
        return found[1:]

    def chosen(self, arms: Sequence[str], tasks: Sequence[str], seeds: Sequence[int]) -> Choice:
        """The cells of these arms, tasks and seeds (none: all) with all that they need.

        Raises ConfigError with one line for what the experiment has not.
        """
        for what, asked, there in (
            ("arm", arms, [arm.name for arm in self.arms]),
            ("task", tasks, self.labels()),
            ("seed", list(map(str, seeds)), list(map(str, self.seeds))),
        ):
            for one in asked:
                if one not in there:
                    raise ConfigError(unknown(f"{what} of the experiment", one, there))
        wanted = {one.name for name in arms for one in (self.arm(name), *self._ancestors(self.arm(name)))}
        return Choice(
            frozenset(wanted or {arm.name for arm in self.arms}),
            frozenset(tasks or self.labels()),
            frozenset(seeds or self.seeds),
        )

    def labels(self) -> list[str]:
        """Names of the tasks in folders and tables."""
        return [task.folder for task in self.tasks] or [self._task().replace("/", "-")]

    def config(self, arm: Arm, label: str, seed: int, parent: str = "") -> Config:
        """The configuration of one run, which starts with ``parent``. Raises ConfigError naming the arm."""
        asked, of = (arm.name, label, seed, parent), (arm, self.arms, self.base, self.tasks)
        found = self._made.get(asked)
        if found is None or any(one is not other for one, other in zip(found[0], of, strict=True)):
            found = self._made[asked] = (of, self._config(arm, label, seed, parent))
        return found[1]

    def _config(self, arm: Arm, label: str, seed: int, parent: str) -> Config:
        data: dict[str, Any] = {**self.base, "seed": seed}
        for task in self.tasks:
            if task.folder == label:
                data["task"] = {"name": task.name, "options": task.options}
        for section in SECTIONS:
            data[section] = _merged(data.get(section, {}), getattr(arm, section))
        if "options" in arm.task and "name" not in arm.task:  # some of the same task's
            data["task"]["options"] = _merged(self._options(label), arm.task["options"])
        pairs = [list(stage) for stage in arm.stages if isinstance(stage, tuple)]
        if len(pairs) < len(arm.stages):
            data["stages"] = [self._deep(_table(stage), label) for stage in arm.stages]
        elif pairs and isinstance(data["growth"], dict):
            data["growth"]["stages"] = pairs
        if arm.start and isinstance(data["growth"], dict):
            data["growth"]["parent"] = parent or arm.start
        kept = self._checkpoints(arm)
        if kept:
            data["run"] = _merged(data.get("run", {}), {"keep": kept})
        try:
            return settle(make_config(data))
        except (ConfigError, TopologyError) as error:
            raise type(error)(f"arm {arm.name!r}: {error}") from None

    def trains(self, arm: Arm, label: str) -> bool:
        """Whether an arm is there for a task: not where it, or an arm it needs, names others alone."""
        return all(not one.tasks or label in one.tasks for one in (arm, *self._ancestors(arm)))

    def _deep(self, stage: dict[str, Any], label: str) -> dict[str, Any]:
        """A stage with the options that the task has at the depth the stage names."""
        asked = stage.get("task")
        if not isinstance(asked, Mapping) or "name" in asked:
            return stage
        at = next((task.by_depth for task in self.tasks if task.folder == label), {})
        return {**stage, "task": {**at.get(str(asked.get("depth")), {}), **asked}}

    def _checkpoints(self, arm: Arm) -> int:
        """How many checkpoints to keep so that the network an earlier stage ended with is still there."""
        sources = [source for other in self.arms if (source := self.source(other))]
        wanted = any(one.name == arm.name and stage < arm.last for one, stage in sources)
        steps = [_table(stage).get("steps") for stage in arm.stages]
        return sum(count if type(count) is int else _MANY for count in steps) + 1 if wanted else 0

    def _options(self, label: str) -> Any:
        """Options of a task as the experiment gives them to all arms."""
        for task in self.tasks:
            if task.folder == label:
                return task.options
        task = self.base.get("task", {})
        return task.get("options", {}) if isinstance(task, Mapping) else {}

    def _task(self) -> str:
        """Name of the base's task."""
        task = self.base.get("task", {})
        return str(task.get("name", "max")) if isinstance(task, Mapping) else "max"


def load_plan(path: Path, only: Sequence[str] = ()) -> Plan:
    """Read an experiment and rehearse it. Raises NeuromasError with one line."""
    return make_plan(read_toml(path, "experiment"), only)


def make_plan(data: Mapping[str, Any], only: Sequence[str] = ()) -> Plan:
    """A rehearsed Plan from plain data. Raises NeuromasError with one line on the first problem."""
    plan = read_plan(data)
    rehearse_plan(plan, only)
    return plan


def read_plan(data: Mapping[str, Any]) -> Plan:
    """A Plan that was not rehearsed: its names can be asked for at once. Raises ConfigError."""
    try:
        plan = Plan.model_validate(dict(data))
    except ValidationError as error:
        raise ConfigError(_explain(error)) from None
    check_plain(data)
    labels = plan.labels()
    for label in labels:
        if not re.fullmatch(WORD, label):
            raise ConfigError(f"task label {label!r} is not a folder's name; give the task a plain label")
    if len(set(labels)) < len(labels):
        raise ConfigError(f"two tasks are labelled {_twice(labels)!r}; give them labels of their own")
    return plan


def rehearse_plan(plan: Plan, only: Sequence[str] = ()) -> None:
    """Go through all arms without training. Raises NeuromasError with one line on the first problem.

    Of tasks, those labelled ``only`` are rehearsed (none: all), so that one needs no data of the others.
    """
    labels = plan.labels()
    for label in labels:
        if label in only or not only:
            _rehearse_all(plan, label)
    for arm in plan.arms:
        _check_votes(plan, arm, labels[0])


_Asked = tuple[str, str] | None


def _rehearse_all(plan: Plan, label: str) -> None:
    """All arms of a task, those that others start with before them; then what is compared."""
    asked: dict[str, _Asked] = {}
    tasks = Tasks()
    ends: dict[str, list[Topology]] = {}
    trained: dict[str, Rehearsed] = {}
    waiting = [arm for arm in plan.arms if not arm.of and plan.trains(arm, label)]
    while waiting:
        arm = next(one for one in waiting if not one.start or plan.point(one.start)[0] in ends)
        waiting.remove(arm)
        source = _source(plan, arm, label, ends)
        trained[arm.name], asked[arm.name], ends[arm.name] = _rehearse(plan, arm, label, source, tasks)
    _same_questions(asked, label)
    found = levels(plan, label)
    for line in plan.compare:
        first, second = plan.point(line.first), plan.point(line.second)
        if first in found and second in found and found[first] != found[second]:
            raise ConfigError(
                f"compare: {line.first!r} is tested on {found[first].name!r} and {line.second!r} on "
                f"{found[second].name!r} of {label!r}"
            )
    check_budgets(plan, label, trained)


def _source(plan: Plan, arm: Arm, label: str, ends: Mapping[str, list[Topology]]) -> Source | None:
    """The network an arm starts with; ``ends`` has the graph with which each stage of an arm ends."""
    found = plan.source(arm)
    if found is None:
        return None
    first, stage = found
    config = plan.config(first, label, plan.seeds[0])
    return Source(f"{first.name}:{stage}", config, ends[first.name][stage - 1])


def _check_votes(plan: Plan, arm: Arm, label: str) -> None:
    """Passes of an arm that votes are bounded. Raises ConfigError."""
    if not arm.of:
        return
    items = plan.config(plan.arm(plan.point(arm.of)[0]), label, plan.seeds[0]).evaluate.test
    if items * arm.votes > MOST_PASSES:
        raise ConfigError(
            f"arm {arm.name!r}: votes = {arm.votes} on evaluate.test = {items} are "
            f"{items * arm.votes} passes, at most {MOST_PASSES}"
        )


def _rehearse(
    plan: Plan, arm: Arm, label: str, source: Source | None, tasks: Tasks
) -> tuple[Rehearsed, _Asked, list[Topology]]:
    """The arm's configuration, task, estimator, stages and prompts; first test question and answer.

    None of those where the arm has the task that all have: nothing needs to be drawn. Last, the graph with
    which each stage ends.
    """
    config = plan.config(arm, label, plan.seeds[0])
    task = tasks.of(config)
    try:
        make_estimator(config.train)
        stages = rehearse(config, source.topology if source else None)
        goals = [goal for goal, _ in stages]
        choose_template(config, goals)
    except NeuromasError as error:
        raise type(error)(f"arm {arm.name!r}: {error}") from None
    check_arm(arm, config, goals, tasks, source)
    ends = [end for _, end in stages]
    if not any(one.task for one in plan.arms):
        return Rehearsed(goals, task), None, ends
    first = task.problem("test", 0)
    return Rehearsed(goals, task), (first.question, first.answer), ends


def _same_questions(asked: Mapping[str, _Asked], label: str) -> None:
    """Raises ConfigError where arms would be tested on different questions under one label."""
    kinds: dict[_Asked, str] = {}
    for arm, first in asked.items():
        kinds.setdefault(first, arm)
    if len(kinds) > 1:
        one, other = list(kinds.values())[:2]
        raise ConfigError(
            f"arms {one!r} and {other!r} ask different test questions under {label!r}: an arm's task may cut "
            "or word the same questions in another way; for other questions list [[tasks]]"
        )


def _table(stage: tuple[str, int] | dict[str, Any]) -> dict[str, Any]:
    """A stage in its long form."""
    return {"shape": stage[0], "steps": stage[1]} if isinstance(stage, tuple) else dict(stage)


def _merged(section: Any, more: Mapping[str, Any]) -> Any:
    """A section with other values; one that is no table is left for the configuration to refuse."""
    return {**section, **more} if isinstance(section, Mapping) else section


def _distinct(what: str, found: Sequence[object]) -> None:
    if len(set(found)) < len(found):
        raise ValueError(f"{what}: {_twice(found)!r} is there twice")


def _twice(found: Sequence[object]) -> object:
    """The value that comes most often."""
    return Counter(found).most_common(1)[0][0]


_VALID: dict[str, type[Section]] = {"arms": Arm, "tasks": TaskPlan, "compare": Compare}


def _explain(error: ValidationError) -> str:
    """The first problem pydantic found, in one line of our own; places in lists count from 1."""
    first = error.errors()[0]
    if first["type"] == "value_error":
        return str(first["msg"]).removeprefix("Value error, ")
    parts = first["loc"]
    places = [part for i, part in enumerate(parts) if part not in FORMS or type(parts[i - 1]) is not int]
    key = "".join(f"[{part + 1}]" if isinstance(part, int) else f".{part}" for part in places)[1:]
    if first["type"] == "extra_forbidden":
        model = _VALID.get(str(parts[0]), Plan) if len(parts) > 1 else Plan
        return unknown("key", key, model.model_fields)
    if first["type"] == "missing":
        return f"{key} is missing"
    if first["type"] == "string_pattern_mismatch":
        return f"{cut(key, 200)} = {shown(first['input'])}: should be letters, digits, '.', '_' and '-'"
    said = str(first["msg"])[:1].lower() + str(first["msg"])[1:]
    return f"{cut(key, 200)} = {shown(first['input'])}: {said.removeprefix('input ')}"
