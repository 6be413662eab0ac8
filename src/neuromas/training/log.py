"""What happens in a run: first a line in its directory, then an event for the callbacks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from neuromas.core.episode import Episode
from neuromas.evaluation.evaluate import Evaluation
from neuromas.learning.alarms import Alarm
from neuromas.storage import Run
from neuromas.topology.files import short
from neuromas.training.callbacks import (
    AlarmRaised,
    Callbacks,
    Finished,
    Grown,
    Interrupted,
    Noted,
    StageStarted,
    StepEnd,
    Tested,
    TrainStarted,
    Validated,
)
from neuromas.training.state import TrainState


class RunLog:
    """Writes and tells."""

    def __init__(self, run: Run, state: TrainState, callbacks: Callbacks) -> None:
        self.run, self._state, self._callbacks = run, state, callbacks

    @property
    def _at(self) -> tuple[int, int]:
        """Updates made, and all that the run makes."""
        return self._state.step, self._state.plan.train.steps

    def started(self) -> None:
        """The run begins or goes on."""
        self._callbacks.tell(TrainStarted(*self._at, self.run.path, self._state.plan))

    def stage(self) -> None:
        """A stage begins."""
        stage = self._state.stage
        shape = short(self._state.plan.shapes[stage.index][0])
        self._callbacks.tell(StageStarted(*self._at, stage.index + 1, shape, stage.steps))

    def say(self, text: str) -> None:
        """Tell what is done; this leaves no line."""
        self._callbacks.tell(Noted(*self._at, "stage", text))

    def note(self, kind: str, text: str) -> None:
        """Done about an alarm (``guard``), how a stage ended (``stage``), or a changed ``config``."""
        self._line(kind, text)
        self._callbacks.tell(Noted(*self._at, kind, text))

    def alarm(self, alarm: Alarm) -> None:
        """An alarm went on."""
        self._line("alarm", f"alarm {alarm.name}: {alarm.text}", name=alarm.name)
        self._callbacks.tell(AlarmRaised(*self._at, alarm.name, alarm.text))

    def _line(self, event: str, text: str, **more: str) -> None:
        line = {"step": self._state.step, "event": event, "text": text, **more}
        self.run.append("events.jsonl", [line])

    def step(
        self,
        report: Mapping[str, Any],
        episodes: Sequence[Episode],
        credited: Mapping[int, Sequence[float | None]] = MappingProxyType({}),
    ) -> None:
        """An update; of its episodes ``run.episodes``, spread over all, are kept as text.

        With each stand the rewards of its problem's samples, and the advantage by node that ``credited`` has
        of it.
        """
        count = self._state.config.run.episodes
        self.run.append("metrics.jsonl", [report])
        kept = episodes[:: max(1, len(episodes) // max(1, count))][:count]
        rewards: dict[str, list[float | None]] = {}
        for episode in episodes:
            score = None if episode.score is None else episode.score.value
            rewards.setdefault(episode.problem.id, []).append(score)
        lines = [
            {
                **episode.line(report["step"]),
                "rewards": rewards[episode.problem.id],
                "advantages": list(credited.get(id(episode), ())),
            }
            for episode in kept
        ]
        self.run.append("episodes.jsonl", lines)
        self._callbacks.tell(StepEnd(*self._at, MappingProxyType(dict(report)), tuple(episodes)))

    def first_validated(self, result: Evaluation) -> None:
        """The state with which a stage begins was validated; its line is that of the stage before."""
        self._callbacks.tell(Validated(*self._at, result, first=True, best=True))

    def validated(self, result: Evaluation, best: bool, more: Mapping[str, Any]) -> None:
        """A validation; ``best`` if it made its state the stage's best, ``more`` is said of it beside."""
        self.run.append("validation.jsonl", [{"step": self._state.step, **result.summary, **more}])
        self._callbacks.tell(Validated(*self._at, result, first=False, best=best))

    def tested(self, name: str, result: Evaluation) -> None:
        """A test evaluation, kept under ``name``."""
        items = [item.line() for item in result.items]
        self.run.write_evaluation(name, result.summary, items, result.prompts)
        self._callbacks.tell(Tested(*self._at, name, result))

    def grown(self, entry: Mapping[str, Any]) -> None:
        """The network has grown, see ``lineage.describe``."""
        self.run.append("growth.jsonl", [{**entry, "step": self._state.step}])
        self._callbacks.tell(Grown(*self._at, entry))

    def interrupted(self) -> None:
        """The run stops."""
        self._callbacks.tell(Interrupted(*self._at, self.run.path))

    def finished(self, best: int) -> None:
        """The run is finished and hands on its state of step ``best``."""
        self._callbacks.tell(Finished(*self._at, self.run.path, best))
