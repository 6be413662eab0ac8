"""An experiment file: one base configuration, arms that differ from it, and the comparisons wanted.

Everything is checked before anything runs: every arm's configuration, the way from each of its stages
to the next, and that every comparison names stages there are.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationError, model_validator

from neuromas.config import MOST_PASSES, Config, Section, check_plain, make_config, read_toml
from neuromas.core.errors import ConfigError, NeuromasError, TopologyError, cut, shown, unknown
from neuromas.growth.stages import check_stages, settle
from neuromas.learning.credit import make_estimator
from neuromas.system.prompting import choose_template
from neuromas.tasks import make_task

_WORD = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
_SECTIONS = ("model", "engine", "network", "task", "train", "growth", "alarms", "evaluate", "run")
Name = Annotated[str, Field(pattern=_WORD)]


def _section(name: str) -> Any:
    """A section of an arm: keys of a run's configuration that it has in place of the base's."""
    return Field(default_factory=dict, description=f"keys of [{name}] in place of the base's")


class Arm(Section):
    """One way to a network: one to train, as the base and the arm's sections say, or one that votes.

    With ``stages`` it is trained through them. With ``of``, nothing is trained: ``votes`` passes of another
    arm's network are sampled at ``temperature``, and the majority answers.
    """

    name: Name = Field(description="in folders, tables and comparisons")
    stages: tuple[Annotated[tuple[str, int], Field(strict=False)], ...] = Field(
        (), strict=False, description="[shape, steps] of every stage; empty: network.topology, train.steps"
    )
    of: str = Field("", description="ARM or ARM:STAGE whose network votes, instead of training one")
    votes: int = Field(1, ge=1, le=1000, description="passes that vote, with `of`")
    temperature: float = Field(0.7, gt=0, le=10, description="at which these passes are sampled")
    model: dict[str, Any] = _section("model")
    engine: dict[str, Any] = _section("engine")
    network: dict[str, Any] = _section("network")
    task: dict[str, Any] = _section("task")
    train: dict[str, Any] = _section("train")
    growth: dict[str, Any] = _section("growth")
    alarms: dict[str, Any] = _section("alarms")
    evaluate: dict[str, Any] = _section("evaluate")
    run: dict[str, Any] = _section("run")

    @property
    def last(self) -> int:
        """Number of its last stage, from 1."""
        return max(1, len(self.stages))

    @model_validator(mode="after")
    def _possible(self) -> Arm:
        if self.stages and self.of:
            raise ValueError(f"arm {self.name!r} has stages to train and is made of another arm; choose one")
        for section, key, why in (
            ("growth", "stages", "write stages beside the arm's name"),
            ("run", "directory", "runs lie in the experiment's folder"),
        ):
            if key in getattr(self, section):
                raise ValueError(f"arm {self.name!r}: {section}.{key} has no effect: {why}")
        if self.of:
            given = set(_SECTIONS) & self.model_fields_set
            if given or "votes" not in self.model_fields_set:
                what = f"section {sorted(given)[0]!r} has no effect" if given else "say how many votes"
                raise ValueError(f"arm {self.name!r} is made of {self.of!r}: {what}")
        elif {"votes", "temperature"} & self.model_fields_set:
            raise ValueError(f"arm {self.name!r}: votes and temperature are for arms made of another one")
        return self


class TaskPlan(Section):
    """A task of the experiment; ``label`` names it in folders and tables."""

    name: str = Field(description="see `neuromas tasks`")
    options: dict[str, Any] = Field(
        default_factory=dict, description="those of the task, see `neuromas tasks NAME`"
    )
    label: str = Field("", description="in folders and tables; empty: the task's name")


class Compare(Section):
    """Two networks as ``ARM`` or ``ARM:STAGE``; the difference is second minus first."""

    first: str = Field(description="ARM, or ARM:STAGE for the network with which a stage ended")
    second: str = Field(description="the same")
    why: str = Field("", description="printed beside the result")


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

    @model_validator(mode="after")
    def _consistent(self) -> Plan:
        for what, found in (("seeds", self.seeds), ("arms", [arm.name for arm in self.arms])):
            _distinct(what, found)
        if "seed" in self.base:
            raise ValueError("base.seed has no effect: an experiment has seeds")
        growth = self.base.get("growth", {})
        if isinstance(growth, Mapping) and "stages" in growth:
            raise ValueError("base.growth.stages has no effect: arms have stages of their own")
        if self.tasks and "task" in self.base:
            raise ValueError("base.task has no effect where there are tasks")
        for arm in self.arms:
            if arm.of and self.arm(self.point(arm.of)[0]).of:
                raise ValueError(f"arm {arm.name!r} is made of {arm.of!r}, which trains nothing itself")
        for line in self.compare:
            if self.point(line.first) == self.point(line.second):
                name, stage = self.point(line.first)
                raise ValueError(f"compare: {line.first!r} and {line.second!r} are both {name}:{stage}")
        return self

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

    def labels(self) -> list[str]:
        """Names of the tasks in folders and tables."""
        return [_label(task) for task in self.tasks] or [self._task().replace("/", "-")]

    def config(self, arm: Arm, label: str, seed: int) -> Config:
        """The configuration of one run. Raises ConfigError naming the arm."""
        data: dict[str, Any] = {**self.base, "seed": seed}
        for task in self.tasks:
            if _label(task) == label:
                data["task"] = {"name": task.name, "options": task.options}
        for section in _SECTIONS:
            data[section] = _merged(data.get(section, {}), getattr(arm, section))
        if "options" in arm.task and "name" not in arm.task:  # some of the same task's
            data["task"]["options"] = _merged(self._options(label), arm.task["options"])
        if arm.stages and isinstance(data["growth"], dict):
            data["growth"]["stages"] = [list(stage) for stage in arm.stages]
        kept = self._checkpoints(arm)
        if kept:
            data["run"] = _merged(data.get("run", {}), {"keep": kept})
        try:
            return settle(make_config(data))
        except (ConfigError, TopologyError) as error:
            raise type(error)(f"arm {arm.name!r}: {error}") from None

    def _checkpoints(self, arm: Arm) -> int:
        """How many checkpoints to keep so that the network an earlier stage ended with is still there."""
        points = [self.point(other.of) for other in self.arms if other.of]
        wanted = any(name == arm.name and stage < arm.last for name, stage in points)
        return sum(steps for _, steps in arm.stages) + 1 if wanted else 0

    def _options(self, label: str) -> Any:
        """Options of a task as the experiment gives them to all arms."""
        for task in self.tasks:
            if _label(task) == label:
                return task.options
        task = self.base.get("task", {})
        return task.get("options", {}) if isinstance(task, Mapping) else {}

    def _task(self) -> str:
        """Name of the base's task."""
        task = self.base.get("task", {})
        return str(task.get("name", "max")) if isinstance(task, Mapping) else "max"


