"""Growth and pruning of topologies: pure functions from one graph to the next.

Every operator says which graph is wanted and which of its nodes are the old ones; ``join`` does the rest.
While a network grows it is the *transition* between the two: messages of new nodes reach old ones through
gates, and old edges that a new layer replaces stay as fallbacks, read only while the gates are closed. With
all gates at 0 every old node therefore reads exactly what it read before (unless a file has given old
edges gates of their own: those count as open ones when a fallback looks). These operators and their
initialisations are our own choices: the paper (arXiv:2605.16757) does not state its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from neuromas.core.choices import POSITIONS
from neuromas.core.errors import TopologyError, unknown
from neuromas.growth.match import match
from neuromas.topology.graph import Edge, Place, Topology


@dataclass(frozen=True, slots=True)
class Growth:
    """One change of a topology.

    ``start`` is the transition with closed gates, ``goal`` the graph once they are open. ``origin`` maps
    names of the goal to names of the old graph, ``like`` every new node to the old one it resembles, of which
    it is an ``exact`` copy or not; ``steps`` says in words what was done.
    """

    start: Topology
    goal: Topology
    origin: Mapping[str, str]
    like: Mapping[str, str]
    steps: tuple[str, ...]
    exact: bool = False

    @property
    def new(self) -> tuple[str, ...]:
        """Names of the nodes that were not there before, in topological order."""
        return tuple(node.name for node in self.goal.nodes if node.name not in self.origin)


def at(start: Topology, goal: Topology, opening: float) -> Topology:
    """The transition with its gates ``opening`` (0 to 1) of the way to where they end; 1 is the goal."""
    if opening >= 1.0:
        return goal
    final = {_ends(goal, edge): edge.gate for edge in goal.edges}
    edges = [
        edge
        if (end := final.get(_ends(start, edge))) is None
        else replace(edge, gate=edge.gate + opening * (end - edge.gate))
        for edge in start.edges
    ]
    return Topology(start.nodes, tuple(edges))


def widen(topology: Topology, layer: int, positions: str = "keep") -> Growth:
    """One more node in a hidden layer; it reads and is read as the layer's last node."""
    layers = topology.layers()
    if not 1 <= layer < topology.depth:
        raise TopologyError(
            f"layer {layer} cannot be widened: {topology} has hidden layers 1 to {topology.depth - 1}"
        )
    sibling = topology.nodes[layers[layer - 1][-1]].name
    name = _fresh(topology)
    names, edges, sees = _parts(topology)
    names.insert(names.index(sibling) + 1, name)
    sees[name] = sees[sibling]
    edges |= {(name, t): rest for (s, t), rest in edges.items() if s == sibling}
    edges |= {(s, name): rest for (s, t), rest in edges.items() if t == sibling}
    return join(topology, _build(names, edges, sees), _same(topology), positions, (f"widen layer {layer}",))


def insert_layer(topology: Topology, after: int, width: int = 1, positions: str = "keep") -> Growth:
    """``width`` new nodes between layer ``after`` (0: before the first) and the next one.

    They read all of the layer below, all of the layer above reads them, and they replace the direct edges.
    """
    if not 0 <= after < topology.depth:
        raise TopologyError(
            f"no layer can stand after layer {after}: {topology} takes one after 0 to {topology.depth - 1}"
        )
    if width < 1:
        raise TopologyError(f"a new layer of {width} nodes is not at least 1 wide")
    layers = topology.layers()
    below = [topology.nodes[row].name for row in layers[after - 1]] if after else []
    above = [topology.nodes[row].name for row in layers[after]]
    names, edges, sees = _parts(topology)
    for i in range(width):
        name = _fresh(topology, i)
        names.append(name)
        sees[name] = sees[above[min(i, len(above) - 1)]]
        edges |= {(source, name): [] for source in below} | {(name, target): [] for target in above}
    for source in below:
        for target in above:
            edges.pop((source, target), None)
    step = f"insert a layer of {width} after layer {after}"
    return join(topology, _build(names, edges, sees), _same(topology), positions, (step,))


def append_layer(topology: Topology, width: int = 1, positions: str = "keep") -> Growth:
    """A new layer just before the output."""
    return insert_layer(topology, topology.depth - 1, width, positions)


def add_edge(topology: Topology, source: str, target: str, positions: str = "keep") -> Growth:
    """``target`` also reads ``source``. Raises TopologyError on a cycle or an edge that is there."""
    names, edges, sees = _parts(topology)
    for name in (source, target):
        if name not in names:
            raise TopologyError(unknown("node in an edge", name, names))
    if (source, target) in edges:
        raise TopologyError(f"{target!r} already reads {source!r}")
    edges[source, target] = []
    goal = _build(names, edges, sees)
    return join(topology, goal, _same(topology), positions, (f"add edge {source} -> {target}",))


def grow(topology: Topology, to: Topology, positions: str = "keep") -> Growth:
    """The shortest way from one topology to another. Raises TopologyError saying why there is none."""
    origin, steps = match(topology, to)
    return join(topology, to, origin, positions, steps)


