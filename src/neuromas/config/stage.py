"""A stage of a run: a network, a task and a way to train, as keys in place of the run's own.

Every key of a stage is one of the run's configuration under a short name (``HOMES``), so that a stage is an
ordinary configuration (``at_stage``): whatever trains or asks a network need not know of stages.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from neuromas.core.errors import ConfigError, shown

if TYPE_CHECKING:
    from neuromas.config.whole import Config

_SECTIONS = {
    "network": ("question", "examples", "share", "message_tokens", "answer_tokens"),
    "train": (
        *("problems", "samples", "lr", "warmup", "schedule", "passes", "max_kl", "temperature"),
        *("final_temperature", "kl", "anchor", "entropy", "guard", "only"),
    ),
    "growth": (
        *("init", "map", "tied", "noise", "anneal", "first", "old_rate", "new_rate", "inherited_rate"),
        *("restate", "optimiser", "positions", "patience", "until"),
    ),
    "evaluate": ("every", "validation", "test"),
}
HOMES: Mapping[str, tuple[str, str]] = {
    "shape": ("network", "topology"),
    "steps": ("train", "steps"),
    **{key: (section, key) for section, keys in _SECTIONS.items() for key in keys},
    "view": ("lift", "view"),
    "lift": ("lift", "way"),
    "lift_from": ("lift", "start"),
    "lift_to": ("lift", "end"),
    "lift_over": ("lift", "over"),
    "lift_at": ("lift", "at"),
    "lift_draw": ("lift", "draw"),
    "lift_taught": ("lift", "taught"),
}


def _of(name: str, **more: Any) -> Any:
    """A key that is the run's where it is left out."""
    return Field(None, description=f"{'.'.join(HOMES[name])} of this stage", **more)


class StageConfig(BaseModel):
    """One stage. Values are checked where they belong, by the section of the key's home."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    shape: str = Field(description="network.topology of this stage")
    steps: int = Field(ge=0, le=10_000_000, description="updates of this stage, at most")
    task: dict[str, Any] | None = Field(
        None, description="options in place of the run's, or name and options of another task"
    )
    question: str | None = _of("question")
    examples: int | None = _of("examples")
    share: str | None = _of("share")
    message_tokens: int | None = _of("message_tokens")
    answer_tokens: int | None = _of("answer_tokens")
    problems: int | None = _of("problems")
    samples: int | None = _of("samples")
    lr: float | None = _of("lr")
    warmup: int | None = _of("warmup")
    schedule: str | None = _of("schedule")
    passes: int | None = _of("passes")
    max_kl: float | None = _of("max_kl")
    temperature: float | None = _of("temperature")
    final_temperature: float | None = _of("final_temperature")
    kl: float | None = _of("kl")
    anchor: float | None = _of("anchor")
    entropy: float | None = _of("entropy")
    guard: str | None = _of("guard")
    only: tuple[str, ...] | None = _of("only", strict=False)
    init: str | None = _of("init")
    map: dict[str, str] | None = _of("map")
    tied: bool | None = _of("tied")
    noise: float | None = _of("noise")
    anneal: float | None = _of("anneal")
    first: float | None = _of("first")
    old_rate: float | None = _of("old_rate")
    new_rate: float | None = _of("new_rate")
    inherited_rate: float | None = _of("inherited_rate")
    restate: int | None = _of("restate")
    optimiser: str | None = _of("optimiser")
    positions: str | None = _of("positions")
    patience: int | None = _of("patience")
    until: float | None = _of("until")
    every: int | None = _of("every")
    validation: int | None = _of("validation")
    test: int | None = _of("test")
    view: tuple[str, ...] | None = _of("view", strict=False)
    lift: str | None = _of("lift")
    lift_from: float | None = _of("lift_from")
    lift_to: float | None = _of("lift_to")
    lift_over: float | None = _of("lift_over")
    lift_at: float | None = _of("lift_at")
    lift_draw: str | None = _of("lift_draw")
    lift_taught: float | None = _of("lift_taught")

    @model_validator(mode="before")
    @classmethod
    def _short(cls, data: Any) -> Any:
        """``["2-1", 60]`` is a shape and its steps."""
        if isinstance(data, Sequence) and not isinstance(data, str):
            if [type(part) for part in data] != [str, int]:
                raise ValueError(f"{shown(list(data))} is not [shape, steps], such as ['2-2-1', 60]")
            return {"shape": data[0], "steps": data[1]}
        return data

    @property
    def given(self) -> dict[str, Any]:
        """The keys that are given, without the task."""
        found = {key: getattr(self, key) for key in HOMES}
        return {key: value for key, value in found.items() if value is not None}

    def over(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """A run's configuration as plain data, with this stage's values in it and without stages."""
        made = {**data, "stages": ()}
        for key, value in self.given.items():
            section, name = HOMES[key]
            made[section] = {**made[section], name: value}
        if self.view and self.question is None:
            made["network"] = {**made["network"], "question": "auto"}  # it follows from the view
        if not made["lift"]["view"]:
            if given := [key for key in self.given if key.startswith("lift")]:
                home = ".".join(HOMES[given[0]])
                raise ConfigError(f"{home} = {shown(self.given[given[0]])} lifts no view: none is given")
            made["lift"] = {}  # the run's are for the stages that have a view
        if self.task is not None:
            named = {"options": {**data["task"]["options"], **self.task}}
            other = {"options": {}, **self.task}
            made["task"] = {**data["task"], **(other if "name" in self.task else named)}
        return made


def at_stage(config: Config, index: int) -> Config:
    """The ordinary configuration of a stage (from 0); a run's own where it has no ``stages``.

    Raises ConfigError naming the stage.
    """
    from neuromas.config.reading import make_config

    if not config.stages:
        return config
    try:
        return make_config(config.stages[index].over(config.model_dump(mode="json", exclude={"stages"})))
    except ConfigError as error:
        said, place = as_written(config, index, str(error)), f"stages[{index + 1}]"
        raise ConfigError(said if place in said else f"{place}: {said}") from None


def as_written(config: Config, index: int, said: str) -> str:
    """A message about a stage (from 0) with the keys it gives as its table has them.

    ``growth.until`` is ``stages[2].until`` where the second stage names one; what it leaves to the run stays.
    """
    if 0 <= index < len(config.stages):
        for key in config.stages[index].given:
            home = re.escape(".".join(HOMES[key]))
            said = re.sub(rf"(?<![\w.]){home}(?!\.?\w)", f"stages[{index + 1}].{key}", said)
    return said
