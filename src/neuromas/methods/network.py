"""The trained network itself, as one method among others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from neuromas.core.episode import EpisodeGroup, grouped
from neuromas.core.task import Problem
from neuromas.evaluation.heldout import about_network
from neuromas.methods.base import Bench, Method
from neuromas.methods.limits import check_temperature
from neuromas.system.rollout import Sampling, rollout


@dataclass(frozen=True)
class TrainedNetwork(Method):
    """One pass, greedy or sampled at ``temperature``: every node writes once, the output node answers."""

    temperature: float = 0.0

    costs = "one a node"
    source = "arXiv:2605.16757"
    of_network = True

    def __post_init__(self) -> None:
        check_temperature("network", self.temperature)

    def calls(self, bench: Bench) -> int:
        """The nodes."""
        return len(bench.network.topology.nodes)

    def at(self, temperature: float) -> TrainedNetwork:
        """See ``Method.at``."""
        return replace(self, temperature=temperature)

    def answer(self, bench: Bench, problems: Sequence[Problem], samples: int = 1) -> list[EpisodeGroup]:
        """See ``Method.answer``; a greedy pass is that of ``evaluate``, and all samples of it are alike."""
        sampling = Sampling(self.temperature, bench.seed if self.temperature else 0)
        return grouped(rollout(bench.network, bench.task, problems, samples, sampling), samples)

    def about(self, bench: Bench) -> dict[str, Any]:
        """The network."""
        return about_network(bench.network)
