"""The sections of a configuration: type, default, range, meaning of every key (docs/config.md is made of it).

The defaults are our own choices (the paper does not state its settings).
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from neuromas.core.choices import Credit, Positions, Question, Share, Style, Tracker
from neuromas.core.errors import ConfigError, shown
from neuromas.core.parts import ALGORITHMS, ESTIMATORS
from neuromas.core.registry import Registry

_MOST_STEPS = 10_000_000
_MOST_EPISODES = 65_536  # of one step; each is held with its prompts and messages
MOST_PASSES = 100_000  # of one evaluation: items times votes
RENAMED = {  # keys that earlier versions wrote, and theirs now
    "train.length_price": "train.length_penalty",
    "run.sinks": "run.trackers",
}


def named_in(registry: Registry) -> AfterValidator:
    """The check of a key that names a part: a name there is, or ``module:Name``. Imports nothing."""

    def check(name: str) -> str:
        try:
            return registry.check(name)
        except ConfigError as error:
            raise ValueError(str(error)) from None

    return AfterValidator(check)


def names_of(registry: Registry) -> list[Any]:
    """The values of such a key, as a schema shows them."""
    return [*registry.builtin, "module:Name"]


def _show_old_keys(schema: dict[str, Any], model: type[BaseModel]) -> None:
    """A schema knows the keys of earlier versions, so that editors take files that have them."""
    for old, new in RENAMED.items():
        (section, key), now = old.split("."), new.split(".")[-1]
        if model.__name__ == f"{section.title()}Config":
            about = {"deprecated": True, "description": f"the old name of {new}"}
            schema["properties"][key] = {**schema["properties"][now], **about}


class Section(BaseModel):
    """Frozen, strict, and without room for keys that mean nothing."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        allow_inf_nan=False,
        json_schema_extra=_show_old_keys,
    )


class ModelConfig(Section):
    """The frozen backbone and the size of the adapters."""

    backbone: str = Field("smollm2-135m", description="embedded model, tiny, a local folder or a hub id")
    dtype: Literal["auto", "bfloat16", "float32"] = Field(
        "auto",
        description="of the frozen weights; auto: bfloat16 where hardware multiplies it, else float32",
    )
    quantise: Literal["none", "int8", "nf4"] = Field(
        "none", description="layers of the backbone in 8 bits (torchao) or 4 (bitsandbytes)"
    )
    device: str = Field(
        "auto", pattern=r"^(auto|cpu|cuda(:[0-9]{1,3})?)$", description="auto, cpu, cuda or cuda:N"
    )
    rank: int = Field(8, ge=1, le=512, description="rank of every adapter")
    ranks: tuple[Annotated[int, Field(ge=1, le=512)], ...] = Field(
        (), strict=False, description="one rank an adapter, in node order, instead of `rank`"
    )
    alpha: float = Field(16.0, gt=0, le=1e6, description="LoRA's alpha: adapters are scaled by alpha / rank")
    targets: tuple[str, ...] = Field(
        ("q_proj", "k_proj", "v_proj", "o_proj"),
        min_length=1,
        strict=False,
        description="linear layers that are adapted",
    )
    shard: bool = Field(
        False, description="while training, divide each decoder layer among the processes (docs/processes.md)"
    )


class EngineConfig(Section):
    """Who writes the messages; what learns is here, over `model`, whatever the engine."""

    name: str = Field(
        "local", description="local, vllm, openai, scripted, that of a package, or your own module:Name"
    )
    options: dict[str, Any] = Field(
        default_factory=dict, description="those of the engine, see docs/engines.md"
    )


class NetworkConfig(Section):
    """The architecture."""

    topology: str = Field("2-1", description="widths or another shape, or a .toml, .json or .graphml file")
    question: Question = Field(
        "auto", description="who reads the question; auto: as the file says, all where it is silent"
    )
    share: Share = Field("node", description="who has an adapter of its own")
    style: Style = Field("plain", description="prompts as text or by the chat template")
    prompt: str = Field("", description="a .toml file with texts of your own, see docs/prompts.md")
    roles: dict[str, str] = Field(
        {}, description="node ('leaves', 'sink', '2/1', a name) -> a line on who it is; the method has none"
    )
    examples: int = Field(
        0, ge=0, le=64, description="worked training problems shown to whom the prompt file says"
    )
    message_tokens: int = Field(16, ge=1, le=4096, description="most tokens of a message")
    answer_tokens: int = Field(16, ge=1, le=4096, description="most tokens of the answer")
    tools: tuple[Literal["python"], ...] = Field(
        (), strict=False, max_length=1, description="python: a program in a message is run in a sandbox"
    )
    tool_tokens: int = Field(
        32, ge=1, le=4096, description="most tokens that readers are shown of what such a program prints"
    )

    @model_validator(mode="after")
    def _told(self) -> NetworkConfig:
        if self.roles and self.prompt:
            raise ValueError("network.roles and network.prompt are both given; give the roles in the file")
        for node, text in self.roles.items():
            if not text.strip() or len(text.splitlines()) > 1:
                raise ValueError(f"network.roles: {shown(node)} = {shown(text)} is not one line of text")
        return self


