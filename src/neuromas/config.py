"""Configuration: one small strict TOML file, ``key=value`` overrides, and nothing else.

An unknown key, a wrong type or an impossible combination is one line that names the key, the value
and what would be valid. The defaults are our own choices (the paper does not state its settings).
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from neuromas.errors import ConfigError, one_line, unknown


class Section(BaseModel):
    """Frozen, strict, and without room for keys that mean nothing."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class ModelConfig(Section):
    """The frozen backbone and the size of the adapters."""

    backbone: str = "smollm2-135m"
    dtype: Literal["bfloat16", "float32"] = "bfloat16"
    device: str = "auto"
    rank: int = Field(8, ge=1, le=512)
    alpha: float = Field(16.0, gt=0)
    targets: tuple[str, ...] = Field(("q_proj", "k_proj", "v_proj", "o_proj"), min_length=1, strict=False)


class NetworkConfig(Section):
    """The architecture. ``topology`` is widths, or a path to a .toml/.json file with edges."""

    topology: str = "2-1"
    question: Literal["all", "first", "split"] = "all"
    share: Literal["node", "layer", "all"] = "node"
    style: Literal["plain", "chat"] = "plain"
    message_tokens: int = Field(16, ge=1, le=4096)
    answer_tokens: int = Field(16, ge=1, le=4096)


class TaskConfig(Section):
    """Which problems. ``options`` are those of the task (see ``neuromas tasks``)."""

    name: str = "max"
    options: dict[str, Any] = Field(default_factory=dict)


class TrainConfig(Section):
    """Joint REINFORCE. ``problems * samples`` episodes a step; everything else is derived."""

    steps: int = Field(60, ge=0)
    problems: int = Field(16, ge=1)
    samples: int = Field(8, ge=1)
    lr: float = Field(1e-3, gt=0)
    warmup: int = Field(5, ge=0)
    baseline: Literal["none", "ema", "batch_mean", "rloo", "grpo"] = "rloo"
    ema_decay: float = Field(0.9, ge=0, lt=1)
    temperature: float = Field(1.0, gt=0, le=10)
    final_temperature: float | None = Field(None, gt=0, le=10)
    clip: float = Field(1.0, ge=0)
    kl: float = Field(0.0, ge=0)
    entropy: float = Field(0.0, ge=0)
    length_price: float = Field(0.0, ge=0)
    normalise: Literal["constant", "message"] = "constant"

    @model_validator(mode="after")
    def _possible(self) -> TrainConfig:
        if self.baseline in ("rloo", "grpo") and self.samples < 2:
            raise ValueError(
                f"train.samples = {self.samples} with train.baseline = {self.baseline!r}: "
                "a group baseline needs at least 2 samples (or baseline = 'ema', 'batch_mean', 'none')"
            )
        return self


class EvaluateConfig(Section):
    """Greedy evaluation. ``every`` steps on ``validation`` items; at the end on ``test`` items."""

    every: int = Field(20, ge=0)
    validation: int = Field(100, ge=1)
    test: int = Field(200, ge=1)


class RunConfig(Section):
    """Where and how the run is kept."""

    directory: str = ""
    checkpoint_every: int = Field(10, ge=1)
    keep: int = Field(3, ge=1)
    episodes: int = Field(2, ge=0)
    sinks: tuple[Literal["tensorboard", "wandb", "trackio"], ...] = Field((), strict=False)


class Config(Section):
    """A whole run."""

    seed: int = Field(0, ge=0)
    model: ModelConfig = ModelConfig()
    network: NetworkConfig = NetworkConfig()
    task: TaskConfig = TaskConfig()
    train: TrainConfig = TrainConfig()
    evaluate: EvaluateConfig = EvaluateConfig()
    run: RunConfig = RunConfig()


def load_config(path: str | Path | None, overrides: Sequence[str] = ()) -> Config:
    """Read a TOML file (or start from the defaults) and apply ``section.key=value`` overrides."""
    data: dict[str, Any] = {}
    if path is not None:
        try:
            data = tomllib.loads(Path(path).read_text("utf-8"))
        except OSError as error:
            raise ConfigError(f"config {str(path)!r}: {error.strerror or error}") from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ConfigError(f"config {str(path)!r} is not TOML: {one_line(error)}") from error
    for override in overrides:
        _override(data, override)
    return make_config(data)


def make_config(data: Mapping[str, Any]) -> Config:
    """A checked Config from plain data. Raises ConfigError with one line on the first problem."""
    try:
        return Config.model_validate(dict(data))
    except ValidationError as error:
        raise ConfigError(_explain(error)) from None


def _override(data: dict[str, Any], text: str) -> None:
    """Apply ``a.b=value``; the value is TOML, or plain text where it is not."""
    key, found, raw = text.partition("=")
    if not found or not key.strip():
        raise ConfigError(f"override {text!r} is not key=value, for example train.steps=40")
    try:
        value = tomllib.loads(f"value = {raw.strip()}")["value"]
    except tomllib.TOMLDecodeError:
        value = raw.strip()
    parts = key.strip().split(".")
    place = data
    for part in parts[:-1]:
        inner = place.setdefault(part, {})
        if not isinstance(inner, dict):
            raise ConfigError(f"override {text!r}: {part!r} is not a section")
        place = inner
    place[parts[-1]] = value


def _explain(error: ValidationError) -> str:
    """The first problem pydantic found, in one line of our own."""
    first = error.errors()[0]
    where = [str(part) for part in first["loc"]]
    key = ".".join(where)
    if first["type"] == "extra_forbidden":
        return unknown("key", key, _siblings(where[:-1]))
    if first["type"] == "value_error":
        return str(first["msg"]).removeprefix("Value error, ")
    message = str(first["msg"])
    return f"{key} = {first['input']!r}: {message[:1].lower()}{message[1:]}"


def _siblings(section: Sequence[str]) -> list[str]:
    """Full names of the valid keys of a section."""
    model: type[BaseModel] = Config
    for part in section:
        inner = model.model_fields[part].annotation
        if not (isinstance(inner, type) and issubclass(inner, BaseModel)):
            return []
        model = inner
    return [".".join([*section, name]) for name in model.model_fields]