def load_plan(path: Path) -> Plan:
    """Read and rehearse an experiment. Raises NeuromasError with one line."""
    return make_plan(read_toml(path, "experiment"))


def make_plan(data: Mapping[str, Any]) -> Plan:
    """A rehearsed Plan from plain data. Raises NeuromasError with one line on the first problem."""
    try:
        plan = Plan.model_validate(dict(data))
    except ValidationError as error:
        raise ConfigError(_explain(error)) from None
    check_plain(data)
    labels = plan.labels()
    for label in labels:
        if not re.fullmatch(_WORD, label):
            raise ConfigError(f"task label {label!r} is not a folder's name; give the task a plain label")
    if len(set(labels)) < len(labels):
        raise ConfigError(f"two tasks are labelled {_twice(labels)!r}; give them labels of their own")
    for label in labels:
        asked = {arm.name: _rehearse(plan, arm, label) for arm in plan.arms if not arm.of}
        _same_questions(asked, label)
    for arm in plan.arms:
        _check_votes(plan, arm, labels[0])
    return plan


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


def _rehearse(plan: Plan, arm: Arm, label: str) -> tuple[str, str] | None:
    """The arm's configuration, task, estimator, stages and prompts; first test question and answer.

    None where the arm has the task that all have: nothing needs to be drawn.
    """
    config = plan.config(arm, label, plan.seeds[0])
    task = make_task(config.task.name, config.task.options)
    try:
        make_estimator(config.train)
        choose_template(config, check_stages(config, None))
    except NeuromasError as error:
        raise type(error)(f"arm {arm.name!r}: {error}") from None
    if not any(one.task for one in plan.arms):
        return None
    first = task.problem("test", 0)
    return first.question, first.answer


def _same_questions(asked: Mapping[str, tuple[str, str] | None], label: str) -> None:
    """Raises ConfigError where arms would be tested on different questions under one label."""
    kinds: dict[tuple[str, str] | None, str] = {}
    for arm, first in asked.items():
        kinds.setdefault(first, arm)
    if len(kinds) > 1:
        one, other = list(kinds.values())[:2]
        raise ConfigError(
            f"arms {one!r} and {other!r} ask different test questions under {label!r}: an arm's task may cut "
            "or word the same questions in another way; for other questions list [[tasks]]"
        )


def _merged(section: Any, more: Mapping[str, Any]) -> Any:
    """A section with other values; one that is no table is left for the configuration to refuse."""
    return {**section, **more} if isinstance(section, Mapping) else section


def _label(task: TaskPlan) -> str:
    return task.label or task.name.replace("/", "-")


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
    key = "".join(f"[{part + 1}]" if isinstance(part, int) else f".{part}" for part in parts)[1:]
    if first["type"] == "extra_forbidden":
        model = _VALID.get(str(parts[0]), Plan) if len(parts) > 1 else Plan
        return unknown("key", key, model.model_fields)
    if first["type"] == "missing":
        return f"{key} is missing"
    if first["type"] == "string_pattern_mismatch":
        return f"{cut(key, 200)} = {shown(first['input'])}: should be letters, digits, '.', '_' and '-'"
    said = str(first["msg"])[:1].lower() + str(first["msg"])[1:]
    return f"{cut(key, 200)} = {shown(first['input'])}: {said.removeprefix('input ')}"
