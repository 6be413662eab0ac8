"""What a step changes: learner, state of algorithm and estimator, and the place in the schedule."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import InitVar, dataclass, field
from typing import Any

from neuromas.config import TrainConfig
from neuromas.core.seeds import derive
from neuromas.learner.update import Learner
from neuromas.learning.credit import check_state, make_estimator
from neuromas.learning.estimators.base import Estimator
from neuromas.learning.schedule import factor
from neuromas.models.resident import ResidentModel
from neuromas.system.network import Network
from neuromas.system.rollout import Sampling
from neuromas.training.algorithms.base import Algorithm
from neuromas.training.algorithms.build import make_algorithm


@dataclass(slots=True)
class Trainer:
    """Everything a step changes. ``estimator_state[node]`` is what the estimator remembers of a node.

    ``since`` is the step at which the stage, its warm-up and its schedule of ``span`` steps, began; ``lr``
    is its learning rate; ``viewed`` says that it has two views, so that its steps log how far the last is
    lifted. ``credited`` has the last step's advantages, a list by node for each episode by its ``id``: a
    log's, read before the episodes go.
    """

    network: Network
    model: InitVar[ResidentModel]
    settings: TrainConfig
    seed: int
    step: int = 0
    since: int = 0
    span: int = 0
    lr: float = 0.0
    viewed: bool = False
    estimator: Estimator = field(init=False)
    estimator_state: dict[int, Any] = field(default_factory=dict)
    credited: dict[int, list[float | None]] = field(default_factory=dict)
    learner: Learner = field(init=False)
    algorithm: Algorithm = field(init=False)

    def __post_init__(self, model: ResidentModel) -> None:
        self.lr, self.span = self.lr or self.settings.lr, self.span or self.settings.steps
        self.estimator = make_estimator(self.settings)
        self.learner = Learner(model, self.settings)
        self.algorithm = make_algorithm(self.settings)
        self.algorithm.begin(self)

    def publish(self) -> None:
        """Let the engine write with what was learned."""
        self.network.engine.publish(self.learner.model.bank)

    def temperature(self) -> float:
        """Sampling temperature of the coming step: constant, or linear to ``final_temperature``."""
        first, last = self.settings.temperature, self.settings.final_temperature
        if last is None or self.settings.steps < 2:
            return first
        whole = self.settings.steps != self.span  # of a run of several stages in one configuration
        done = self.step if whole else self.step - self.since
        return first + (last - first) * min(1.0, done / (self.settings.steps - 1))

    def sampling(self, first: int) -> Sampling:
        """How the batch of the coming step is drawn that begins with its problem number ``first``."""
        seed = derive(self.seed, "step", self.step)
        # a problem that is met in two batches is drawn anew
        return Sampling(self.temperature(), derive(seed, "batch", first) if first else seed)

    def use(self, settings: TrainConfig) -> None:
        """Go on with the settings of another stage; the estimator and the algorithm stay."""
        self.settings = self.learner.settings = settings

    def scheduled(self) -> float:
        """Learning rate of the coming step, before an adapter's own scale."""
        settings = self.settings
        return self.lr * factor(settings.schedule, self.step - self.since, self.span, settings.warmup)

    def remember(self, kept: Mapping[Any, Any]) -> None:
        """Take over states of the estimator by node. Raises ValueError if it cannot go on from one."""
        for state in kept.values():
            check_state(self.estimator, state)
        self.estimator_state = {int(node): state for node, state in kept.items()}
