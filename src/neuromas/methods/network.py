"""The trained network itself, as one method among others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from neuromas.core.episode import EpisodeGroup, grouped
from neuromas.core.task import Problem
from neuromas.evaluation.heldout import about_network
from neuromas.methods.base import Bench, Method
from neuromas.system.rollout import Sampling, rollout


class TrainedNetwork(Method):
    """One greedy pass: every node writes once, the output node answers."""

    costs = "one a node"
    source = "arXiv:2605.16757"
    of_network = True

    def calls(self, bench: Bench) -> int:
        """The nodes."""
        return len(bench.network.topology.nodes)

    def answer(self, bench: Bench, problems: Sequence[Problem], samples: int = 1) -> list[EpisodeGroup]:
        """See ``Method.answer``; greedy, so all samples are alike."""
        return grouped(rollout(bench.network, bench.task, problems, samples, Sampling(0.0, 0)), samples)

    def about(self, bench: Bench) -> dict[str, Any]:
        """The network."""
        return about_network(bench.network)
