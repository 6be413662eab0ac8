"""What a run tells while it trains: typed events, and callbacks that hear them.

    class Best(neuromas.Callback):
        def on_validation(self, event: neuromas.Validated) -> None:
            print(event.step, event.accuracy)

    neuromas.train(config, "runs/mine", callbacks=[Best()])

An event is told after what it tells of lies in the run directory. Callbacks are told in the order in which
they were given; they see the run and cannot change it. One that raises ends the run with one line that names
it; what was saved stays as after a kill, and ``neuromas train --resume`` goes on from the last checkpoint.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from neuromas.core.episode import Episode
from neuromas.core.errors import ConfigError, NeuromasError, RunError, one_line, shown

if TYPE_CHECKING:
    from neuromas.config import Config
    from neuromas.evaluation.evaluate import Evaluation

Watch = Callable[[Mapping[str, Any]], None]  # what 0.2.0 had for callbacks, see ``Watching``


class Callback:
    """Base of all callbacks: override what you want to hear of; the rest does nothing."""

    def on_train_start(self, event: TrainStarted) -> None:
        """The run begins or goes on; nothing was evaluated or trained by this process yet."""

    def on_stage_start(self, event: StageStarted) -> None:
        """A stage begins: the first, or one that follows a growth."""

    def on_growth(self, event: Grown) -> None:
        """The network has grown; the stage that trains it begins next."""

    def on_step_end(self, event: StepEnd) -> None:
        """An update was made and logged."""

    def on_validation(self, event: Validated) -> None:
        """The validation problems were answered."""

    def on_test(self, event: Tested) -> None:
        """The test problems were answered, before or after training or at the end of a stage."""

    def on_alarm(self, event: AlarmRaised) -> None:
        """Something is wrong with the training, see ``[alarms]``."""

    def on_note(self, event: Noted) -> None:
        """The run says in words what it does."""

    def on_interrupt(self, event: Interrupted) -> None:
        """The run was asked to stop; its checkpoint is saved."""

    def on_finish(self, event: Finished) -> None:
        """The run is finished and tested."""

    def close(self) -> None:
        """Let go of what is held. Called once, last, however the run ends."""


@dataclass(frozen=True, slots=True)
class Event(ABC):
    """What happened when ``step`` of ``steps`` updates were made."""

    step: int
    steps: int

    @abstractmethod
    def tell(self, callback: Callback) -> None:
        """Call the method of ``callback`` that hears of this kind of event."""


@dataclass(frozen=True, slots=True)
class TrainStarted(Event):
    """The run in directory ``path`` begins (``step`` 0) or goes on."""

    path: Path
    config: Config

    def tell(self, callback: Callback) -> None:
        callback.on_train_start(self)


@dataclass(frozen=True, slots=True)
class StageStarted(Event):
    """Stage ``number`` (from 1) of shape ``shape`` begins; it lasts ``lasts`` steps at most."""

    number: int
    shape: str
    lasts: int

    def tell(self, callback: Callback) -> None:
        callback.on_stage_start(self)


@dataclass(frozen=True, slots=True)
class Grown(Event):
    """The network grew; ``entry`` is the growth's line in ``growth.jsonl`` (see ``lineage.describe``)."""

    entry: Mapping[str, Any]

    def tell(self, callback: Callback) -> None:
        callback.on_growth(self)


@dataclass(frozen=True, slots=True)
class StepEnd(Event):
    """``report`` is the step's line in ``metrics.jsonl`` (docs/training.md), ``report["step"]`` from 0.

    ``episodes`` are all that the update learned from: the samples of each problem stand side by side, in the
    order of the problems.
    """

    report: Mapping[str, Any]
    episodes: Sequence[Episode]

    def tell(self, callback: Callback) -> None:
        callback.on_step_end(self)


@dataclass(frozen=True, slots=True)
class Validated(Event):
    """``first``: the state with which a stage begins. ``best``: the best of its stage so far, or as good."""

    result: Evaluation
    first: bool
    best: bool

    @property
    def accuracy(self) -> float | None:
        """Mean score in [0, 1]; None if no problem could be asked."""
        accuracy: float | None = self.result.summary["accuracy"]
        return accuracy

    def tell(self, callback: Callback) -> None:
        callback.on_validation(self)