class TaskConfig(Section):
    """Which problems."""

    name: str = Field("max", description="see `neuromas tasks`; module:Name for one of your own")
    options: dict[str, Any] = Field(
        default_factory=dict, description="those of the task, see `neuromas tasks NAME`"
    )
    reward: str = Field("", description="module:function that training pays by; empty: the task's own score")
    rewards: dict[str, Annotated[float, Field(gt=0, le=1e6)]] = Field(
        default_factory=dict,
        description="several rewards and their weights; `correct` is the task's own score",
    )

    @model_validator(mode="after")
    def _one_way(self) -> TaskConfig:
        if self.reward and self.rewards:
            raise ValueError("task.reward and task.rewards are both given; list all rewards in task.rewards")
        return self


class TrainConfig(Section):
    """How nodes learn: ``problems * samples * accumulate`` episodes a step (see docs/training.md)."""

    steps: int = Field(60, ge=0, le=_MOST_STEPS, description="updates; with growth.stages their sum")
    algorithm: Annotated[str, named_in(ALGORITHMS)] = Field(
        "reinforce", examples=names_of(ALGORITHMS), description="how a step learns (see docs/method.md)"
    )
    algorithm_options: dict[str, Any] = Field(
        default_factory=dict, description="those of the algorithm, see `neuromas methods ALGORITHM`"
    )
    problems: int = Field(16, ge=1, le=65_536, description="problems of a batch")
    samples: int = Field(8, ge=1, le=65_536, description="episodes of a problem")
    lr: float = Field(1e-3, gt=0, le=1e30, description="learning rate of every node's AdamW")
    warmup: int = Field(5, ge=0, le=_MOST_STEPS, description="steps of a stage in which the rate rises to lr")
    schedule: Literal["constant", "linear", "cosine"] = Field(
        "constant", description="of the learning rate after the warm-up, over a stage"
    )
    accumulate: int = Field(1, ge=1, le=4096, description="batches of `problems` for one update")
    passes: int = Field(
        1, ge=1, le=64, description="updates from one batch; those after the first are clipped"
    )
    ratio_clip: float = Field(0.2, gt=0, lt=1, description="PPO's clip of a token's ratio in further passes")
    max_kl: float = Field(
        0.2, ge=0, le=1e6, description="nats a token; an update that moves an adapter further is shortened"
    )
    baseline: Annotated[str, named_in(ESTIMATORS)] = Field(
        "rloo", examples=names_of(ESTIMATORS), description="estimator: what is subtracted from the reward"
    )
    baseline_options: dict[str, Any] = Field(
        default_factory=dict, description="those of an estimator of your own, see CONTRIBUTING.md"
    )
    ema_decay: float = Field(0.9, ge=0, lt=1, description="of the running mean of baseline = ema")
    credit: Credit = Field("shared", description="what a node is paid for its message, see docs/training.md")
    alternatives: int = Field(
        3, ge=1, le=64, description="other messages drawn for every message, with credit = counterfactual, c3"
    )
    solo_weight: float = Field(
        1.0, gt=0, le=1e6, description="of what a message adds, beside the reward, with credit = solo"
    )
    temperature: float = Field(1.0, ge=1e-6, le=10, description="of sampling while training")
    final_temperature: float | None = Field(
        None, ge=1e-6, le=10, description="temperature of the last step, linear until then; none: constant"
    )
    clip: float = Field(1.0, ge=0, le=1e30, description="largest norm of a node's gradient; 0: any")
    kl: float = Field(0.0, ge=0, le=1e6, description="weight of the KL to the backbone without adapters")
    anchor: float = Field(0.0, ge=0, le=1e6, description="weight of the KL to the inherited adapters")
    entropy: float = Field(0.0, ge=0, le=1e6, description="weight of the entropy bonus")
    length_penalty: float = Field(
        0.0, ge=0, le=1e6, description="taken from a node's reward for a message as long as its budget"
    )
    normalise: Literal["constant", "message"] = Field(
        "constant", description="a message's loss is divided by its budget, or by its own length"
    )
    only: tuple[str, ...] = Field(
        (), strict=False, description="nodes that learn, called as in network.roles; empty: all"
    )
    chunks: int = Field(
        0, ge=0, le=65_536, description="pieces of a rollout dealt to processes; 0: their number at the start"
    )
    reduce: Literal["ordered", "sum"] = Field(
        "ordered", description="gradients of several processes: in one order, or faster (docs/processes.md)"
    )
    guard: Literal["warn", "stop", "restore"] = Field("warn", description="what an alarm does, see [alarms]")

    @property
    def batch(self) -> int:
        """Problems of one update."""
        return self.problems * self.accumulate

    @property
    def too_few(self) -> str:
        """What is said where an estimator that compares samples has one sample."""
        alone = [f"'{name}'" for name in ESTIMATORS.builtin if not ESTIMATORS.get(name).needs_group]
        return (
            f"train.samples = {self.samples} with train.baseline = {self.baseline!r}: "
            f"a group baseline needs at least 2 samples (or baseline = {', '.join(alone)})"
        )

    @property
    def alternates(self) -> bool:
        """Whether a message is compared with others in its place, not with those of other samples."""
        return self.credit in ("counterfactual", "c3")

    def check_estimator(self, needs_group: bool, pooled: bool) -> None:
        """Raises ValueError if an estimator cannot make advantages of what is compared.

        ``needs_group`` says whether it compares rewards of one problem, ``pooled`` whether of all nodes.
        """
        if not self.alternates and self.samples < 2 and needs_group:
            raise ValueError(self.too_few)
        if self.alternates and (not needs_group or pooled):
            raise ValueError(
                f"train.credit = {self.credit!r} compares messages written in the same place, which "
                f"train.baseline = {self.baseline!r} does not; valid: 'rloo', 'grpo'"
            )

    @model_validator(mode="after")
    def _possible(self) -> TrainConfig:
        if self.credit != "shared" and self.algorithm != "reinforce":
            raise ValueError(
                f"train.credit = {self.credit!r} is for train.algorithm = 'reinforce'; "
                f"{self.algorithm!r} pays messages in its own way"
            )
        # one that is not built in is asked when it is made: a saved configuration may name any module
        if ESTIMATORS.is_builtin(self.baseline):
            part = ESTIMATORS.get(self.baseline)
            self.check_estimator(part.needs_group, getattr(part, "pooled", False))
        many = self.problems * self.samples * (1 + self.alternatives if self.alternates else 1)
        if many > _MOST_EPISODES:
            more = f" with train.alternatives = {self.alternatives}" if self.alternates else ""
            raise ValueError(
                f"train.problems = {self.problems} and train.samples = {self.samples}{more} are "
                f"{many} episodes a step, at most {_MOST_EPISODES}"
            )
        return self


