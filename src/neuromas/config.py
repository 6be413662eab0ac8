"""Configuration: one small strict TOML file, ``key=value`` overrides, and nothing else.

An unknown key, a wrong type or an impossible combination is one line that names the key, the value
and what would be valid. The defaults are our own choices (the paper does not state its settings).
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic.fields import FieldInfo

from neuromas.errors import ConfigError, cut, one_line, shown, unknown
from neuromas.files import read_text

_MOST_STEPS = 10_000_000
_MOST_EPISODES = 65_536  # of one step; each is held with its prompts and messages
MOST_PASSES = 100_000  # of one evaluation: items times votes
_LARGEST = 2**64  # of whole numbers anywhere
_WHOLE_TEXT = "should be text without NUL and broken characters"
_BROKEN = re.compile(r"[\x00\ud800-\udfff]")


class Section(BaseModel):
    """Frozen, strict, and without room for keys that mean nothing."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class ModelConfig(Section):
    """The frozen backbone and the size of the adapters; ``ranks`` are one by one, in node order."""

    backbone: str = "smollm2-135m"
    dtype: Literal["bfloat16", "float32"] = "bfloat16"
    device: str = Field("auto", pattern=r"^(auto|cpu|cuda(:[0-9]{1,3})?)$")
    rank: int = Field(8, ge=1, le=512)
    ranks: tuple[Annotated[int, Field(ge=1, le=512)], ...] = Field((), strict=False)
    alpha: float = Field(16.0, gt=0, le=1e6)
    targets: tuple[str, ...] = Field(("q_proj", "k_proj", "v_proj", "o_proj"), min_length=1, strict=False)


class NetworkConfig(Section):
    """The architecture. ``topology`` is widths or another shape, or a .toml, .json or .graphml file.

    ``question`` says who reads the question: "auto" is what the file says, and "all" where it is silent.
    """

    topology: str = "2-1"
    question: Literal["auto", "all", "first", "split"] = "auto"
    share: Literal["node", "layer", "all"] = "node"
    style: Literal["plain", "chat"] = "plain"
    message_tokens: int = Field(16, ge=1, le=4096)
    answer_tokens: int = Field(16, ge=1, le=4096)


class TaskConfig(Section):
    """Which problems. ``options`` are those of the task (see ``neuromas tasks``)."""

    name: str = "max"
    options: dict[str, Any] = Field(default_factory=dict)


class TrainConfig(Section):
    """Joint REINFORCE. ``problems * samples * accumulate`` episodes a step; everything else is derived.

    ``schedule`` is that of the learning rate after ``warmup`` steps, over a stage. ``passes`` over one
    batch beyond the first are clipped at ``ratio_clip`` (PPO). ``kl`` pulls towards the backbone, ``anchor``
    towards the inherited adapters. An update that moves an adapter by more than ``max_kl`` nats a token is
    scaled back (0: never). ``guard`` says what an alarm does (see ``[alarms]``).
    """

    steps: int = Field(60, ge=0, le=_MOST_STEPS)
    problems: int = Field(16, ge=1, le=65_536)
    samples: int = Field(8, ge=1, le=65_536)
    lr: float = Field(1e-3, gt=0, le=1e30)
    warmup: int = Field(5, ge=0, le=_MOST_STEPS)
    schedule: Literal["constant", "linear", "cosine"] = "constant"
    accumulate: int = Field(1, ge=1, le=4096)
    passes: int = Field(1, ge=1, le=64)
    ratio_clip: float = Field(0.2, gt=0, lt=1)
    max_kl: float = Field(0.2, ge=0, le=1e6)
    baseline: Literal["none", "ema", "batch_mean", "rloo", "grpo"] = "rloo"
    ema_decay: float = Field(0.9, ge=0, lt=1)
    temperature: float = Field(1.0, ge=1e-6, le=10)
    final_temperature: float | None = Field(None, ge=1e-6, le=10)
    clip: float = Field(1.0, ge=0, le=1e30)
    kl: float = Field(0.0, ge=0, le=1e6)
    anchor: float = Field(0.0, ge=0, le=1e6)
    entropy: float = Field(0.0, ge=0, le=1e6)
    length_price: float = Field(0.0, ge=0, le=1e6)
    normalise: Literal["constant", "message"] = "constant"
    guard: Literal["warn", "stop", "restore"] = "warn"

    @property
    def batch(self) -> int:
        """Problems of one update."""
        return self.problems * self.accumulate

    @model_validator(mode="after")
    def _possible(self) -> TrainConfig:
        if self.baseline in ("rloo", "grpo") and self.samples < 2:
            raise ValueError(
                f"train.samples = {self.samples} with train.baseline = {self.baseline!r}: "
                "a group baseline needs at least 2 samples (or baseline = 'ema', 'batch_mean', 'none')"
            )
        if self.problems * self.samples > _MOST_EPISODES:
            raise ValueError(
                f"train.problems = {self.problems} and train.samples = {self.samples} are "
                f"{self.problems * self.samples} episodes a step, at most {_MOST_EPISODES}"
            )
        return self


