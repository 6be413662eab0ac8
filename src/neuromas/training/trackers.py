"""Optional mirrors of a run's metrics: TensorBoard, Weights & Biases, trackio.

The run directory is the record; a sink gets the same numbers as scalars and nothing depends on it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

from neuromas.core.errors import ConfigError, one_line, unknown

_SINKS = ("tensorboard", "wandb", "trackio")


class Sink(Protocol):
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


def check_sinks(names: Sequence[str]) -> None:
    """Raises ConfigError with one line if a sink is unknown or its package is not installed."""
    for name in names:
        if name not in _SINKS:
            raise ConfigError(unknown("sink", name, _SINKS))
        if find_spec(name) is None:
            raise ConfigError(f"run.sinks names {name!r}, which is not installed: pip install {name}")


def open_sinks(names: Sequence[str], run: Path, config: Mapping[str, Any]) -> list[Sink]:
    """The named sinks. Raises ConfigError with one line if one is unknown, missing or refuses."""
    check_sinks(names)
    sinks: list[Sink] = []
    for name in names:
        try:
            if name == "tensorboard":
                sinks.append(_TensorBoard(run, config))
            else:
                sinks.append(_InitLog(name, run, config))
        except Exception as error:  # foreign code: any failure to start is the same news
            for sink in sinks:
                sink.close()
            raise ConfigError(f"run.sinks: {name!r} could not start: {one_line(error)}") from error
    return sinks


class Mirrors:
    """All sinks of a run. One that fails is left out from then on: the run does not depend on it."""

    def __init__(self, sinks: list[Sink], watch: Callable[[Mapping[str, Any]], None]) -> None:
        """``watch`` is told of a sink that failed."""
        self._sinks, self._watch = sinks, watch

    def log(self, step: int, report: Mapping[str, Any]) -> None:
        """The numbers of a report to all sinks."""
        numbers = scalars(report)
        self._act(lambda sink: sink.log(step, numbers))

    def close(self) -> None:
        """Flush and finish all."""
        self._act(lambda sink: sink.close())

    def _act(self, act: Callable[[Sink], None]) -> None:
        for sink in list(self._sinks):
            try:
                act(sink)
            except Exception as error:  # foreign code: whatever it raises is news, not the end
                self._sinks.remove(sink)
                text = f"a sink failed and is left out: {one_line(error)}"
                self._watch({"event": "stage", "text": text})


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
