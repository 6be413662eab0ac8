"""The training state in a checkpoint and the lines of a run's logs, checked before anything believes them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from neuromas.core.errors import RunError, one_line, shown
from neuromas.topology.graph import Topology

Model = TypeVar("Model", bound=BaseModel)
Count = Annotated[int, Field(ge=0, lt=2**63)]
CheckpointName = Annotated[str, Field(pattern=r"^(step|start|parent)-[0-9]{1,18}$")]
Listed = Field(strict=False)  # JSON has lists for tuples
Best = (
    Annotated[tuple[float, Count], Listed]  # of 0.1.0
    | Annotated[tuple[float, Count, CheckpointName], Listed]
)


def _plain(value: Any) -> Any:
    """The value if JSON can hold it. Raises ValueError."""
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, RecursionError) as error:
        raise ValueError(one_line(error)) from None
    return value


Kept = Annotated[Any, AfterValidator(_plain)]


class Saved(BaseModel):
    """Strict in what is known; what later versions add may be there."""

    model_config = ConfigDict(frozen=True, extra="allow", strict=True, allow_inf_nan=False)


class _Stage(Saved):
    """``growth.stages.Stage``."""

    index: int = Field(ge=-1)  # -1: a child that has not grown yet
    since: Count
    steps: Count
    start: dict[str, Any] | None
    goal: dict[str, Any] | None
    new: tuple[Count, ...] = Field(strict=False)
    born: tuple[Count, ...] = Field((), strict=False)  # 0.1.0 did not keep these two
    inherited: tuple[Count, ...] = Field((), strict=False)
    level: int = Field(0, ge=0, le=1000)  # how far validation has lifted a view


class _Guard(Saved):
    """``training.guard.Guard``."""

    on: tuple[str, ...] = Field(strict=False)
    since: Count
    halved: int = Field(ge=0, le=1000)


class State(Saved):
    """Where training stands."""

    step: Count
    cursor: Count
    seed: int = Field(ge=0)
    ema: dict[Annotated[str, Field(pattern=r"^(0|[1-9][0-9]{0,3})$")], Kept]  # of any estimator, by node
    best: Best | None
    seconds: float = Field(ge=0)
    stage: _Stage
    guard: _Guard | None = None
    ancestor: dict[str, Any] = Field(default_factory=dict)
    algorithm: dict[str, Kept] = Field(default_factory=dict)  # what a training algorithm keeps beside tensors


class _Line(Saved):
    """Any line of a run's logs."""

    step: Count


class _Answer(Saved):
    answer: str
    share: float


class _Report(_Line):
    """What alarms read of the report of ``training.step.train_step``."""

    reward: float | None
    parse_failures: float | None
    silent_groups: float
    node_entropy: list[float | None]
    truncated: list[float] = Field(min_length=1)
    favourite: _Answer | None = None  # 0.1.0 did not keep it


class _Validation(_Line):
    accuracy: float | None


class _Event(_Line):
    event: str


_LINES: dict[str, type[Saved]] = {
    "metrics.jsonl": _Report,
    "validation.jsonl": _Validation,
    "events.jsonl": _Event,
}


def is_line(name: str, row: Any) -> bool:
    """Whether a run could have written this line of its log ``name``."""
    try:
        _LINES.get(name, _Line).model_validate(row)
    except ValidationError:
        return False
    return True


def check_state(data: Any, stages: Sequence[tuple[str, int]], adapters: int, nodes: int) -> None:
    """``data`` is a state that a run of these stages (shape, steps) and this size could have saved.

    Raises RunError naming the key and what would be valid, TopologyError for a stage's broken graph.
    """
    state = read_state(data)
    stage = state.stage
    for graph in (stage.start, stage.goal):
        if graph is not None:
            Topology.from_dict(graph)
    _at_most("state.stage.index", stage.index, len(stages) - 1)
    _at_most("state.stage.since", stage.since, state.step)
    wanted = stages[stage.index][1] if stage.index >= 0 else 0
    if stage.steps != wanted:
        raise RunError(f"state.stage.steps = {stage.steps}, but the stage has {wanted} steps")
    for name, rows in (("new", stage.new), ("born", stage.born), ("inherited", stage.inherited)):
        for row in rows:
            _at_most(f"state.stage.{name}", row, adapters - 1)
    for node in map(int, state.ema):
        _at_most("state.ema", node, nodes - 1)
    if state.best is not None:
        _at_most("state.best", state.best[1], state.step)


def read_state(data: Any) -> State:
    """``data`` as a state by itself, whatever run it is of. Raises RunError naming the key."""
    return parsed(State, data, "state")


def parsed(model: type[Model], data: Any, name: str) -> Model:
    """``data`` as a model. Raises RunError with one line that names the first key that is wrong."""
    try:
        return model.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join([name, *map(str, first["loc"])])
        raise RunError(f"{where} = {shown(first['input'], 60)}: {first['msg'].lower()}") from None


def _at_most(name: str, value: int, limit: int) -> None:
    """Raises RunError if the value is beyond the limit."""
    if value > limit:
        raise RunError(f"{name} = {value} is more than {limit}")
