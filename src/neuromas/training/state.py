"""Where a run stands: all that changes while it trains, and what of it a checkpoint holds."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from neuromas.config import Config
from neuromas.core.task import Task
from neuromas.growth.lineage import Lineage
from neuromas.growth.stages import Stage, stage_config
from neuromas.models.ranks import Ranks
from neuromas.system.assemble import Assembly
from neuromas.system.network import Network
from neuromas.training.guard import Guard
from neuromas.training.trainer import Trainer


@dataclass(frozen=True, slots=True)
class Best:
    """The best state of a stage so far: validation accuracy in [0, 1], step, name of its checkpoint."""

    accuracy: float
    step: int
    folder: str

    def to_list(self) -> list[Any]:
        """Plain data for a checkpoint."""
        return [self.accuracy, self.step, self.folder]

    @classmethod
    def read(cls, data: Any) -> Best | None:
        """Read ``to_list``'s form, or 0.1.0's without a folder, once ``system.saved_state`` checked it."""
        if data is None:
            return None
        accuracy, step, *folder = data
        return cls(accuracy, step, folder[0] if folder else f"step-{step:06d}")

    def ended_below(self, validations: Sequence[Mapping[str, Any]]) -> str:
        """How a stage ended that did not get above this state, by the run's validations."""
        last = [row["accuracy"] for row in validations if row["step"] > self.step][-1:]
        shown = f"{100 * last[0]:.1f} %" if last and last[0] is not None else "nothing"
        return f"ended with {shown} on validation, below its start with {100 * self.accuracy:.1f} %"

    def outlasted(self, validations: Iterable[Mapping[str, Any]], settled: Callable[[int], bool]) -> int:
        """How many validations came after this state; those do not count in which gates were opening.

        A network on its way to the stage's could not have become the best one.
        """
        return sum(1 for row in validations if row["step"] > self.step and settled(row["step"]))


@dataclass(slots=True)
class TrainState:
    """All that changes while a run trains; whoever changes it is handed the whole.

    ``trainer`` owns the network, its adapters and optimisers, the step, the seed of all draws and what the
    estimator remembers. ``problems_seen`` counts the training problems that earlier stages, and ancestors in
    other runs, met; ``ancestor`` names the last of these. ``seconds`` were spent on steps.
    """

    plan: Config  # the run's whole configuration
    base: Assembly  # that of the stage, model and the stage's task; its network is only the first one
    trainer: Trainer
    guard: Guard
    stage: Stage
    best: Best | None = None
    lineage: Lineage = field(default_factory=Lineage)
    problems_seen: int = 0
    ancestor: dict[str, Any] = field(default_factory=lambda: {"run": ""})
    seconds: float = 0.0

    @classmethod
    def new(cls, assembly: Assembly, plan: Config | None = None) -> TrainState:
        """That of a run that has not begun; the assembly's configuration is that of the first stage."""
        config = assembly.config
        plan = plan or config
        trainer = Trainer(assembly.network, assembly.model, config.train, config.seed)
        return cls(plan, assembly, trainer, Guard(config.alarms), Stage(0, 0, plan.shapes[0][1]))

    @property
    def config(self) -> Config:
        """The configuration of the stage: the run's own where it has no ``stages``."""
        return self.base.config

    @property
    def ranks(self) -> Ranks:
        """The processes that train together."""
        return self.base.model.ranks

    @property
    def step(self) -> int:
        """Updates made."""
        return self.trainer.step

    @property
    def assembly(self) -> Assembly:
        """The network as it is under its last view, with configuration, model and task."""
        return replace(self.base, network=self.trainer.network.settled)

    @property
    def place(self) -> int:
        """Where in the stream of training problems the coming step begins."""
        return self.problems_seen + (self.step - self.stage.since) * self.config.train.batch

    @property
    def over(self) -> bool:
        """Whether the stage has had all its steps."""
        return self.step >= self.stage.since + self.stage.steps

    def enter(self, stage: Stage, config: Config, task: Task) -> None:
        """Go on in another stage, with its configuration and task."""
        self.problems_seen, self.stage = self.place, stage
        self.base = replace(self.base, config=config, task=task)

    def follow(self, network: Network, before: Mapping[int, int]) -> None:
        """Go on with a network whose nodes were those of ``before``: what the estimator remembers follows."""
        kept = self.trainer.estimator_state
        self.trainer.remember({row: kept[old] for row, old in before.items() if old in kept})
        self.trainer.network = network

    def to_dict(self) -> dict[str, Any]:
        """The state in a checkpoint's manifest; lineage, adapters and optimisers lie beside it."""
        trainer = self.trainer
        return {
            "step": trainer.step,
            "cursor": self.place,
            "seed": trainer.seed,  # all draws are functions of the seed and the step
            "ema": {str(node): kept for node, kept in trainer.estimator_state.items()},  # of any estimator
            "best": None if self.best is None else self.best.to_list(),
            "seconds": self.seconds,
            "stage": self.stage.to_dict(),
            "guard": self.guard.to_dict(),
            "ancestor": self.ancestor,
            **({"algorithm": facts} if (facts := dict(trainer.algorithm.state().facts)) else {}),
        }

    def take(self, manifest: Mapping[str, Any]) -> None:
        """Go on from a manifest's state and lineage. Raises KeyError, TypeError, ValueError or RunError."""
        data, trainer = manifest["state"], self.trainer
        trainer.step, trainer.seed = int(data["step"]), int(data["seed"])
        trainer.remember(data["ema"])
        self.best = Best.read(data["best"])
        self.seconds = float(data["seconds"])
        self.ancestor = dict(data.get("ancestor", self.ancestor))
        self.stage = _as_configured(Stage.from_dict(data["stage"]), self.plan)
        self.base = replace(self.base, config=stage_config(self.plan, self.stage.index))
        done = (trainer.step - self.stage.since) * self.config.train.batch
        self.problems_seen = int(data["cursor"]) - done
        self.lineage = Lineage.from_manifest(manifest, "")
        self.guard.take(data.get("guard", {"on": [], "since": trainer.step, "halved": 0}))  # 0.1.0 had none


def _as_configured(stage: Stage, config: Config) -> Stage:
    """The stage with the steps it has now: a run that goes on may be given more."""
    stages = config.shapes
    return replace(stage, steps=stages[stage.index][1]) if 0 <= stage.index < len(stages) else stage
