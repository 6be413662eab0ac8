"""The schedule of a growing run: how long a stage lasts, how far its gates are, who learns how fast."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from neuromas.config import Config, GrowthConfig
from neuromas.errors import RunError, TopologyError
from neuromas.graphs import load_topology
from neuromas.growth.operators import at, grow
from neuromas.topology import Topology


@dataclass(frozen=True, slots=True)
class Stage:
    """Where a run stands: stage ``index`` (from 0) began at step ``since`` and lasts ``steps`` at most.

    ``start`` and ``goal`` are the transition it began with and where that ends (None: it did not grow);
    ``new`` are the adapter rows that began in it, ``born`` those of all stages.
    """

    index: int
    since: int
    steps: int
    start: Topology | None = None
    goal: Topology | None = None
    new: tuple[int, ...] = ()
    born: tuple[int, ...] = ()

    @property
    def changed(self) -> bool:
        """Whether the stage began with a growth."""
        return self.start is not None and self.start != self.goal

    @property
    def first(self) -> str:
        """Name of the checkpoint with the stage's first state."""
        return "step-000000" if self.start is None else f"start-{self.index + 1}"

    def gated(self, settings: GrowthConfig) -> bool:
        """Whether the stage began with a growth through gates, so with the answers of the network before."""
        return self.changed and settings.gated

    def rate(self, config: Config) -> float:
        """The stage's learning rate."""
        return config.growth.lr[self.index] if config.growth.lr else config.train.lr

    def opening(self, step: int, settings: GrowthConfig) -> float:
        """How far the gates are open at ``step``, up to 1; linear over the first ``anneal`` of the stage.

        The first step is not one with closed gates: nothing new would be heard and so nothing be learned.
        """
        if not self.gated(settings):
            return 1.0
        span = settings.anneal * self.steps
        return min(1.0, (step - self.since + 1) / span) if span > 0 else 1.0

    def topology(self, step: int, settings: GrowthConfig) -> Topology | None:
        """The graph of this step; None if the stage did not change it."""
        if self.start is None or self.goal is None:
            return None
        return at(self.start, self.goal, self.opening(step, settings))

    def rates(self, step: int, settings: GrowthConfig, adapters: int) -> dict[int, float]:
        """Factor of each adapter's learning rate at this step.

        A node keeps the ``new_rate`` it was born with, so that one that is not to learn never does.
        """
        if self.start is None:
            return {}
        early = settings.new_rate > 0.0 and step - self.since < settings.first * self.steps
        old = settings.inherited_rate * (settings.old_rate if self.new and early else 1.0)
        born = dict.fromkeys((*self.born, *self.new), settings.new_rate)
        rates = {row: born.get(row, 1.0) * (1.0 if row in self.new else old) for row in range(adapters)}
        return {row: rate for row, rate in rates.items() if rate != 1.0}

    def to_dict(self) -> dict[str, Any]:
        """Plain data for a checkpoint."""
        return {
            "index": self.index,
            "since": self.since,
            "steps": self.steps,
            "start": None if self.start is None else self.start.to_dict(),
            "goal": None if self.goal is None else self.goal.to_dict(),
            "new": list(self.new),
            "born": list(self.born),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Stage:
        """Read ``to_dict``'s form. Raises RunError."""
        try:
            start, goal = (
                None if data[key] is None else Topology.from_dict(data[key]) for key in ("start", "goal")
            )
            numbers = [int(data[key]) for key in ("index", "since", "steps")]
            new = tuple(int(row) for row in data["new"])
            born = tuple(int(row) for row in data.get("born", new))  # 0.1.0 did not keep it
            return cls(numbers[0], numbers[1], numbers[2], start, goal, new, born)
        except (KeyError, TypeError, ValueError, TopologyError) as error:
            raise RunError(f"a checkpoint's growth stage is damaged ({error!r})") from error


def shapes(config: Config) -> list[tuple[str, int]]:
    """The stages of a run: those configured, or the one network."""
    return list(config.growth.stages) or [(config.network.topology, config.train.steps)]


def check_stages(config: Config, parent: Topology | None) -> list[Topology]:
    """All stages' topologies, after a rehearsal of every growth.

    Raises TopologyError naming the two stages between which there is no way.
    """
    question = config.network.question
    goals = [load_topology(shape, question) for shape, _ in shapes(config)]
    here = parent
    for number, goal in enumerate(goals, start=1):
        if here is not None:
            try:
                here = grow(here, goal, config.growth.positions).goal
            except TopologyError as error:
                raise TopologyError(f"growth stage {number}: {error}") from None
        else:
            here = goal
    return goals