class GrowthConfig(Section):
    """Progressive growth. ``stages`` are ``[shape, steps]``; each stage grows out of the one before it.

    ``parent`` is a trained run to start from instead of new adapters. ``init`` says how new nodes begin
    and whether gates open over the first ``anneal`` of a stage. For its first ``first`` the old nodes
    learn at ``old_rate`` times the rate (0: they are frozen). Nodes that were trained before the last growth,
    or in another run, learn at ``inherited_rate`` times the rate, new ones at ``new_rate``, for good. ``lr``
    gives every stage a learning rate of its own. ``patience`` ends a stage after so many validations without
    a better one (0: never).
    """

    stages: tuple[Annotated[tuple[str, int], Field(strict=False)], ...] = Field((), strict=False)
    parent: str = ""
    init: Literal["zero", "clone", "passthrough", "gate", "clone+gate", "passthrough+gate"] = "gate"
    noise: float = Field(1e-3, ge=0, le=1e6)
    anneal: float = Field(0.2, gt=0, le=1)
    first: float = Field(0.2, ge=0, le=1)
    old_rate: float = Field(0.0, ge=0, le=1)
    new_rate: float = Field(1.0, ge=0, le=1)
    inherited_rate: float = Field(0.1, ge=0, le=1)
    lr: tuple[Annotated[float, Field(gt=0, le=1e30)], ...] = Field((), strict=False)
    restate: int = Field(20, ge=1, le=10_000)
    optimiser: Literal["keep", "reset"] = "keep"
    positions: Literal["keep", "renumber"] = "keep"
    patience: int = Field(0, ge=0, le=_MOST_STEPS)

    @property
    def gated(self) -> bool:
        """Whether messages of new nodes are faded in."""
        return self.init.endswith("gate")

    @model_validator(mode="after")
    def _rated(self) -> GrowthConfig:
        if self.lr and len(self.lr) != len(self.stages):
            raise ValueError(
                f"growth.lr lists {len(self.lr)} learning rates for {len(self.stages)} growth.stages"
            )
        return self


class AlarmsConfig(Section):
    """When training raises an alarm; 0 switches one off. Shares are means over the last ``window`` steps.

    ``zero``: steps without any reward. ``silent``: share of problems whose samples all earn the same.
    ``entropy``: nats a token of a node. ``truncated``: share of answers cut at their limit. ``fallen``:
    validation below the stage's best, in accuracy. ``favourite``: share of one answer. ``drift``: nats a
    token between sampler and trainer, an error. ``restores``: how often ``guard = "restore"`` goes back.
    """

    window: int = Field(5, ge=1, le=1000)
    zero: int = Field(8, ge=0)
    silent: float = Field(0.9, ge=0, le=1)
    entropy: float = Field(0.01, ge=0)
    truncated: float = Field(0.5, ge=0, le=1)
    fallen: float = Field(0.1, ge=0, le=1)
    favourite: float = Field(0.8, ge=0, le=1)
    drift: float = Field(0.5, ge=0)
    restores: int = Field(2, ge=0)


class EvaluateConfig(Section):
    """Greedy evaluation. ``every`` steps on ``validation`` items; at the end on ``test`` items."""

    every: int = Field(20, ge=0, le=_MOST_STEPS)
    validation: int = Field(100, ge=1, le=MOST_PASSES)
    test: int = Field(200, ge=1, le=MOST_PASSES)


class RunConfig(Section):
    """Where and how the run is kept."""

    directory: str = ""
    checkpoint_every: int = Field(10, ge=1, le=_MOST_STEPS)
    keep: int = Field(3, ge=1)
    episodes: int = Field(2, ge=0, le=_MOST_EPISODES)
    sinks: tuple[Literal["tensorboard", "wandb", "trackio"], ...] = Field((), strict=False)


