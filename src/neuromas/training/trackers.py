"""Optional mirrors of a run: TensorBoard, Weights & Biases, trackio.

The run directory is the record; trackers get the same numbers, the results of tests and sampled messages,
and nothing depends on them. A resumed run goes on in the same place: ``trackers.json`` keeps its identity.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Protocol

from neuromas.core.choices import TRACKERS
from neuromas.core.episode import Episode
from neuromas.core.errors import ConfigError, RunError, one_line, unknown
from neuromas.evaluation.evaluate import Item
from neuromas.storage import Run
from neuromas.training.callbacks import Callback, StepEnd, Tested, TrainStarted, Validated

Rows = Sequence[Mapping[str, Any]]  # all with the same keys, which are the columns
_IDENTITY = "trackers.json"
_MOST_ROWS = 100  # of a table
_FREE_TEXT = ("labels", "causes")  # of a summary: keyed by what models wrote, which is no name of a curve


class Tracker(Protocol):
    """Where a run is mirrored."""

    def numbers(self, step: int, scalars: Mapping[str, float]) -> None:
        """Record the scalars of one step."""
        ...

    def table(self, step: int, name: str, rows: Rows) -> None:
        """Record a table of texts and numbers."""
        ...

    def close(self) -> None:
        """Flush and finish."""
        ...


class _TensorBoard:
    """Event files under ``RUN/tensorboard``, to which a resumed run appends; tables are text."""

    def __init__(self, run: Run, event: TrainStarted) -> None:
        module = import_module("torch.utils.tensorboard")
        # what a killed process recorded beyond its checkpoint is hidden; a validation of the last step stays
        purge = event.step + 1 if event.step else None
        self._writer = module.SummaryWriter(str(run.path / "tensorboard"), purge_step=purge)

    def numbers(self, step: int, scalars: Mapping[str, float]) -> None:
        for name, value in scalars.items():
            self._writer.add_scalar(name, value, step)

    def table(self, step: int, name: str, rows: Rows) -> None:
        self._writer.add_text(name, _as_code(rows), step)

    def close(self) -> None:
        self._writer.close()


class _Logging:
    """What wandb and trackio share: ``log`` and ``finish`` of the module, and its ``Table``."""

    def __init__(self, name: str) -> None:
        self._module = import_module(name)

    def numbers(self, step: int, scalars: Mapping[str, float]) -> None:
        self._module.log(dict(scalars), step=step)

    def close(self) -> None:
        self._module.finish()


class _Wandb(_Logging):
    """Weights & Biases: a run is found again by its id."""

    def __init__(self, run: Run, event: TrainStarted) -> None:
        super().__init__("wandb")
        self._module.init(
            project=event.config.run.project,
            name=run.path.name,
            id=_identity(run),
            resume="allow",
            config=event.config.model_dump(mode="json"),
        )

    def table(self, step: int, name: str, rows: Rows) -> None:
        table = self._module.Table(columns=list(rows[0]), data=[list(row.values()) for row in rows])
        self._module.log({name: table}, step=step)


class _Trackio(_Logging):
    """trackio: a run is found again by its name, which therefore ends with its identity."""

    def __init__(self, run: Run, event: TrainStarted) -> None:
        super().__init__("trackio")
        self._module.init(
            project=event.config.run.project,
            name=f"{run.path.name}-{_identity(run)}",
            resume="allow",
            config=event.config.model_dump(mode="json"),
        )

    def table(self, step: int, name: str, rows: Rows) -> None:
        # a list of dictionaries is what every version understands
        self._module.log({name: self._module.Table(data=[dict(row) for row in rows])}, step=step)


_OPEN: Mapping[str, Callable[[Run, TrainStarted], Tracker]] = {
    "tensorboard": _TensorBoard,
    "wandb": _Wandb,
    "trackio": _Trackio,
}


def _identity(run: Run) -> str:
    """The run's name among all of a project's: drawn once, kept in the run directory."""
    try:
        kept = run.read(_IDENTITY).get("id")
    except RunError:  # not there yet, or damaged
        kept = None
    if isinstance(kept, str) and re.fullmatch(r"[0-9a-f]{8}", kept):
        return kept
    drawn = secrets.token_hex(4)
    run.write(_IDENTITY, {"id": drawn})
    return drawn


def check_trackers(names: Sequence[str]) -> None:
    """Raises ConfigError with one line if a tracker is unknown or its package is not installed."""
    for name in names:
        if name not in TRACKERS:
            raise ConfigError(unknown("tracker", name, TRACKERS))
        if find_spec(name) is None:
            raise ConfigError(f"run.trackers names {name!r}, which is not installed: pip install {name}")


def open_trackers(names: Sequence[str], event: TrainStarted) -> list[Tracker]:
    """The named trackers. Raises ConfigError with one line if one is unknown, missing or refuses."""
    check_trackers(names)
    trackers: list[Tracker] = []
    for name in names:
        try:
            trackers.append(_OPEN[name](Run(event.path), event))
        except Exception as error:  # foreign code: any failure to start is the same news
            for tracker in trackers:
                tracker.close()
            raise ConfigError(f"run.trackers: {name!r} could not start: {one_line(error)}") from error
    return trackers


class Trackers(Callback):
    """All trackers of a run. One that fails is left out from then on: the run does not depend on it."""

    def __init__(self, names: Sequence[str], say: Callable[[str], None]) -> None:
        """``say`` is told of a tracker that failed."""
        self._names, self._say = names, say
        self._trackers: list[Tracker] = []
        self._show = self._samples = 0

    def on_train_start(self, event: TrainStarted) -> None:
        """Open all, where the run left off."""
        self._show, self._samples = event.config.run.show, event.config.run.episodes
        self._trackers = open_trackers(self._names, event)

    def on_step_end(self, event: StepEnd) -> None:
        """The numbers; every ``run.show`` steps the messages of ``run.episodes`` episodes."""
        step = event.report["step"]
        self._numbers(step, {key: value for key, value in event.report.items() if key != "step"})
        if self._show and event.step % self._show == 0:
            spread = event.episodes[:: max(1, len(event.episodes) // max(1, self._samples))]
            self._table(step, "samples", [_sampled(episode) for episode in spread[: self._samples]])

    def on_validation(self, event: Validated) -> None:
        """The summary, unless it is that of a stage's first state."""
        if not event.first:
            self._numbers(event.step, {"validation": event.result.summary})

    def on_test(self, event: Tested) -> None:
        """The summary, and items with their messages."""
        self._numbers(event.step, {event.name: event.result.summary})
        self._table(event.step, f"{event.name}/items", list(map(_tested, event.result.items[:_MOST_ROWS])))

    def close(self) -> None:
        """Flush and finish all."""
        self._act(lambda tracker: tracker.close())

    def _numbers(self, step: int, report: Mapping[str, Any]) -> None:
        numbers = scalars(report)
        self._act(lambda tracker: tracker.numbers(step, numbers))

    def _table(self, step: int, name: str, rows: Rows) -> None:
        columns = dict.fromkeys(key for row in rows for key in row)  # a failed episode has fewer messages
        whole = [{key: row.get(key) for key in columns} for row in rows]
        if whole:
            self._act(lambda tracker: tracker.table(step, name, whole))

    def _act(self, act: Callable[[Tracker], None]) -> None:
        for tracker in list(self._trackers):
            try:
                act(tracker)
            except Exception as error:  # foreign code: whatever it raises is news, not the end
                self._trackers.remove(tracker)
                self._say(f"a tracker failed and is left out: {one_line(error)}")


