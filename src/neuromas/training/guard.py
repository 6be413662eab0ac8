"""Which alarms are on in a stage, and how often they have halved its learning rate."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from neuromas.config import AlarmsConfig
from neuromas.core.errors import DivergedError
from neuromas.learning.alarms import Alarm, Report, alarms, fallen


@dataclass(slots=True)
class Guard:
    """The stage's first and last reports, the alarms that are on, and how often the rate was halved.

    An alarm is told when it goes on, and again only after it was off. ``since`` is the step from which
    reports count: the stage's first, or the last return to the best state.
    """

    limits: AlarmsConfig
    first: list[Report] = field(default_factory=list)
    rows: list[Report] = field(default_factory=list)
    on: set[str] = field(default_factory=set)
    since: int = 0
    halved: int = 0

    def see(self, report: Report) -> list[Alarm]:
        """Alarms that went on with this step. Raises DivergedError if sampler and trainer disagree."""
        drift = report["sampler_drift"]
        if self.limits.drift and not drift <= self.limits.drift:  # not a number is no agreement either
            raise DivergedError(
                f"sampler and trainer disagree by {drift:.3g} nats a token at step {report['step']}, "
                f"more than alarms.drift = {self.limits.drift:g}: what is learned is not what was sampled"
            )
        self._keep([report])
        return self._new(alarms(self.rows, self.first, self.limits), {"fallen"})

    def see_validation(self, accuracy: float | None, best: float | None) -> list[Alarm]:
        """Alarms that went on with this validation."""
        alarm = fallen(accuracy, best, self.limits)
        return self._new([] if alarm is None else [alarm], self.on - {"fallen"})

    def restart(self, step: int, restored: bool) -> None:
        """Forget what was seen: a stage begins, or its best state is back."""
        self.first, self.rows, self.on, self.since = [], [], set(), step
        self.halved = self.halved + 1 if restored else 0

    def to_dict(self) -> dict[str, Any]:
        """Plain data for a checkpoint; reports are in the run's log."""
        return {"on": sorted(self.on), "since": self.since, "halved": self.halved}

    def take(self, data: Mapping[str, Any]) -> None:
        """Go on from ``to_dict``'s form. Raises KeyError, TypeError or ValueError."""
        self.on, self.since = {str(name) for name in data["on"]}, int(data["since"])
        self.halved = int(data["halved"])

    def recall(self, rows: list[Report]) -> None:
        """See again what the run's reports said since the last restart."""
        self.first, self.rows = [], []
        self._keep([row for row in rows if row["step"] >= self.since])

    def _keep(self, reports: list[Report]) -> None:
        """Remember what alarms need of these reports."""
        self.first = [*self.first, *reports][: self.limits.window]
        self.rows = [*self.rows, *reports][-max(self.limits.window, self.limits.zero) :]

    def _new(self, found: list[Alarm], kept: set[str]) -> list[Alarm]:
        """Alarms of ``found`` that were off; those of ``kept`` are not judged here."""
        names = {alarm.name for alarm in found}
        new = [alarm for alarm in found if alarm.name not in self.on]
        self.on = names | (self.on & kept)
        return new
