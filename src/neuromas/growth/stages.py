"""The schedule of a growing run: how long a stage lasts, how far its gates are, who learns how fast."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from neuromas.config import Config, GrowthConfig, LiftConfig, as_written, at_stage, make_config
from neuromas.core.choices import QUESTION_MODES
from neuromas.core.errors import ConfigError, TopologyError
from neuromas.growth.copies import step as step_of
from neuromas.growth.operators import Growth, at
from neuromas.topology.files import agreed_topology, load_topology, short
from neuromas.topology.graph import Topology
from neuromas.topology.views import under

LEVELS = {"steps": 4, "reward": 20}  # by how many steps a view is lifted that waits for what is earned


@dataclass(frozen=True, slots=True)
class Stage:
    """Where a run stands: stage ``index`` (from 0) began at step ``since`` and lasts ``steps`` at most.

    ``start`` and ``goal`` are the transition it began with and where that ends (None: it did not grow);
    ``new`` are the adapter rows that began in it, ``born`` those of all growths until now;
    ``inherited`` are those that were trained before the last growth, or before this run. ``level`` counts the
    steps by which the view was lifted, where that waits for what is earned.
    """

    index: int
    since: int
    steps: int
    start: Topology | None = None
    goal: Topology | None = None
    new: tuple[int, ...] = ()
    born: tuple[int, ...] = ()
    inherited: tuple[int, ...] = ()
    level: int = 0

    def followed_by(self, change: Growth, adapters: tuple[int, int], since: int, steps: int) -> Stage:
        """The stage after this one; ``adapters`` is how many there were before its change and are now."""
        # copies are as well trained as what they copy, so all learn alike
        adapters = (adapters[1], adapters[1]) if change.exact else adapters
        new = tuple(range(*adapters))
        index, born = self.index + 1, (*self.born, *new)
        grew = bool(change.steps) or index == 0  # in the first stage of a child all is inherited
        inherited = tuple(range(adapters[0])) if grew else self.inherited
        return Stage(index, since, steps, change.start, change.goal, new, born, inherited)

    def undone(self, adapters: int) -> Stage:
        """The stage as if it had not grown: the network is the one before, with so many adapters."""
        born = tuple(row for row in self.born if row < adapters)
        inherited = tuple(row for row in self.inherited if row < adapters)
        return replace(self, start=None, goal=None, new=(), born=born, inherited=inherited)

    @property
    def changed(self) -> bool:
        """Whether the stage began with a growth."""
        return self.start is not None and self.start != self.goal

    @property
    def first(self) -> str:
        """Name of the checkpoint with the stage's first state."""
        return "step-000000" if self.start is None else f"start-{self.index + 1}"

    def gated(self, settings: GrowthConfig) -> bool:
        """Whether the stage began with a growth through gates, so with the answers of the network before.

        One of no steps did not: nobody would open them.
        """
        return self.changed and settings.gated and self.steps > 0

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

    def lifted(self, step: int, settings: LiftConfig) -> float:
        """Probability that a node of an episode reads the last view at ``step``; 1 where it has one."""
        if not settings.view:
            return 1.0
        if settings.way == "linear":
            risen = min(1.0, (step - self.since + 1) / max(1.0, settings.over * self.steps))
        else:
            risen = 1.0 if settings.way == "held" else self.level / LEVELS[settings.way]
        return settings.start + (settings.end - settings.start) * risen

    def raised(self, earned: float | None, settings: LiftConfig) -> Stage:
        """The stage after something was earned with views drawn: lifted further if it is enough.

        A view that waits for the reward comes down again where a step earns less than half of that: what is
        lost while most samples fail is not learned again by staying there.
        """
        if earned is None:
            return self
        if earned >= settings.at:
            return replace(self, level=min(self.level + 1, LEVELS[settings.way]))
        falls = settings.way == "reward" and earned < settings.at / 2
        return replace(self, level=max(0, self.level - 1)) if falls else self

    def topology(self, step: int, settings: GrowthConfig) -> Topology | None:
        """The graph of this step; None if the stage did not change it."""
        if self.start is None or self.goal is None:
            return None
        return at(self.start, self.goal, self.opening(step, settings))

    def lr_scale(self, step: int, settings: GrowthConfig, adapters: int) -> dict[int, float]:
        """Factor of each adapter's learning rate at this step.

        A node keeps the ``new_rate`` it was born with, so that one that is not to learn never does.
        """
        early = bool(self.new) and settings.new_rate > 0.0 and step - self.since < settings.first * self.steps
        scales = {}
        for row in range(adapters):
            scale = settings.new_rate if row in self.born else 1.0
            scale *= settings.inherited_rate if row in self.inherited else 1.0
            scale *= settings.old_rate if early and row not in self.new else 1.0
            if scale != 1.0:
                scales[row] = scale
        return scales

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
            "inherited": list(self.inherited),
            **({"level": self.level} if self.level else {}),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Stage:
        """Read ``to_dict``'s form, once ``system.saved_state`` checked it. Raises TopologyError."""
        start, goal = (
            None if data[key] is None else Topology.from_dict(data[key]) for key in ("start", "goal")
        )
        new = tuple(data["new"])
        born = tuple(data.get("born", new))  # 0.1.0 did not keep these two
        inherited = tuple(data.get("inherited", ()))
        where = (data["index"], data["since"], data["steps"])
        return cls(*where, start, goal, new, born, inherited, data.get("level", 0))