def scalars(report: Mapping[str, Any], prefix: str = "") -> dict[str, float]:
    """The numbers in a nested report, named by their path, e.g. ``gradient_norm/0``."""
    found: dict[str, float] = {}
    for key, value in report.items():
        name = f"{prefix}{key}"
        if isinstance(value, bool) or value is None or key in _FREE_TEXT:
            continue
        if isinstance(value, (int, float)):
            found[name] = float(value)
        elif isinstance(value, Mapping):
            found |= scalars(value, f"{name}/")
        elif isinstance(value, (list, tuple)):
            found |= scalars({str(i): item for i, item in enumerate(value)}, f"{name}/")
    return found


def _sampled(episode: Episode) -> dict[str, Any]:
    """An episode of training as a row."""
    line = episode.line(0)
    return {key: line[key] for key in ("id", "question", "gold", "score")} | _messages(line["messages"])


def _tested(item: Item) -> dict[str, Any]:
    """An item of a test as a row."""
    row = {"id": item.id, "question": item.question, "gold": item.gold, "score": item.score}
    return row | {"answer": item.parsed} | _messages(item.messages)


def _messages(texts: Sequence[str]) -> dict[str, str]:
    """A column a node."""
    return {f"node {number}": text for number, text in enumerate(texts, start=1)}


def _as_code(rows: Rows) -> str:
    """Rows as a block of code of Markdown, in which nothing a model wrote is markup."""
    blocks = ("\n".join(f"{key}: {value}" for key, value in row.items()) for row in rows)
    return "\n".join(f"    {line}" for line in "\n\n".join(blocks).splitlines())