def remove_node(topology: Topology, name: str) -> Growth:
    """Prune a node; sources nobody else reads and readers left without input are joined directly."""
    names, edges, sees = _parts(topology)
    if name not in names:
        raise TopologyError(unknown("node", name, names))
    if name == names[-1]:
        raise TopologyError(f"node {name!r} is the output and cannot be removed")
    sources = [s for s, t in edges if t == name]
    readers = [t for s, t in edges if s == name]
    edges = {pair: rest for pair, rest in edges.items() if name not in pair}
    for source in sources:
        if all(s != source for s, _ in edges):
            edges |= {(source, reader): [] for reader in readers}
    for reader in readers:
        if sees[reader] in ("none", "stem") and all(t != reader for _, t in edges):
            edges |= {(source, reader): [] for source in sources}
    names.remove(name)
    goal = _build(names, edges, {n: sees[n] for n in names})
    return _pruned(topology, goal, f"remove node {name}")


def remove_edge(topology: Topology, source: str, target: str) -> Growth:
    """Prune an edge. Raises TopologyError if it is not there or its source would fall silent."""
    names, edges, sees = _parts(topology)
    if (source, target) not in edges:
        there = ", ".join(f"{s} -> {t}" for s, t in edges)
        raise TopologyError(f"there is no edge {source!r} -> {target!r} (edges: {there or 'none'})")
    del edges[source, target]
    return _pruned(topology, _build(names, edges, sees), f"remove edge {source} -> {target}")


def join(
    old: Topology, goal: Topology, origin: Mapping[str, str], positions: str, steps: Sequence[str]
) -> Growth:
    """The transition from ``old`` to ``goal``, whose node ``n`` is the old ``origin[n]`` where there is one.

    Raises TopologyError if a trained node would be dropped or would see another part of the question,
    or if an edge between trained nodes would vanish without new nodes in its place.
    """
    if positions not in POSITIONS:
        raise TopologyError(unknown("positions", positions, POSITIONS))
    now = {before: name for name, before in origin.items()}
    specs = {node.name: node for node in old.nodes}
    for node in old.nodes:
        if node.name not in now:
            raise TopologyError(f"growing {old} into {goal} would drop the trained node {node.name!r}")
    for node in goal.nodes:
        before = specs.get(origin.get(node.name, ""))
        if before is not None and before.question != node.question:
            raise TopologyError(
                f"growing {old} into {goal}: node {before.name!r} sees {before.question!r} of the question "
                f"and would see {node.question!r}; a trained node keeps what it reads"
            )
    names, wanted, sees = _parts(goal)
    had = {(now[s], now[t]): rest for (s, t), rest in _parts(old)[1].items()}
    dropped = [pair for pair in had if pair not in wanted]
    _check_bridges(goal, origin, {pair: bool(_table(had[pair]).get("fallback")) for pair in dropped})
    edges = dict(wanted) | had | {pair: [_table(had[pair]) | {"fallback": True}] for pair in dropped}
    written: dict[str, list[int | None]] = {}
    for (source, _), rest in had.items():
        written.setdefault(source, []).append(_table(rest).get("budget"))
    for source, target in wanted:
        if (source, target) not in had:
            table = _capped(_table(wanted[source, target]), written.get(source, []))
            edges[source, target] = [table | ({"gate": 0.0} if target in origin else {})]
    places = _shown_places(old, goal, now) if positions == "keep" else {}
    return Growth(
        start=_build(names, edges, sees, places),
        goal=_build(names, wanted, sees, places),
        origin=dict(origin),
        like=_likes(goal, origin),
        steps=tuple(steps),
    )


def _capped(table: dict[str, Any], written: Sequence[int | None]) -> dict[str, Any]:
    """The settings of a new edge, no wider than what its source, if it is old, wrote until now.

    ``written`` are the budgets of the source's old edges. Where one of them is the default, which is not
    known here, a larger number could be more than the default and gives way to it.
    """
    budget, most = table.get("budget"), max((b for b in written if b is not None), default=0)
    if written and None not in written:
        return table | {"budget": min(budget or most, most)}
    return {**table, "budget": None} if written and budget is not None and budget > most else table


def _table(rest: Sequence[Any]) -> dict[str, Any]:
    """The settings of an edge as a mapping, whichever way they were written."""
    if not rest:
        return {}
    table = dict(rest[0]) if isinstance(rest[0], Mapping) else {"budget": rest[0]}
    if "spare" in table:  # the word on disk
        table["fallback"] = table.pop("spare")
    return table


