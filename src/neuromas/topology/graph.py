"""The architecture: a frozen directed acyclic graph that says who reads whom, and nothing else.

``Topology.parse("2-2-1")`` reads hidden widths followed by the output node, dense between layers
(arXiv:2605.16757: ``1-1-1`` is NeuroMAS-3, ``2-2-1`` NeuroMAS-5, ``2-2-2-1`` NeuroMAS-7).
``Topology.build(...)`` takes any list of edges. A node has a position and no role.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

from neuromas.core.choices import QUESTION_MODES
from neuromas.core.errors import TopologyError, plain, shown, unknown
from neuromas.topology.links import CUTS, MAX_NODES, branches, depths, links_of

_SHARE = re.compile(r"([1-9][0-9]{0,3})/([1-9][0-9]{0,3})")
_LABEL = re.compile(r"[1-9][0-9]{0,2}\.[1-9][0-9]{0,2}")


@dataclass(frozen=True, slots=True)
class Place:
    """A position as a node is told it: layer of depth, index of width, and the labels of its readers."""

    layer: int
    depth: int
    index: int
    width: int
    readers: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """``layer.index``: a node's name is the user's and never shown to a node."""
        return f"{self.layer}.{self.index}"


@dataclass(frozen=True, slots=True)
class NodeSpec:
    """One node. ``layer`` and ``index`` are 1-based; ``width`` is the number of nodes in its layer.

    ``question`` is what it sees of the question: ``"all"``, ``"none"``, ``"stem"`` (what is asked,
    without the data), ``"hints"`` (the parts, then all) or ``"i/n"`` for the stem with the i-th of n
    contiguous shares of the parts.
    ``shown_position`` is what prompts say where that is not its own: a grown network may keep the numbers
    its trained nodes know.
    """

    name: str
    layer: int
    index: int
    width: int
    question: str = "all"
    shown_position: Place | None = None


@dataclass(frozen=True, slots=True)
class Edge:
    """``target`` reads the message of ``source``; ``budget`` limits its tokens (None: the default).

    ``gate`` is the probability that an episode shows the message. A ``fallback`` edge is read only in
    episodes in which no other edge into its target with a gate below 1 is open.
    """

    source: int
    target: int
    budget: int | None = None
    gate: float = 1.0
    fallback: bool = False


@dataclass(frozen=True, slots=True)
class Topology:
    """Nodes in topological order, the sink last. Valid by construction; hashable."""

    nodes: tuple[NodeSpec, ...]
    edges: tuple[Edge, ...]

    def __post_init__(self) -> None:
        _check(self.nodes, self.edges)

    @classmethod
    def parse(cls, text: str, question: str = "all") -> Topology:
        """Dense layers from text such as ``"2-2-1"``. Raises TopologyError on anything else."""
        if not re.fullmatch(r"[1-9][0-9]{0,2}(-[1-9][0-9]{0,2})*", text.strip()):
            raise TopologyError(f"topology {shown(text)} is not layer widths such as '1', '1-1-1' or '2-2-1'")
        widths = [int(part) for part in text.strip().split("-")]
        if widths[-1] != 1:
            raise TopologyError(
                f"topology {shown(text)} ends in {widths[-1]} nodes; the last layer is the one output node"
            )
        if sum(widths) > MAX_NODES:
            raise TopologyError(f"topology {shown(text)} has {sum(widths)} nodes, the limit is {MAX_NODES}")
        layers = [[f"{depth}.{i}" for i in range(1, w + 1)] for depth, w in enumerate(widths, start=1)]
        pairs = [
            (source, target) for lower, upper in pairwise(layers) for source in lower for target in upper
        ]
        return cls.build([name for layer in layers for name in layer], pairs, question)

    @classmethod
    def build(
        cls,
        names: Sequence[str],
        edges: Iterable[Sequence[Any]],
        question: str | Mapping[str, str] = "all",
        shown_positions: Mapping[str, Place | None] | None = None,
    ) -> Topology:
        """Any graph from node names and ``(source, target[, budget or settings])`` edges.

        Settings are a mapping with ``budget``, ``gate`` and ``fallback`` as in ``Edge``. A node's layer is
        the length of the longest path to it; order within a layer is the order of ``names``.
        ``question`` is a mode for all nodes or what each named node sees (default all),
        ``shown_positions`` the positions of named nodes in prompts instead of their own.
        """
        links = links_of(names, edges)
        depth = depths(names, links)
        order = sorted(names, key=lambda name: depth[name])  # stable: within a layer as in names
        if isinstance(question, str) and question in CUTS:
            question = branches(order, links, CUTS[question])
        widths = {layer: sum(1 for d in depth.values() if d == layer) for layer in set(depth.values())}
        count: dict[int, int] = {}
        nodes = []
        for name in order:
            layer = depth[name]
            count[layer] = count.get(layer, 0) + 1
            sees = _sees(name, (layer, len(widths)), (count[layer], widths[layer]), question)
            kept = (shown_positions or {}).get(name)
            nodes.append(NodeSpec(name, layer, count[layer], widths[layer], sees, kept))
        if isinstance(question, Mapping) and (extra := set(question) - set(names)):
            raise TopologyError(unknown("node in question", sorted(extra)[0], names))
        row = {name: i for i, name in enumerate(order)}
        made = [Edge(row[s], row[t], budget, gate, fallback) for s, t, budget, gate, fallback in links]
        return cls(tuple(nodes), tuple(sorted(made, key=lambda edge: (edge.source, edge.target))))

    @property
    def sink(self) -> int:
        """Row of the output node: always the last."""
        return len(self.nodes) - 1

    @property
    def depth(self) -> int:
        """Number of layers, the output's included."""
        return self.nodes[-1].layer

    def incoming(self, node: int) -> tuple[Edge, ...]:
        """Edges into ``node``, ordered by source."""
        return tuple(edge for edge in self.edges if edge.target == node)

    def outgoing(self, node: int) -> tuple[Edge, ...]:
        """Edges out of ``node``, ordered by target."""
        return tuple(edge for edge in self.edges if edge.source == node)

    def layers(self) -> tuple[tuple[int, ...], ...]:
        """Rows of the nodes by layer, first layer first."""
        return tuple(
            tuple(row for row, node in enumerate(self.nodes) if node.layer == layer)
            for layer in range(1, self.depth + 1)
        )

    def message_budget(self, node: int, default: int) -> int:
        """Tokens the node may write: the largest budget of the edges that leave it."""
        budgets = [default if e.budget is None else e.budget for e in self.outgoing(node)]
        return max(budgets, default=default)

    @property
    def shares(self) -> int:
        """Pieces into which the question is cut for the nodes; 0 if every reader sees all of it."""
        cuts = [int(node.question.partition("/")[2]) for node in self.nodes if "/" in node.question]
        return max(cuts, default=0)

    def place(self, node: int) -> Place:
        """The position the node is told: its own, unless it keeps an earlier one."""
        spec = self.nodes[node]
        if spec.shown_position is not None:
            return spec.shown_position
        readers = tuple(self.label(edge.target) for edge in self.outgoing(node))
        return Place(spec.layer, self.depth, spec.index, spec.width, readers)

    def label(self, node: int) -> str:
        """``layer.index`` as the network's nodes know this node."""
        spec = self.nodes[node]
        return spec.shown_position.label if spec.shown_position else f"{spec.layer}.{spec.index}"

    def to_dict(self) -> dict[str, Any]:
        """Plain data; ``from_dict`` is the inverse."""
        names = [node.name for node in self.nodes]
        return {
            "nodes": [
                {"name": node.name, "question": node.question}
                | ({} if node.shown_position is None else {"told": asdict(node.shown_position)})
                for node in self.nodes
            ],
            "edges": [[names[e.source], names[e.target], *_settings(e)] for e in self.edges],
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Topology:
        """Read ``to_dict``'s form. Raises TopologyError naming what is wrong."""
        try:
            listed = [(plain(node["name"]), node) for node in data["nodes"]]
            sees = {name: plain(node.get("question", "all")) for name, node in listed}
            positions = {name: _read_place(node["told"]) for name, node in listed if "told" in node}
            edges = [tuple(edge) for edge in data["edges"]]
            if any(isinstance(edge, str) for edge in data["edges"]):
                raise TypeError("an edge is a list, not text")
        except (KeyError, TypeError, AttributeError) as error:
            raise TopologyError(f"a topology needs 'nodes' and 'edges': {error!r}") from None
        return cls.build([name for name, _ in listed], edges, sees, positions)

    @property
    def digest(self) -> str:
        """SHA-256 of the canonical form, 16 hexadecimal digits."""
        text = json.dumps(self.to_dict(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode("utf-8")).hexdigest()[:16]

    def __str__(self) -> str:
        """``2-2-1`` for a dense network of layers, otherwise the layer widths and the edge count."""
        widths = "-".join(str(len(layer)) for layer in self.layers())
        dense = sum(len(a) * len(b) for a, b in pairwise(self.layers()))
        consecutive = all(self.nodes[e.target].layer == self.nodes[e.source].layer + 1 for e in self.edges)
        if consecutive and dense == len(self.edges):
            return widths
        return f"{widths} with {len(self.edges)} edges"


def _settings(edge: Edge) -> list[Any]:
    """What follows source and target in an edge's plain form: nothing, its budget, or a table."""
    if edge.gate == 1.0 and not edge.fallback:
        return [] if edge.budget is None else [edge.budget]
    budget = {} if edge.budget is None else {"budget": edge.budget}
    return [budget | {"gate": edge.gate} | ({"spare": True} if edge.fallback else {})]


def _read_place(data: Any) -> Place:
    """A shown position from plain data. Raises TopologyError."""
    try:
        layer, depth, index, width = (data[key] for key in ("layer", "depth", "index", "width"))
        place = Place(layer, depth, index, width, tuple(data["readers"]))
    except (KeyError, TypeError):
        place = None
    numbers = (place.layer, place.depth, place.index, place.width) if place else ()
    legal = [type(n) is int and 1 <= n <= MAX_NODES for n in numbers]
    legal += [type(r) is str and _LABEL.fullmatch(r) is not None for r in (place.readers if place else ())]
    if place is None or not all(legal):
        raise TopologyError(f"told position {shown(data)} is not layer, depth, index, width, readers")
    return place


def _sees(
    name: str, layer: tuple[int, int], index: tuple[int, int], question: str | Mapping[str, str]
) -> str:
    """What one node sees under a mode or an explicit mapping; ``layer`` and ``index`` are (number, of)."""
    if isinstance(question, Mapping):
        return question.get(name, "all")
    if question not in QUESTION_MODES:
        raise TopologyError(unknown("question mode", question, QUESTION_MODES))
    if question in ("all", "hints"):
        return question
    if question == "layers":
        return f"{layer[0]}/{layer[1]}"
    if layer[0] > 1:
        return "none" if question == "first" else "stem"
    return "all" if question == "first" else f"{index[0]}/{index[1]}"


def _check(nodes: tuple[NodeSpec, ...], edges: tuple[Edge, ...]) -> None:
    """The invariants of a network: one sink, every node heard, every node has something to read."""
    names = [node.name for node in nodes]
    rows = range(len(nodes))
    if any(not (e.source in rows and e.target in rows and e.source < e.target) for e in edges):
        raise TopologyError("edges must lead from earlier to later nodes of the topological order")
    links_of(names, [(names[e.source], names[e.target], *_settings(e)) for e in edges])
    heard = {edge.source for edge in edges}
    silent = [name for row, name in enumerate(names) if row not in heard]
    if len(silent) != 1:
        raise TopologyError(
            f"a network has one output node, this graph has {len(silent)} nodes nobody reads: "
            f"{', '.join(silent)}"
        )
    _check_places(nodes, edges)
    readers = {edge.target for edge in edges}
    for row, node in enumerate(nodes):
        share = _SHARE.fullmatch(node.question)
        if node.question not in ("all", "none", "stem", "hints") and not share:
            raise TopologyError(
                f"node {node.name!r}: question {shown(node.question)} is not 'all', 'none', 'stem', 'hints' "
                "or 'i/n'"
            )
        if share and int(share[1]) > int(share[2]):
            raise TopologyError(
                f"node {node.name!r}: question {shown(node.question)} asks for a share beyond the last"
            )
        if node.question in ("none", "stem") and row not in readers:
            raise TopologyError(f"node {node.name!r} reads neither the question nor a message")


def _check_places(nodes: tuple[NodeSpec, ...], edges: tuple[Edge, ...]) -> None:
    """Layers are longest paths in ascending order; indices and widths count each layer's nodes.

    ``build`` makes them so; this keeps a hand-made or altered value from contradicting its own edges.
    """
    layer = [1] * len(nodes)
    sources: dict[int, list[int]] = {}
    for edge in edges:
        sources.setdefault(edge.target, []).append(edge.source)
    for row in sorted(sources):
        layer[row] = 1 + max(layer[source] for source in sources[row])
    if layer != sorted(layer):
        raise TopologyError("nodes must be in the order of their layers")
    if list(edges) != sorted(edges, key=lambda edge: (edge.source, edge.target)):
        raise TopologyError("edges must be in the order of their sources, then targets")
    for row, node in enumerate(nodes):
        place = (layer[row], row - layer.index(layer[row]) + 1, layer.count(layer[row]))
        if (node.layer, node.index, node.width) != place:
            raise TopologyError(
                f"node {node.name!r} is in layer {place[0]}, {place[1]} of {place[2]}; "
                f"not in layer {node.layer}, {node.index} of {node.width}"
            )
