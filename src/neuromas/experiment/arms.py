"""The tables of an experiment file: arms, tasks and comparisons, each checked by itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator, Discriminator, Field, Tag, model_validator

from neuromas.config import Section
from neuromas.core.budgets import Budget
from neuromas.core.choices import Messages, Told

WORD = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
SECTIONS = ("model", "engine", "network", "task", "train", "growth", "lift", "alarms", "evaluate", "run")
FORMS = ("pair", "table")  # of a stage
_WAYS = (("method", "options"), ("votes", "temperature"), ("messages", "positions"))  # an arm has one of them
Name = Annotated[str, Field(pattern=WORD)]
Pair = Annotated[tuple[str, int], Field(strict=False)]
Stage = Annotated[
    Annotated[Pair, Tag(FORMS[0])] | Annotated[dict[str, Any], Tag(FORMS[1])],
    Discriminator(lambda given: FORMS[isinstance(given, Mapping)]),
]


def _section(name: str) -> Any:
    """A section of an arm: keys of a run's configuration that it has in place of the base's."""
    return Field(default_factory=dict, description=f"keys of [{name}] in place of the base's")


class Arm(Section):
    """One way to a network: one to train, as the base and its sections say, or one asked in another way.

    With ``stages`` it is trained through them, with ``start`` from the network a stage of another arm ended
    with. With ``of``, nothing is trained: the test questions are answered once more by a ``method`` with its
    ``options``, by the majority of ``votes`` passes of another arm's network sampled at ``temperature``, or
    greedily by that with altered ``messages`` or told ``positions``.
    """

    name: Name = Field(description="in folders, tables and comparisons")
    system: str = Field("", description="in figures, arms of one system are one line; empty: the arm's name")
    stages: tuple[Stage, ...] = Field(
        (),
        strict=False,
        description="[shape, steps] of every stage, or [[arms.stages]] as a run's [[stages]]; empty: "
        "network.topology, train.steps",
    )
    tasks: tuple[str, ...] = Field(
        (), strict=False, description="labels of the tasks it is trained on; empty: all that it can start on"
    )
    start: str = Field(
        "",
        description="ARM or ARM:STAGE whose network of the same task and seed it begins with; what that cost "
        "is counted",
    )
    of: str = Field("", description="ARM or ARM:STAGE whose network is asked again, instead of training one")
    method: str = Field("", description="what answers instead, with `of`; see `neuromas methods`")
    options: dict[str, Any] = Field(
        default_factory=dict, description="those of the method, see `neuromas methods NAME`"
    )
    votes: int = Field(1, ge=1, le=1000, description="passes that vote, with `of`")
    temperature: float = Field(0.7, gt=0, le=10, description="at which these passes are sampled")
    messages: Messages = Field("none", description="what readers are shown of messages, with `of`")
    positions: Told = Field("own", description="which position nodes are told, with `of`")
    model: dict[str, Any] = _section("model")
    engine: dict[str, Any] = _section("engine")
    network: dict[str, Any] = _section("network")
    task: dict[str, Any] = _section("task")
    train: dict[str, Any] = _section("train")
    growth: dict[str, Any] = _section("growth")
    lift: dict[str, Any] = _section("lift")
    alarms: dict[str, Any] = _section("alarms")
    evaluate: dict[str, Any] = _section("evaluate")
    run: dict[str, Any] = _section("run")

    @property
    def last(self) -> int:
        """Number of its last stage, from 1."""
        return max(1, len(self.stages))

    @property
    def voting(self) -> bool:
        """Whether passes vote: of arms made of another one, those whose messages and positions are kept."""
        return bool(self.of) and "votes" in self.model_fields_set

    @property
    def answers(self) -> tuple[str, dict[str, Any]]:
        """Name and options of the method that answers."""
        if self.voting:
            return "self-consistency", {"votes": self.votes, "temperature": self.temperature}
        return (self.method, self.options) if self.method else ("network", {})

    @property
    def line(self) -> str:
        """What it belongs to in figures."""
        return self.system or self.name

    @model_validator(mode="after")
    def _possible(self) -> Arm:
        for key in ("stages", "start"):
            if getattr(self, key) and self.of:
                what = "stages to train" if key == "stages" else "a network to start with"
                raise ValueError(f"arm {self.name!r} has {what} and is made of another arm; choose one")
        for section, key, why in (
            ("growth", "stages", "write stages beside the arm's name"),
            ("growth", "parent", "write start beside the arm's name"),
            ("run", "directory", "runs lie in the experiment's folder"),
        ):
            if key in getattr(self, section):
                raise ValueError(f"arm {self.name!r}: {section}.{key} has no effect: {why}")
        ways = {"method", "options", "votes", "temperature", "messages", "positions"} & self.model_fields_set
        if self.of:
            self._asked(ways)
        elif ways:
            both = next(pair for pair in _WAYS if ways & set(pair))
            raise ValueError(f"arm {self.name!r}: {' and '.join(both)} are for arms made of another one")
        return self

    def _asked(self, ways: set[str]) -> None:
        """Raises ValueError unless an arm made of another says how its network is asked, and that alone."""
        who = f"arm {self.name!r} is made of {self.of!r}"
        if given := set(SECTIONS) & self.model_fields_set:
            raise ValueError(f"{who}: section {sorted(given)[0]!r} has no effect")
        several = [next(key for key in pair if key in ways) for pair in _WAYS if ways & set(pair)]
        if len(several) > 1:
            raise ValueError(f"{who}: {several[0]} and {several[1]} do not go together")
        if ways & {"method", "options"} and not self.method:
            raise ValueError(f"{who}: say by which method (see neuromas methods)")
        if not ways or ways == {"temperature"}:
            raise ValueError(f"{who}: say how many votes, or which messages or positions, or by which method")
        if ways & {"messages", "positions"} and (self.messages, self.positions) == ("none", "own"):
            raise ValueError(f"{who}, and answers as that does")


class TaskPlan(Section):
    """A task of the experiment; ``label`` names it in folders and tables."""

    name: str = Field(description="see `neuromas tasks`")
    options: dict[str, Any] = Field(
        default_factory=dict, description="those of the task, see `neuromas tasks NAME`"
    )
    label: str = Field("", description="in folders and tables; empty: the task's name")

    by_depth: dict[str, dict[str, Any]] = Field(
        default_factory=dict,
        description="options that go with the depth a stage's task names, such as 1 = { max_operand = 30 }",
    )

    @property
    def folder(self) -> str:
        """Its label, or its name as a folder's."""
        return self.label or self.name.replace("/", "-")


def _listed(given: Any) -> Any:
    """One name as a list of one."""
    return (given,) if isinstance(given, str) else given


class Compare(Section):
    """Two networks as ``ARM`` or ``ARM:STAGE``; the difference is second minus first."""

    first: str = Field(description="ARM, or ARM:STAGE for the network with which a stage ended")
    second: str = Field(description="the same")
    why: str = Field("", description="printed beside the result")
    equal: Annotated[tuple[Budget, ...], BeforeValidator(_listed), Field(strict=False)] = Field(
        (),
        description="budgets the two have in common, one or a list: `calls`, `tokens` and `flops` of a "
        "question, trained `parameters`, calls of `training` and search; refused if they differ by over 10 %",
    )