def _check_bridges(
    goal: Topology, origin: Mapping[str, str], dropped: Mapping[tuple[str, str], bool]
) -> None:
    """Raises TopologyError unless new nodes alone lead from source to target of every dropped edge.

    ``dropped`` says of each whether it is a fallback: the old network is in the middle of a growth.
    """
    names = [node.name for node in goal.nodes]
    readers: dict[str, list[str]] = {name: [] for name in names}
    for edge in goal.edges:
        readers[names[edge.source]].append(names[edge.target])
    behind: dict[str, set[str]] = {}
    for (source, target), fallback in dropped.items():
        if source not in behind:
            waiting, passed, behind[source] = [source], {source}, set()
            while waiting:
                here = waiting.pop()
                new = {name for name in readers[here] if name not in origin} - passed
                behind[source] |= set() if here == source else origin.keys() & set(readers[here])
                waiting += new
                passed |= new
        if target not in behind[source] and fallback:
            raise TopologyError(
                f"the network was saved in the middle of a growth: its old edge {origin[source]!r} -> "
                f"{origin[target]!r} is read until the new nodes' gates are open; train it to the end of "
                "that stage first (neuromas train --resume RUN), or grow an earlier checkpoint of it"
            )
        if target not in behind[source]:
            raise TopologyError(
                f"the growth would drop the trained edge {origin[source]!r} -> {origin[target]!r} "
                "and put no new node in its place"
            )


def _shown_places(old: Topology, goal: Topology, now: Mapping[str, str]) -> dict[str, Place]:
    """Positions old nodes go on being shown, and of new nodes whose own number an old one has.

    Those take the next free number of their layer, so that a reader can always tell its messages apart.
    """
    places = {now[node.name]: old.place(row) for row, node in enumerate(old.nodes)}
    taken = {now[node.name]: old.label(row) for row, node in enumerate(old.nodes[:-1])}
    moved: dict[int, int] = {}
    for row, node in enumerate(goal.nodes[:-1]):
        if node.name not in places:
            index = node.index
            while f"{node.layer}.{index}" in taken.values():
                index += 1
            taken[node.name] = f"{node.layer}.{index}"
            if index != node.index:
                moved[row] = index
    taken[goal.nodes[-1].name] = old.label(old.sink)
    for row, index in moved.items():
        node = goal.nodes[row]
        readers = tuple(taken[goal.nodes[edge.target].name] for edge in goal.outgoing(row))
        places[node.name] = Place(node.layer, goal.depth, index, max(index, node.width), readers)
    return places


def _likes(goal: Topology, origin: Mapping[str, str]) -> dict[str, str]:
    """For every new node the old one it may start from: of its layer, else one it reads, else the output."""
    likes: dict[str, str] = {}
    for row, node in enumerate(goal.nodes):
        if node.name in origin:
            continue
        layer = [n.name for n in goal.nodes if n.layer == node.layer and n.name in origin]
        read = [goal.nodes[edge.source].name for edge in goal.incoming(row)]
        sources = [likes.get(name, name) for name in read]
        after = [name for name in (n.name for n in goal.nodes[row:]) if name in origin]
        choice = layer or sources or after[:1]
        likes[node.name] = choice[min(node.index - 1, len(choice) - 1)]
    return {name: origin[like] for name, like in likes.items()}


def _pruned(old: Topology, goal: Topology, step: str) -> Growth:
    """A change at once, without gates; the nodes that stay keep their positions."""
    kept = {node.name for node in goal.nodes}
    places = {node.name: old.place(row) for row, node in enumerate(old.nodes) if node.name in kept}
    names, edges, sees = _parts(goal)
    goal = _build(names, edges, sees, places)
    return Growth(goal, goal, {name: name for name in kept}, {}, (step,))


def _ends(topology: Topology, edge: Edge) -> tuple[str, str]:
    return topology.nodes[edge.source].name, topology.nodes[edge.target].name


def _same(topology: Topology) -> dict[str, str]:
    return {node.name: node.name for node in topology.nodes}


def _fresh(topology: Topology, skip: int = 0) -> str:
    """A node name that is not taken."""
    taken = {node.name for node in topology.nodes}
    free = (f"n{i}" for i in range(1, len(taken) + skip + 2) if f"n{i}" not in taken)
    return [name for name, _ in zip(free, range(skip + 1), strict=False)][skip]


def _parts(topology: Topology) -> tuple[list[str], dict[tuple[str, str], list[Any]], dict[str, str]]:
    """Names, edges with their settings, and what each node sees of the question."""
    data = topology.to_dict()
    edges = {(edge[0], edge[1]): list(edge[2:]) for edge in data["edges"]}
    return [n.name for n in topology.nodes], edges, {n.name: n.question for n in topology.nodes}


def _build(
    names: Sequence[str],
    edges: Mapping[tuple[str, str], Sequence[Any]],
    sees: Mapping[str, str],
    places: Mapping[str, Place] | None = None,
) -> Topology:
    """A topology; a position that is the node's own anyway is not kept."""
    made = Topology.build(names, [(*pair, *rest) for pair, rest in edges.items()], sees, places)
    readers: list[list[str]] = [[] for _ in names]
    for edge in made.edges:
        readers[edge.source].append(made.label(edge.target))  # as they are known, not where they stand
    own = [Place(n.layer, made.depth, n.index, n.width, tuple(readers[i])) for i, n in enumerate(made.nodes)]
    nodes = (
        replace(n, shown_position=None) if n.shown_position == own[i] else n for i, n in enumerate(made.nodes)
    )
    return Topology(tuple(nodes), made.edges)