def lift_short(settings: LiftConfig, lifted: float) -> str:
    """What is said of a stage whose last step lifted its view less far than it was to; empty where it did."""
    if not settings.view or lifted >= settings.end - 1e-9:
        return ""
    waits = {
        "steps": f"the lift waits for validation with views drawn to reach lift.at = {settings.at:g}",
        "reward": f"the lift waits for steps that earn lift.at = {settings.at:g}",
    }
    return (
        f"with its view lifted to {lifted:.3g}, not to {settings.end:.3g}: in its last step nodes read "
        f"{settings.view[1]!r} with that probability, and what is saved reads it alone; "
        f"{waits.get(settings.way, 'the stage was over before the lift')}"
    )


def idle_views(config: Config, goals: Sequence[Topology]) -> list[str]:
    """A line for each stage whose two views hand every node of its graph in ``goals`` the same.

    A share of one part is the whole question, in other words at most: on one node "split" divides nothing.
    """
    said = []
    for index, goal in enumerate(goals):
        lift = at_stage(config, index).lift
        if not lift.view or lift.examples[0] != lift.examples[1]:
            continue
        first, last = (_handed(under(goal, mode)) for mode in lift.modes)
        if first == last:
            shape, views = short(config.shapes[index][0]), list(lift.view)
            line = (
                f"lift.view = {views} lifts nothing: every node of {shape} is handed as much of the question "
            )
            line += f"under {views[0]!r} as under {views[1]!r}"
            said.append(as_written(config, index, line))
    return said


def _handed(topology: Topology) -> dict[str, str]:
    """What each node is handed of the question; one part of one is all of it."""
    return {node.name: "all" if node.question == "1/1" else node.question for node in topology.nodes}


def without_steps(config: Config) -> Config:
    """The configuration of one network that is not trained. Raises ConfigError where there are stages."""
    if len(config.shapes) > 1 or config.stages or config.growth.parent:
        raise ConfigError(
            "the configuration has stages or a parent: only a single network can be asked untrained; name "
            "its graph with network.topology alone"
        )
    return settle(make_config({**dict(config), "train": {**dict(config.train), "steps": 0}}))


def stage_config(config: Config, index: int) -> Config:
    """The ordinary configuration of a stage (from 0) as it is recorded; -1: a child that has not grown."""
    return settle(at_stage(config, max(0, index))) if config.stages else config


def settle(config: Config) -> Config:
    """The configuration with ``network.question`` as its topologies have it: what a run records.

    "auto" becomes the one mode under which every topology is what its text or file says; it stays where
    a file says more than a mode can, and where stages have views of their own. Raises TopologyError where a
    mode contradicts a file.
    """
    if config.stages:
        for index in range(len(config.stages)):
            settle(at_stage(config, index))
        return config
    question = config.network.question
    goals = [agreed_topology(shape, question) for shape, _ in config.shapes]
    if question != "auto":
        return config
    for mode in QUESTION_MODES:
        if goals == _under_mode(config, mode):
            network = config.network.model_copy(update={"question": mode})
            return config.model_copy(update={"network": network})
    return config


def _under_mode(config: Config, mode: str) -> list[Topology] | None:
    """The topologies of all stages under one mode; None where it is none of such graphs."""
    try:
        return [load_topology(shape, mode) for shape, _ in config.shapes]
    except TopologyError:
        return None


def goals(config: Config) -> list[Topology]:
    """The graph with which each stage ends. Raises TopologyError."""
    return [
        load_topology(shape, at_stage(config, index).network.question)
        for index, (shape, _) in enumerate(config.shapes)
    ]


def advance(here: Topology, goal: Topology, config: Config) -> Growth:
    """The way from a network to a stage's ``goal``; ``config`` is that of the stage.

    A trained node keeps what it reads, unless the stage lifts a view that it knows, or it is copied.
    """
    modes = config.lift.modes
    copied = config.growth.init == "copy"
    change = step_of(here, under(goal, modes[0]) if modes and not copied else goal, config.growth)
    if not modes or copied:
        return change
    return replace(change, start=under(change.start, modes[1]), goal=under(change.goal, modes[1]))


def check_stages(config: Config, parent: Topology | None) -> list[Topology]:
    """All stages' topologies, after a rehearsal of every growth.

    Raises TopologyError naming the two stages between which there is no way.
    """
    return [goal for goal, _ in rehearse(config, parent)]


def rehearse(config: Config, parent: Topology | None) -> list[tuple[Topology, Topology]]:
    """Each stage's topology and that with which it ends: trained nodes may keep what they read.

    Raises TopologyError naming the two stages between which there is no way.
    """
    here, found = parent, []
    for index, goal in enumerate(goals(config)):
        try:
            here = goal if here is None else advance(here, goal, stage_config(config, index)).goal
        except TopologyError as error:
            said = as_written(config, index, str(error))
            raise TopologyError(f"growth stage {index + 1}: {said}") from None
        found.append((goal, here))
    return found
