"""Whether what an arm trains fits its tasks and the network it starts with, before any arm is trained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from neuromas.config import Config, at_stage
from neuromas.core.errors import ConfigError, NeuromasError, PartsError, TaskError
from neuromas.core.task import Task
from neuromas.experiment.arms import Arm
from neuromas.system.fitting import check_parts, check_stage_parts, other_adapters
from neuromas.tasks import make_task
from neuromas.topology.graph import Topology


@dataclass(frozen=True, slots=True)
class Source:
    """The network another arm starts with: ``topology`` is that with which ``name``, ``ARM:STAGE``, ends."""

    name: str
    config: Config
    topology: Topology


class Tasks:
    """Tasks by name and options, each made once, because reading files takes a while."""

    def __init__(self) -> None:
        self._made: dict[str, Task | NeuromasError] = {}

    def of(self, config: Config) -> Task:
        """The task of a run or a stage. Raises TaskError or ConfigError where it cannot be made."""
        key = repr((config.task.name, config.task.options))
        if key not in self._made:
            try:
                self._made[key] = make_task(config.task.name, config.task.options)
            except NeuromasError as error:
                self._made[key] = error
        found = self._made[key]
        if isinstance(found, NeuromasError):
            raise found
        return found

    def there(self, config: Config) -> Task | None:
        """The same; None where it cannot be made now: its files may be there when the stage begins."""
        try:
            return self.of(config)
        except NeuromasError:
            return None


def check_arm(
    arm: Arm, config: Config, goals: Sequence[Topology], tasks: Tasks, source: Source | None
) -> None:
    """The parts of every stage's task are enough for its graph, and the adapters are those it starts with.

    ``goals`` are the graphs of the stages. Raises ConfigError in one line that names arm and stage.
    """
    if source and (found := other_adapters(source.config.model, config.model)):
        key, before, now = found
        raise ConfigError(
            f"arm {arm.name!r}: stage 1: {key} = {now}, but the adapters of {source.name!r}, with which it "
            f"starts, have {key} = {before}; give both arms the same"
        )
    if source and not config.stages and (task := tasks.there(config)):  # training asks it so, too
        with _Of(arm, f"stage 1: it starts with {source.name!r}: "):
            check_parts(source.topology, task)
    for index, goal in enumerate(goals):
        if task := tasks.there(at_stage(config, index)):
            alone = "" if config.stages or config.growth.stages else "stage 1: "
            with _Of(arm, alone):
                check_stage_parts(config, index, goal, task)


class _Of:
    """Errors of parts are those of an arm; a task that has no first problem here is left for its run."""

    def __init__(self, arm: Arm, place: str) -> None:
        self._who = f"arm {arm.name!r}: {place}"

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        if isinstance(error, PartsError):
            raise PartsError(f"{self._who}{error}") from None
        return isinstance(error, TaskError)
