"""Optional mirrors of a run's metrics: TensorBoard, Weights & Biases, trackio.

The run directory is the record; a tracker gets the same numbers as scalars and nothing depends on it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

from neuromas.core.errors import ConfigError, one_line, unknown
from neuromas.training.callbacks import Callback, StepEnd, TrainStarted, Validated

_TRACKERS = ("tensorboard", "wandb", "trackio")


class Tracker(Protocol):
    """Where scalars go."""

    def log(self, step: int, scalars: Mapping[str, float]) -> None:
        """Record the scalars of one step."""
        ...

    def close(self) -> None:
        """Flush and finish."""
        ...


class _TensorBoard:
    """Event files under ``RUN/tensorboard``."""

    def __init__(self, run: Path, config: Mapping[str, Any]) -> None:
        module = import_module("torch.utils.tensorboard")
        self._writer = module.SummaryWriter(str(run / "tensorboard"))

    def log(self, step: int, scalars: Mapping[str, float]) -> None:
        for name, value in scalars.items():
            self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        self._writer.close()


class _InitLog:
    """Libraries with ``init(project=, name=, config=)``, ``log(dict, step=)`` and ``finish()``."""

    def __init__(self, module: str, run: Path, config: Mapping[str, Any]) -> None:
        self._module = import_module(module)
        self._module.init(project="neuromas", name=run.name, config=dict(config))

    def log(self, step: int, scalars: Mapping[str, float]) -> None:
        self._module.log(dict(scalars), step=step)

    def close(self) -> None:
        self._module.finish()


def check_trackers(names: Sequence[str]) -> None:
    """Raises ConfigError with one line if a tracker is unknown or its package is not installed."""
    for name in names:
        if name not in _TRACKERS:
            raise ConfigError(unknown("tracker", name, _TRACKERS))
        if find_spec(name) is None:
            raise ConfigError(f"run.sinks names {name!r}, which is not installed: pip install {name}")


def open_trackers(names: Sequence[str], run: Path, config: Mapping[str, Any]) -> list[Tracker]:
    """The named trackers. Raises ConfigError with one line if one is unknown, missing or refuses."""
    check_trackers(names)
    trackers: list[Tracker] = []
    for name in names:
        try:
            if name == "tensorboard":
                trackers.append(_TensorBoard(run, config))
            else:
                trackers.append(_InitLog(name, run, config))
        except Exception as error:  # foreign code: any failure to start is the same news
            for tracker in trackers:
                tracker.close()
            raise ConfigError(f"run.sinks: {name!r} could not start: {one_line(error)}") from error
    return trackers


class Trackers(Callback):
    """All trackers of a run. One that fails is left out from then on: the run does not depend on it."""

    def __init__(self, names: Sequence[str], say: Callable[[str], None]) -> None:
        """``say`` is told of a tracker that failed."""
        self._names, self._say = names, say
        self._trackers: list[Tracker] = []

    def on_train_start(self, event: TrainStarted) -> None:
        self._trackers = open_trackers(self._names, event.path, event.config.model_dump(mode="json"))

    def on_step_end(self, event: StepEnd) -> None:
        self._log(event.report["step"], event.report)

    def on_validation(self, event: Validated) -> None:
        if not event.first:
            self._log(event.step, {"validation": event.result.summary})

    def close(self) -> None:
        self._act(lambda tracker: tracker.close())

    def _log(self, step: int, report: Mapping[str, Any]) -> None:
        """The numbers of a report to all."""
        numbers = scalars(report)
        self._act(lambda tracker: tracker.log(step, numbers))

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
        if isinstance(value, bool) or value is None:
            continue
        if isinstance(value, (int, float)):
            found[name] = float(value)
        elif isinstance(value, Mapping):
            found |= scalars(value, f"{name}/")
        elif isinstance(value, (list, tuple)):
            found |= scalars({str(i): item for i, item in enumerate(value)}, f"{name}/")
    return found
