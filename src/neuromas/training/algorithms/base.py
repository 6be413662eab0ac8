"""What a training algorithm is, and what of it lies in a checkpoint."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from torch import Tensor

from neuromas.core.episode import Episode
from neuromas.core.task import Problem, Task

if TYPE_CHECKING:  # a trainer holds its algorithm
    from neuromas.config import TrainConfig
    from neuromas.topology.graph import Topology
    from neuromas.training.trainer import Trainer

Stepped = tuple[dict[str, Any], list[Episode]]


@dataclass(frozen=True, slots=True)
class Memory:
    """What an algorithm must have again to go on: ``tensors`` by name, and ``facts`` that JSON can hold.

    Tensors are kept as safetensors beside the optimisers' states, facts in the checkpoint's manifest.
    """

    tensors: Mapping[str, Tensor] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)


class Algorithm(ABC):
    """A way to train. Fields of a derived dataclass are its options, given in ``train.algorithm_options``.

    Keys of ``[train]`` are read from ``trainer.settings`` in every step, because a stage may change them.
    ``source`` says where the algorithm is from, ``differs`` what is left out of or added to that.
    """

    source: ClassVar[str]
    differs: ClassVar[str] = ""

    def begin(self, trainer: Trainer) -> None:
        """Make what is trained beside the adapters. Called once, before any step."""
        return

    def check(self, settings: TrainConfig, topology: Topology, taught: float = 0.0) -> None:
        """Raises ConfigError if it cannot train this network so; ``taught`` is ``lift.taught``.

        Asked of every stage before a run is made.
        """
        return

    @abstractmethod
    def step(self, trainer: Trainer, task: Task, problems: Sequence[Problem]) -> Stepped:
        """One step on these problems: what is logged, and the episodes it learned from.

        What is sampled, credited, learned and logged are pieces of ``training.step``; ``step.finish`` moves
        ``trainer.step`` on. Every draw derives from ``trainer.seed`` and ``trainer.step``. Raises
        DivergedError before anything is changed by numbers that are not finite.
        """

    def state(self) -> Memory:
        """What must be kept in a checkpoint, so that a run goes on from it bit by bit."""
        return Memory()

    def load(self, memory: Memory) -> None:
        """Go on from a ``state()``. Raises ValueError, before any change, if it is none of this one's."""
        if memory.tensors or memory.facts:
            raise ValueError(
                f"{type(self).__name__} keeps nothing in a checkpoint, but this one has something"
            )