@dataclass(frozen=True, slots=True)
class Tested(Event):
    """The evaluation kept in the run under ``name``, such as ``test-before`` or ``test-after-blank``."""

    name: str
    result: Evaluation

    def tell(self, callback: Callback) -> None:
        callback.on_test(self)


@dataclass(frozen=True, slots=True)
class AlarmRaised(Event):
    """Alarm ``name`` went on; ``text`` says why and what may help."""

    name: str
    text: str

    def tell(self, callback: Callback) -> None:
        callback.on_alarm(self)


@dataclass(frozen=True, slots=True)
class Noted(Event):
    """``kind``: ``guard`` (done about an alarm), ``config`` (changed when it went on), or ``stage``."""

    kind: str
    text: str

    def tell(self, callback: Callback) -> None:
        callback.on_note(self)


@dataclass(frozen=True, slots=True)
class Interrupted(Event):
    """The run in directory ``path`` stopped with a checkpoint of ``step``."""

    path: Path

    def tell(self, callback: Callback) -> None:
        callback.on_interrupt(self)


@dataclass(frozen=True, slots=True)
class Finished(Event):
    """The run in directory ``path`` hands on its state of step ``best``."""

    path: Path
    best: int

    def tell(self, callback: Callback) -> None:
        callback.on_finish(self)


class Watching(Callback):
    """Tells a function the events of 0.2.0 as dictionaries; what it raises is passed on as it is."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch

    def on_step_end(self, event: StepEnd) -> None:
        self._watch({"event": "step", "steps": event.steps, **event.report})

    def on_validation(self, event: Validated) -> None:
        self._watch({"event": "validation", "step": event.step, "accuracy": event.accuracy})

    def on_growth(self, event: Grown) -> None:
        self._watch({"event": "grown", **event.entry})

    def on_alarm(self, event: AlarmRaised) -> None:
        text = f"alarm {event.name}: {event.text}"
        self._watch({"step": event.step, "event": "alarm", "text": text, "name": event.name})

    def on_note(self, event: Noted) -> None:
        self._watch({"step": event.step, "event": event.kind, "text": event.text})

    def on_interrupt(self, event: Interrupted) -> None:
        self._watch({"event": "interrupted", "step": event.step})

    def on_finish(self, event: Finished) -> None:
        self._watch({"event": "finished", "step": event.best})


def check_callbacks(callbacks: Sequence[Any]) -> None:
    """Raises ConfigError if one is no ``Callback``."""
    for place, callback in enumerate(callbacks):
        if not isinstance(callback, Callback):
            raise ConfigError(f"callbacks[{place}] is {shown(callback)}, not a neuromas.Callback")


class Callbacks:
    """All callbacks of a run in ``path``; leaving the context closes them, the last one first."""

    def __init__(self, callbacks: Sequence[Callback], path: Path) -> None:
        self._callbacks, self._path = tuple(callbacks), path
        self._closing = ExitStack()

    def __enter__(self) -> Callbacks:
        for callback in self._callbacks:
            self._closing.callback(self._close, callback)
        return self

    def __exit__(self, *how: Any) -> None:
        self._closing.__exit__(*how)

    def tell(self, event: Event) -> None:
        """Tell all of the event. Raises RunError with one line if one fails."""
        for callback in self._callbacks:
            with self._blamed(callback, f"at step {event.step}"):
                event.tell(callback)

    def _close(self, callback: Callback) -> None:
        with self._blamed(callback, "when it was closed"):
            callback.close()

    @contextmanager
    def _blamed(self, callback: Callback, when: str) -> Iterator[None]:
        """Foreign code: whatever it raises is one line that says whose it is."""
        try:
            yield
        except NeuromasError:
            raise
        except Exception as error:
            if isinstance(callback, Watching):
                raise
            raise RunError(
                f"callback {type(callback).__name__} failed {when}: {type(error).__name__}: "
                f"{one_line(error)}; the run in {self._path} can be continued"
            ) from error
