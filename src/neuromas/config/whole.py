"""The whole configuration of a run: its sections, its stages, and that they agree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import Field, model_validator

from neuromas.config.lift import LiftConfig
from neuromas.config.sections import (
    AlarmsConfig,
    EngineConfig,
    EvaluateConfig,
    GrowthConfig,
    ModelConfig,
    NetworkConfig,
    RunConfig,
    Section,
    TaskConfig,
    TrainConfig,
)
from neuromas.config.stage import StageConfig, at_stage
from neuromas.core.choices import QUESTION_MODES
from neuromas.core.errors import ConfigError, shown


class Config(Section):
    """The configuration of a whole run: frozen, and checked when it is made."""

    seed: int = Field(0, ge=0, description="of all draws: adapters, problems, samples")
    model: ModelConfig = ModelConfig()
    engine: EngineConfig = EngineConfig()
    network: NetworkConfig = NetworkConfig()
    task: TaskConfig = TaskConfig()
    train: TrainConfig = TrainConfig()
    growth: GrowthConfig = GrowthConfig()
    lift: LiftConfig = LiftConfig()
    alarms: AlarmsConfig = AlarmsConfig()
    evaluate: EvaluateConfig = EvaluateConfig()
    run: RunConfig = RunConfig()
    stages: tuple[StageConfig, ...] = Field(
        (), strict=False, description="one table a stage, or [shape, steps] (see docs/grow.md)"
    )

    @property
    def shapes(self) -> list[tuple[str, int]]:
        """Shape and steps of every stage: those configured, or the one network."""
        listed = [(stage.shape, stage.steps) for stage in self.stages] or list(self.growth.stages)
        return listed or [(self.network.topology, self.train.steps)]

    @model_validator(mode="before")
    @classmethod
    def _staged(cls, data: Any) -> Any:
        """With stages, ``network.topology`` and ``train.steps`` follow from them and need not be given."""
        viewed = _viewed(data)
        key, stages = _stages(viewed)
        if not stages:
            return viewed
        topology = {**viewed.get("network", {}), "topology": stages[0][0]}
        train = {**viewed.get("train", {}), "steps": sum(count for _, count in stages)}
        for section, filled in (("network", topology), ("train", train)):
            for name, value in viewed.get(section, {}).items():
                if filled[name] != value:
                    raise ValueError(
                        f"{section}.{name} = {shown(value)}, but {key} make it {shown(filled[name])}"
                    )
        return {**viewed, "network": topology, "train": train}

    @model_validator(mode="after")
    def _grows(self) -> Config:
        """Every stage is a configuration, and what is asked for on the way can be had."""
        try:
            stages = [at_stage(self, index) for index in range(len(self.stages))]
        except ConfigError as error:
            raise ValueError(str(error)) from None
        if not stages and not self.evaluate.every:
            if self.train.guard == "restore":
                raise ValueError(
                    "train.guard = 'restore' goes back to the best validation: evaluate.every = 0"
                )
            if self.growth.until:
                raise ValueError("growth.until is a validation accuracy, and evaluate.every = 0 makes none")
            if self.lift.view and self.lift.way == "steps":
                raise ValueError(
                    "lift.way = 'steps' waits for validations, and evaluate.every = 0 makes none"
                )
        if self.lift != LiftConfig() and not any(one.lift.view for one in stages or [self]):
            changed = {key: value for key, value in self.lift if value != getattr(LiftConfig(), key)}
            key, value = next(iter(changed.items()))
            raise ValueError(f"lift.{key} = {shown(value)} lifts no view: lift.view is empty")
        if not stages and self.lift.view:
            _check_examples(self)
        return self


def _check_examples(config: Config) -> None:
    """Raises ValueError where a view shows worked examples and there are none, or none of two shows them."""
    count, views = config.network.examples, shown(list(config.lift.view))
    if any(config.lift.examples) and not count:
        raise ValueError(f"lift.view = {views} shows worked examples, and network.examples = 0")
    if count and not any(config.lift.examples):
        raise ValueError(
            f"network.examples = {count}, and lift.view = {views} shows them under neither view; "
            "add '+examples' to one"
        )


def _viewed(data: Any) -> Any:
    """With a lifted view, ``network.question`` is what nodes see in the end and need not be given."""
    lift, network = ({}, {}) if not isinstance(data, Mapping) else (data.get("lift"), data.get("network", {}))
    view = lift.get("view") if isinstance(lift, Mapping) else None
    if not isinstance(view, list | tuple) or len(view) != 2 or not isinstance(network, Mapping):
        return data
    last = str(view[1]).partition("+")[0]
    if last not in QUESTION_MODES:
        return data  # the section says what is wrong with it
    if network.get("question", "auto") not in ("auto", last):
        raise ValueError(
            f"network.question = {shown(network['question'])}, but lift.view ends with {shown(view[1])}"
        )
    return {**data, "network": {**network, "question": last}}


def _stages(data: Any) -> tuple[str, list[tuple[str, int]]]:
    """Key and stages of raw data. Where other sections are malformed, pydantic says it better."""
    sections = dict(data) if isinstance(data, Mapping) else {}
    if not all(isinstance(sections.get(name, {}), Mapping) for name in ("growth", "network", "train")):
        return "", []
    short, full = sections.get("growth", {}).get("stages", ()), sections.get("stages", ())
    if short and full:
        raise ValueError("stages and growth.stages are both given; list all of them in stages")
    key, raw = ("stages", full) if full else ("growth.stages", short)
    if not isinstance(raw, Sequence) or isinstance(raw, str):
        return key, []
    stages: list[tuple[str, int]] = []
    for stage in raw:
        if key == "stages" and not isinstance(stage, list | tuple):
            pair = _pair(stage)
            if pair is None:
                return key, []  # pydantic names what is wrong with it
            stages.append(pair)
            continue
        listed = list(stage) if isinstance(stage, Sequence) and not isinstance(stage, str) else []
        if [type(part) for part in listed] != [str, int] or listed[1] < 0:
            raise ValueError(f"{key}: {shown(stage)} is not [shape, steps], such as ['2-2-1', 60]")
        stages.append((listed[0], listed[1]))
    return key, stages


def _pair(stage: Any) -> tuple[str, int] | None:
    """Shape and steps of a stage that is a table."""
    if isinstance(stage, StageConfig):
        return stage.shape, stage.steps
    shape, steps = (stage.get("shape"), stage.get("steps")) if isinstance(stage, Mapping) else (None, None)
    return (shape, steps) if isinstance(shape, str) and type(steps) is int else None
