"""Which nodes of a larger topology are the nodes of a smaller one, by the fewest operators."""

from __future__ import annotations

from functools import cache
from itertools import pairwise

from neuromas.core.errors import TopologyError
from neuromas.topology.graph import Topology

Origin = dict[str, str]


def match(old: Topology, goal: Topology) -> tuple[Origin, tuple[str, ...]]:
    """Names of the goal mapped to names of the old graph, and the operators in words.

    Between dense layers the cheapest alignment of layers is found exactly: widening a layer by one node
    and inserting a layer each count 1, and of equal ones the new layers come latest. Otherwise nodes
    are matched by name. Raises TopologyError saying why there is no way.
    """
    if old == goal:
        return {node.name: node.name for node in old.nodes}, ()
    if is_layered(old) and is_layered(goal):
        return _layers(old, goal)
    return _names(old, goal)


def is_layered(topology: Topology) -> bool:
    """True if every node reads the whole layer below and nothing else."""
    layers = topology.layers()
    wanted = {(s, t) for lower, upper in pairwise(layers) for s in lower for t in upper}
    return {(edge.source, edge.target) for edge in topology.edges} == wanted


def _layers(old: Topology, goal: Topology) -> tuple[Origin, tuple[str, ...]]:
    """Dense layers: align widths; the output is the output."""
    have, want = old.layers()[:-1], goal.layers()[:-1]

    def fits(i: int, j: int) -> bool:
        if len(have[i]) > len(want[j]):
            return False
        pairs = zip(have[i], want[j], strict=False)
        return all(old.nodes[a].question == goal.nodes[b].question for a, b in pairs)

    @cache
    def best(i: int, j: int) -> tuple[float, tuple[int, ...]]:
        """Cost and places of old layers from ``i`` on among the goal's layers from ``j`` on."""
        if i == len(have):
            return float(len(want) - j), ()
        choices = []
        for k in range(j, len(want) - (len(have) - i) + 1):
            if fits(i, k):
                cost, rest = best(i + 1, k + 1)
                choices.append((k - j + len(want[k]) - len(have[i]) + cost, (k, *rest)))
        return min(choices, default=(float("inf"), ()))

    cost, places = best(0, 0)
    if cost == float("inf"):
        raise TopologyError(_why(old, goal))
    origin = {goal.nodes[-1].name: old.nodes[-1].name}
    steps = []
    for i, k in enumerate(places):
        for a, b in zip(have[i], want[k], strict=False):
            origin[goal.nodes[b].name] = old.nodes[a].name
        steps += [f"widen layer {i + 1}"] * (len(want[k]) - len(have[i]))
    for k in range(len(want)):
        if k not in places:
            where = "before the output" if k == len(want) - 1 else f"as layer {k + 1}"
            steps.append(f"insert a layer of {len(want[k])} {where}")
    return origin, tuple(steps)


def _why(old: Topology, goal: Topology) -> str:
    """One line on why dense layers do not fit."""
    line = f"{old} cannot grow into {goal}"
    if len(goal.nodes) < len(old.nodes) or goal.depth < old.depth:
        return f"{line}: a trained node would be dropped"
    seen = [node.question for node in old.nodes], [node.question for node in goal.nodes]
    if set(seen[0]) - set(seen[1]):
        lost = sorted(set(seen[0]) - set(seen[1]))[0]
        return f"{line}: a trained node sees {lost!r} of the question, which no node of {goal} does"
    return f"{line}: no layer may become narrower, move past another, or see another part of the question"


def _names(old: Topology, goal: Topology) -> tuple[Origin, tuple[str, ...]]:
    """Any graphs: a node of the same name is the same node, and the output is the output."""
    wanted = {node.name for node in goal.nodes}
    missing = [node.name for node in old.nodes[:-1] if node.name not in wanted]
    if missing:
        raise TopologyError(
            f"{old} cannot grow into {goal}: the trained node {missing[0]!r} would be dropped "
            "(nodes are matched by name where layers are not dense)"
        )
    last = goal.nodes[-1].name
    if any(node.name == last for node in old.nodes[:-1]):
        raise TopologyError(
            f"{old} cannot grow into {goal}: the hidden node {last!r} would become the output"
        )
    origin = {node.name: node.name for node in old.nodes[:-1]} | {last: old.nodes[-1].name}
    back = {before: name for name, before in origin.items()}
    had = {(back[old.nodes[e.source].name], back[old.nodes[e.target].name]) for e in old.edges}
    new = [node.name for node in goal.nodes if node.name not in origin]
    pairs = [(goal.nodes[e.source].name, goal.nodes[e.target].name) for e in goal.edges]
    added = [pair for pair in pairs if pair not in had and not set(pair) & set(new)]
    steps = [f"add node {name}" for name in new] + [f"add edge {s} -> {t}" for s, t in added]
    return origin, tuple(steps)