class Config(Section):
    """A whole run."""

    seed: int = Field(0, ge=0)
    model: ModelConfig = ModelConfig()
    network: NetworkConfig = NetworkConfig()
    task: TaskConfig = TaskConfig()
    train: TrainConfig = TrainConfig()
    growth: GrowthConfig = GrowthConfig()
    alarms: AlarmsConfig = AlarmsConfig()
    evaluate: EvaluateConfig = EvaluateConfig()
    run: RunConfig = RunConfig()

    @model_validator(mode="before")
    @classmethod
    def _staged(cls, data: Any) -> Any:
        """With stages, ``network.topology`` and ``train.steps`` follow from them and need not be given."""
        stages = _stages(data)
        if not stages:
            return data
        topology = {**data.get("network", {}), "topology": stages[0][0]}
        train = {**data.get("train", {}), "steps": sum(count for _, count in stages)}
        for section, filled in (("network", topology), ("train", train)):
            for key, value in data.get(section, {}).items():
                if filled[key] != value:
                    raise ValueError(
                        f"{section}.{key} = {shown(value)}, but growth.stages make it {shown(filled[key])}"
                    )
        return {**data, "network": topology, "train": train}

    @model_validator(mode="after")
    def _grows(self) -> Config:
        """A grown network that is not trained would never be saved."""
        steps = [count for _, count in self.growth.stages] or [self.train.steps]
        if 0 in (steps if self.growth.parent else steps[1:]):
            raise ValueError("growth.stages: a stage that grows a network needs at least 1 step")
        if self.train.guard == "restore" and not self.evaluate.every:
            raise ValueError("train.guard = 'restore' goes back to the best validation: evaluate.every = 0")
        return self


def _stages(data: Any) -> list[tuple[str, int]]:
    """The stages of raw data in their form. Where other sections are malformed, pydantic says it better."""
    sections = dict(data) if isinstance(data, Mapping) else {}
    if not all(isinstance(sections.get(name, {}), Mapping) for name in ("growth", "network", "train")):
        return []
    raw = sections.get("growth", {}).get("stages", ())
    if not isinstance(raw, Sequence) or isinstance(raw, str):
        return []
    stages: list[tuple[str, int]] = []
    for stage in raw:
        pair = list(stage) if isinstance(stage, Sequence) and not isinstance(stage, str) else []
        if [type(part) for part in pair] != [str, int] or pair[1] < 0:
            raise ValueError(f"growth.stages: {shown(stage)} is not [shape, steps], such as ['2-2-1', 60]")
        stages.append((pair[0], pair[1]))
    return stages


def load_config(path: str | Path | None, overrides: Sequence[str] = ()) -> Config:
    """Read a TOML file (or start from the defaults) and apply ``section.key=value`` overrides."""
    data = {} if path is None else read_toml(Path(path), "config")
    return make_config(apply_overrides(data, overrides))


def read_toml(path: Path, what: str) -> dict[str, Any]:
    """A TOML file's table. Raises ConfigError with one line that says ``what`` could not be read."""
    try:
        return tomllib.loads(read_text(path, encoding="utf-8-sig"))
    except OSError as error:
        raise ConfigError(f"{what} {shown(str(path))}: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{what} {shown(str(path))} is not TOML: {one_line(error)}") from error