class GrowthConfig(Section):
    """Progressive growth: each stage grows out of the one before it (see docs/method.md)."""

    stages: tuple[Annotated[tuple[str, int], Field(strict=False)], ...] = Field(
        (), strict=False, description="[shape, steps] of every stage; empty: one network"
    )
    parent: str = Field("", description="a trained run to start from instead of new adapters")
    init: Literal["zero", "clone", "passthrough", "gate", "clone+gate", "passthrough+gate", "copy"] = Field(
        "gate",
        description="how new nodes begin and whether they are faded in; copy: growth by substitution",
    )
    map: dict[str, str] = Field(
        {}, description="new node -> the trained node it copies, with init = copy; others by their places"
    )
    module: str = Field("", description="another trained run, whose nodes growth.map calls RUN:NODE")
    tied: bool = Field(False, description="with init = copy: copies share the adapter of what they copy")
    noise: float = Field(1e-3, ge=0, le=1e6, description="standard deviation added to B of a cloned adapter")
    anneal: float = Field(0.2, gt=0, le=1, description="share of a stage over which gates open")
    first: float = Field(0.2, ge=0, le=1, description="share of a stage in which others learn at old_rate")
    old_rate: float = Field(
        0.0, ge=0, le=1, description="times the rate, for nodes not new, in that share; 0: frozen"
    )
    new_rate: float = Field(
        1.0, ge=0, le=1, description="times the rate, for nodes born in a growth, for good"
    )
    inherited_rate: float = Field(
        0.1, ge=0, le=1, description="times the rate, for nodes trained before the last growth or this run"
    )
    lr: tuple[Annotated[float, Field(gt=0, le=1e30)], ...] = Field(
        (), strict=False, description="a learning rate for every stage instead of train.lr"
    )
    restate: int = Field(20, ge=1, le=10_000, description="supervised steps of init = passthrough")
    optimiser: Literal["keep", "reset"] = Field("keep", description="AdamW moments of old nodes at a growth")
    positions: Positions = Field(
        "keep", description="whether old nodes go on being told the position they know"
    )
    patience: int = Field(
        0,
        ge=0,
        le=_MOST_STEPS,
        description="a stage ends after so many validations without a better; 0, or evaluate.every 0: never",
    )
    until: float = Field(0.0, ge=0, le=1, description="a stage ends at this validation accuracy; 0: never")

    @property
    def gated(self) -> bool:
        """Whether messages of new nodes are faded in."""
        return self.init.endswith("gate")

    @model_validator(mode="after")
    def _mapped(self) -> GrowthConfig:
        if self.map and self.init != "copy":
            raise ValueError(f"growth.map needs growth.init = 'copy', not {self.init!r}")
        if self.module and not (self.parent and self.map):
            raise ValueError("growth.module needs growth.parent and nodes of it in growth.map")
        return self

    @model_validator(mode="after")
    def _rated(self) -> GrowthConfig:
        if self.lr and len(self.lr) != len(self.stages):
            raise ValueError(
                f"growth.lr lists {len(self.lr)} learning rates for {len(self.stages)} growth.stages; "
                "a table of [[stages]] has lr"
            )
        return self


