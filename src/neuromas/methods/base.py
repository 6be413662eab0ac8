"""What a method is, and what it is given to answer with."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from neuromas.core.episode import EpisodeGroup
from neuromas.core.errors import ConfigError
from neuromas.core.task import Problem, Task
from neuromas.system.network import Network


@dataclass(frozen=True, slots=True)
class Allowance:
    """What one question may cost: calls (0: as many as the method declares) and tokens of a call.

    ``message_tokens`` is for what others are to read, ``answer_tokens`` for what may become the answer.
    """

    calls: int = 0
    message_tokens: int = 16
    answer_tokens: int = 16


@dataclass(frozen=True, slots=True)
class Bench:
    """Where methods answer: a network, the frozen model beneath it, a task, and what a question may cost.

    ``frozen`` is the adapter with which the network's engine writes as the backbone alone does;
    ``parameters`` counts the network's trainable ones. Every draw derives from ``seed``.
    """

    network: Network
    task: Task
    frozen: int
    parameters: int
    allowance: Allowance
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Search:
    """What a method settled on before it is asked, and what that took.

    ``method`` answers in place of the one that searched; ``found`` says in plain data what was found.
    ``calls``, ``prompt_tokens`` and ``new_tokens`` are those of the whole search.
    """

    method: Method
    found: Mapping[str, Any] = field(default_factory=dict)
    calls: int = 0
    prompt_tokens: int = 0
    new_tokens: int = 0


class Method(ABC):
    """A way to answer. Fields of a derived dataclass are its options; it holds no state between questions.

    ``costs`` says in words how many calls a question takes, ``source`` where the method is from, and
    ``differs`` what is left out of or added to that. ``of_network``: it answers with the trained network,
    if nothing else is asked for. ``oracle``: gold answers decide what counts, so it is a bound and no method.
    """

    costs: ClassVar[str]
    source: ClassVar[str]
    differs: ClassVar[str] = ""
    of_network: ClassVar[bool] = False
    oracle: ClassVar[bool] = False

    @abstractmethod
    def calls(self, bench: Bench) -> int:
        """The most messages that are sampled for one question."""

    def varies(self) -> bool:
        """Whether a question may take fewer calls than ``calls`` says, whose mean is then only measured."""
        return False

    def parameters(self, bench: Bench) -> int:
        """How many trained parameters it answers with."""
        return bench.parameters if self.of_network else 0

    def asks_network(self) -> bool:
        """Whether the network's topology is what answers, trained or not, so that the task must suit it."""
        return self.of_network

    def at(self, temperature: float) -> Method:
        """The same with every message sampled at this temperature, so that samples of it differ.

        Raises ConfigError if it cannot be.
        """
        raise ConfigError(f"method {type(self).__name__} cannot be sampled at a temperature")

    def prepare(self, bench: Bench) -> Search | None:
        """Search, once, on training and validation problems; None where there is nothing to search for.

        Must not read test problems. Every draw derives from ``bench.seed``.
        """
        return None

    @abstractmethod
    def answer(self, bench: Bench, problems: Sequence[Problem], samples: int = 1) -> list[EpisodeGroup]:
        """``samples`` independent answers to every problem, in their order.

        An episode holds every message that was sampled for its answer, scored (see ``scoring.scored``); what
        fails is data (see ``Episode``). The gold answer of a problem must have no influence on any text
        that is written; votes are read as the task reads answers, which may depend on the form of gold.
        """

    def about(self, bench: Bench) -> dict[str, Any]:
        """What the summary of an evaluation says of it beside name, parameters and options."""
        return {"nodes": self.calls(bench)}

    def searches(self) -> bool:
        """Whether ``prepare`` may settle on something, so that its calls are not known before."""
        return type(self).prepare is not Method.prepare
