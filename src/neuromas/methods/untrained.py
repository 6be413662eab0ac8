"""The network's graph without what it learned: every node is the frozen model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from neuromas.core.episode import EpisodeGroup
from neuromas.core.errors import ConfigError
from neuromas.core.task import Problem
from neuromas.evaluation.heldout import about_network
from neuromas.methods.base import Bench, Method
from neuromas.methods.limits import check_temperature
from neuromas.methods.network import TrainedNetwork
from neuromas.prompts.template import with_roles
from neuromas.system.network import Network
from neuromas.topology.graph import Topology

_SOLVER = "You are a solver: work out what you are given and write down what you find."
_CRITIC = "You are a critic: test what the nodes before you found and put right what is wrong."
_AGGREGATOR = "You are the aggregator: weigh what the nodes before you found and decide on one answer."


@dataclass(frozen=True)
class Untrained(Method):
    """One pass through the network's own graph and prompts, with the adapter of zeros in every node.

    With ``roles`` nodes are told one, too: who reads no message is a solver, who answers from messages the
    aggregator, everybody else a critic. Roles of a prompt file give way to these.
    """

    roles: bool = False
    temperature: float = 0.0

    costs = "one a node"
    source = "arXiv:2605.16757, before training"
    differs = "roles are ours; the network itself has none"

    def __post_init__(self) -> None:
        if type(self.roles) is not bool:
            raise ConfigError(f"roles = {self.roles!r} of method 'untrained' (valid: true, false)")
        check_temperature("untrained", self.temperature)

    def calls(self, bench: Bench) -> int:
        """The nodes."""
        return len(bench.network.topology.nodes)

    def asks_network(self) -> bool:
        """Its topology."""
        return True

    def at(self, temperature: float) -> Untrained:
        """See ``Method.at``."""
        return replace(self, temperature=temperature)

    def answer(self, bench: Bench, problems: Sequence[Problem], samples: int = 1) -> list[EpisodeGroup]:
        """See ``Method.answer``."""
        bare = replace(bench, network=self.network(bench))
        return TrainedNetwork(self.temperature).answer(bare, problems, samples)

    def about(self, bench: Bench) -> dict[str, Any]:
        """The network as it is asked."""
        return about_network(self.network(bench))

    def network(self, bench: Bench) -> Network:
        """The network of the bench with the frozen model in every node."""
        network = bench.network.settled
        topology = network.topology
        bare = replace(network, assignment=tuple(bench.frozen for _ in topology.nodes))
        if not self.roles:
            return bare
        roles = {node.name: _role(topology, row) for row, node in enumerate(topology.nodes)}
        return replace(bare, template=with_roles(network.template, roles, "solver, critic, aggregator"))


def _role(topology: Topology, node: int) -> str:
    """What a node is told of itself."""
    if not topology.incoming(node):
        return _SOLVER
    return _AGGREGATOR if node == topology.sink else _CRITIC