def apply_overrides(data: dict[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    """Plain data after ``section.key=value`` overrides, in place."""
    for override in overrides:
        _override(data, override)
    return data


def check_keys(overrides: Sequence[str]) -> None:
    """Raises ConfigError for an override whose key does not exist, whatever the rest of the data will be."""
    for text in overrides:
        parts = [part.strip() for part in text.partition("=")[0].split(".")]
        free = parts[:2] == ["task", "options"] and len(parts) > 2
        if not free and "=" in text and parts[0] and _field(parts) is None:
            raise ConfigError(unknown("key", ".".join(parts), _siblings(parts[:-1]) or _siblings(())))


def make_config(data: Mapping[str, Any]) -> Config:
    """A checked Config from plain data. Raises ConfigError with one line on the first problem."""
    if not isinstance(data, Mapping):
        raise ConfigError(f"a configuration is a table of sections, not {type(data).__name__}")
    try:
        config = Config.model_validate(dict(data))
    except ValidationError as error:
        raise ConfigError(_explain(error)) from None
    check_plain(data)  # what a type says about its own key is clearer, so this comes last
    return config


def check_plain(data: Mapping[str, Any]) -> None:
    """Raises ConfigError for what no file could keep: NUL or half a surrogate pair in text, huge numbers."""
    waiting: list[tuple[str, Any]] = [("", data)]
    while waiting:  # a loop: what is read may be nested deep
        key, value = waiting.pop()
        if isinstance(value, Mapping):
            waiting += [(_below(key, name), part) for name, part in value.items()]
            waiting += [(_below(key, "(key)"), name) for name in value]
        elif isinstance(value, list | tuple):
            waiting += [(_below(key, str(place)), part) for place, part in enumerate(value)]
        elif isinstance(value, str) and _BROKEN.search(value):
            raise ConfigError(f"{key} = {shown(value)}: {_WHOLE_TEXT}")
        elif isinstance(value, int) and abs(value) > _LARGEST:
            raise ConfigError(f"{key} = {shown(value)}: should be a whole number of at most 2**64")


def _below(key: str, name: object) -> str:
    """The name of a place within another; what a name cannot be is written as Python would."""
    part = name if isinstance(name, str) and re.fullmatch(r"[\w()-]{1,60}", name) else shown(name, 60)
    return cut(f"{key}.{part}".lstrip("."), 200)


def read_value(raw: str) -> Any:
    """The value after ``key=``: TOML (numbers, true, lists), or plain text where it is not."""
    try:
        found = tomllib.loads(f"value = {raw.strip()}")
    except (ValueError, RecursionError):
        return raw.strip()
    return found["value"] if len(found) == 1 else raw.strip()


def _override(data: dict[str, Any], text: str) -> None:
    """Apply ``a.b=value``. A key that holds text takes it as it stands: ``network.topology=1``."""
    key, found, raw = text.partition("=")
    if not found or not key.strip():
        raise ConfigError(f"override {shown(text)} is not key=value, for example train.steps=40")
    value = read_value(raw)
    parts = key.strip().split(".")
    place = data
    for part in parts[:-1]:
        inner = place.setdefault(part, {})
        if not isinstance(inner, dict):
            raise ConfigError(f"override {shown(text)}: {part!r} is not a section")
        place = inner
    spec = _field(parts)
    place[parts[-1]] = raw.strip() if spec and spec.annotation is str and type(value) is not str else value


def _explain(error: ValidationError) -> str:
    """The first problem pydantic found, in one line of our own."""
    first = error.errors()[0]
    where = [str(part) for part in first["loc"]]
    key = ".".join(where)
    if first["type"] == "extra_forbidden":
        return unknown("key", key, _siblings(where[:-1]))
    if first["type"] == "value_error":
        return str(first["msg"]).removeprefix("Value error, ")
    if first["type"] == "literal_error":
        return unknown(f"value of {key}:", first["input"], re.findall("'([^']*)'", first["ctx"]["expected"]))
    message = _WORDS.get(first["type"], str(first["msg"]).removeprefix("Input "))
    spec = _field(where)
    default = "" if spec is None or not isinstance(spec.default, str | int | float | tuple) else spec.default
    known = f" (default {default!r})" if default else ""
    return f"{cut(key, 200) or '(key)'} = {shown(first['input'])}: {message}{known}"


_WORDS = {
    "string_type": "should be text",
    "string_unicode": _WHOLE_TEXT,
    "int_type": "should be a whole number",
    "float_type": "should be a number",
    "finite_number": "should be a finite number",
    "string_pattern_mismatch": "should be auto, cpu, cuda or cuda:N",  # device alone has a pattern
    "tuple_type": "should be a list",
    "dict_type": "should be a table",
    "model_type": "should be a section with keys of its own",
    "model_attributes_type": "should be a section with keys of its own",
}


def _field(path: Sequence[str]) -> FieldInfo | None:
    """What is known of a key; None if there is no such key (or it is a section)."""
    model: type[BaseModel] = Config
    for part in path[:-1]:
        inner = model.model_fields[part].annotation if part in model.model_fields else None
        if not (isinstance(inner, type) and issubclass(inner, BaseModel)):
            return None
        model = inner
    spec = model.model_fields.get(path[-1]) if path else None
    return None if spec is None or isinstance(spec.default, BaseModel) else spec


def _siblings(section: Sequence[str]) -> list[str]:
    """Full names of the valid keys of a section."""
    model: type[BaseModel] = Config
    for part in section:
        inner = model.model_fields[part].annotation
        if not (isinstance(inner, type) and issubclass(inner, BaseModel)):
            return []
        model = inner
    return [".".join([*section, name]) for name in model.model_fields]
