"""A network: a topology whose nodes are adapters of one engine, with the limits they write under."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace

from neuromas.core.choices import SHARES
from neuromas.core.errors import ConfigError, shown, unknown
from neuromas.core.seeds import derive
from neuromas.core.task import Problem
from neuromas.engines.base import Engine
from neuromas.models.ranks import ALONE, Ranks
from neuromas.prompts.build import Wording
from neuromas.prompts.template import Template, built_in, ends, keys
from neuromas.system.tools import PythonTool
from neuromas.topology.graph import Topology


@dataclass(frozen=True, slots=True)
class Network:
    """What a rollout needs. ``assignment[node]`` is the adapter row of each node.

    While a view is lifted, ``earlier`` is the network with what nodes saw before: a node reads as it says or,
    with probability ``lifted``, as this one does. With ``alike`` the samples of a problem share the draw, and
    ``lifted`` is the share of nodes that read as this one does, a fraction of a node being one at times.
    With ``taught``, the weight of what they are taught, turns under the first view carry the prompt of
    the last, too. ``tool`` runs what messages hold of programs, see ``system.tools``. ``ranks`` are the
    processes among which its rollouts are dealt out.
    """

    topology: Topology
    engine: Engine
    assignment: tuple[int, ...]
    style: str = "plain"
    message_tokens: int = 16
    answer_tokens: int = 16
    template: Template = field(default_factory=built_in)
    examples: tuple[Problem, ...] = ()
    earlier: Network | None = None
    lifted: float = 1.0
    alike: bool = False
    taught: float = 0.0
    ranks: Ranks = ALONE
    tool: PythonTool | None = None

    @property
    def settled(self) -> Network:
        """The network with its last view alone: what is evaluated and saved."""
        return (
            self if self.earlier is None else replace(self, earlier=None, lifted=1.0, alike=False, taught=0.0)
        )

    def reads_last(self, node: int, problem: str, sample: int, seed: int) -> bool:
        """Whether the node reads the last view in this sample of the problem with this id."""
        if self.earlier is None:
            return True
        if not self.alike:
            return derive(seed, "view", problem, sample, node) < self.lifted * 2.0**63
        nodes = range(len(self.topology.nodes))
        many = self.lifted * len(nodes) + derive(seed, "views", problem) / 2.0**63
        first = sorted(nodes, key=lambda one: derive(seed, "view", problem, one))
        return node in first[: int(many)]

    def wording(self, answer_format: str) -> Wording:
        """How the nodes are told, of a task whose answers have this form."""
        return Wording(self.style, answer_format, self.template, self.examples)

    def stop(self, node: int) -> tuple[str, ...]:
        """The rules that end the node's message, see ``prompts.template``."""
        return self.template.texts(self.topology, node, self.style).stop

    def ends(self, node: int) -> frozenset[int]:
        """Tokens that end the node's message."""
        return ends(self.engine.codec, self.stop(node))

    def budget(self, node: int) -> int:
        """Most tokens the node may write, its end token included."""
        if node == self.topology.sink:
            return self.answer_tokens
        return self.topology.message_budget(node, self.message_tokens)


def assign(topology: Topology, share: str) -> tuple[int, ...]:
    """Adapter row of every node: one for each node, one for each layer, or one for all."""
    if share == "node":
        return tuple(range(len(topology.nodes)))
    if share == "layer":
        return tuple(node.layer - 1 for node in topology.nodes)
    if share == "all":
        return tuple(0 for _ in topology.nodes)
    raise ConfigError(unknown("value of share", share, SHARES))


def held(topology: Topology, assignment: Sequence[int], only: Collection[str]) -> set[int]:
    """Adapter rows that do not learn because ``only`` these nodes do (see ``prompts.template.keys``).

    Nothing is held where ``only`` is empty; an adapter learns if one of its nodes does.
    """
    if not only:
        return set()
    named = [row for node, row in enumerate(assignment) if not set(only).isdisjoint(keys(topology, node))]
    return set(assignment) - set(named)


def check_only(
    stages: Sequence[tuple[Topology, str]],
    only: Sequence[str],
    assigned: Sequence[tuple[int, ...] | None] = (),
) -> None:
    """Raises ConfigError where ``train.only`` cannot be had in these stages, each a graph and its share.

    Every name is that of a node of some stage; in each stage somebody learns, and nobody who does has the
    adapter of one who does not. ``assigned`` are the stages' adapter rows where these do not follow from the
    share alone: copies may be tied.
    """
    known = {key for graph, _ in stages for node in range(len(graph.nodes)) for key in keys(graph, node)}
    for name in only:
        if name not in known:
            raise ConfigError(f"train.only: {unknown('node', name, sorted(known))}")
    given = assigned or [None] * len(stages)
    for (graph, share), own in zip(stages, given, strict=True) if only else ():
        rows = own or assign(graph, share)
        silent = held(graph, rows, only)
        if len(silent) == len(set(rows)):
            raise ConfigError(
                f"train.only = {shown(list(only))} names no node of {graph}: nothing would learn there"
            )
        for node in range(len(graph.nodes)):
            if rows[node] not in silent and set(only).isdisjoint(keys(graph, node)):
                tied = " and copies that are tied" if rows != assign(graph, share) else ""
                raise ConfigError(
                    f"train.only = {shown(list(only))}: node {graph.nodes[node].name!r} has the adapter of "
                    f"one that learns (network.share = {share!r}{tied}); name it, too, or share no adapter"
                )