class AlarmsConfig(Section):
    """When training raises an alarm; 0 switches one off (see docs/training.md)."""

    window: int = Field(5, ge=1, le=1000, description="steps over which shares and means are taken")
    zero: int = Field(8, ge=0, description="steps in which the mean reward was at most `earned`")
    earned: float = Field(0.02, ge=0, le=1, description="mean reward up to which nothing counts as earned")
    silent: float = Field(0.9, ge=0, le=1, description="share of problems whose samples all earn the same")
    entropy: float = Field(0.01, ge=0, description="a node's nats a token")
    truncated: float = Field(0.5, ge=0, le=1, description="share of answers cut at their limit")
    fallen: float = Field(0.1, ge=0, le=1, description="validation accuracy below the stage's best")
    favourite: float = Field(0.8, ge=0, le=1, description="share of one answer among all")
    drift: float = Field(0.5, ge=0, description="nats a token between sampler and trainer; an error")
    restores: int = Field(2, ge=0, description="how often a stage goes back with train.guard = restore")


class EvaluateConfig(Section):
    """Greedy evaluation."""

    every: int = Field(
        20, ge=0, le=_MOST_STEPS, description="steps between validations; 0: none, no best state"
    )
    validation: int = Field(100, ge=1, le=MOST_PASSES, description="validation items")
    test: int = Field(200, ge=1, le=MOST_PASSES, description="test items, before and after training")


class RunConfig(Section):
    """Where and how the run is kept."""

    directory: str = Field("", description="of the run; empty: runs/NAME, or what --run says")
    checkpoint_every: int = Field(10, ge=1, le=_MOST_STEPS, description="steps between checkpoints")
    keep: int | None = Field(
        None,
        ge=1,
        description="newest checkpoints that stay; none: 3 while training, then the last and the best",
    )
    episodes: int = Field(2, ge=0, le=_MOST_EPISODES, description="episodes of a step that are kept as text")
    show: int = Field(
        10,
        ge=0,
        le=_MOST_STEPS,
        description="steps between sampled episodes in the live table and in trackers; 0: neither",
    )
    trackers: tuple[Tracker, ...] = Field(
        (), strict=False, description="trackers that get numbers, test results and sampled messages, too"
    )
    project: str = Field(
        "neuromas", pattern=r"^[A-Za-z0-9_.-]{1,128}$", description="project of wandb and trackio"
    )

    @property
    def newest(self) -> int:
        """How many of the newest checkpoints stay while the run trains, with what they lean on."""
        return 3 if self.keep is None else self.keep
