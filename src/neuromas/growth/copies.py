"""Growth by substitution: a trained network as a module, its nodes copied to all places of a larger one.

Nothing is faded in: every node of the new network is an exact copy of a trained one, and is told its own
position. What it sees of the question may change. The automatic map is our own choice: the paper
(arXiv:2605.16757) does not grow this way.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from neuromas.config import GrowthConfig
from neuromas.core.errors import TopologyError, cut, unknown
from neuromas.growth.operators import Growth, grow
from neuromas.topology.graph import Topology


def step(old: Topology, goal: Topology, settings: GrowthConfig) -> Growth:
    """The change of a stage as its settings say: by substitution or by new nodes. Raises TopologyError."""
    if settings.init == "copy":
        module = _names(settings.module)
        return substitute(old, goal, settings.map, module)
    return grow(old, goal, settings.positions)


def _names(run: str) -> Sequence[str]:
    """Names of the nodes of another run's network; none without one."""
    if not run:
        return ()
    from neuromas.growth.module import read_module  # which loads torch

    return read_module(run).names


def substitute(
    old: Topology, goal: Topology, chosen: Mapping[str, str] | None = None, module: Sequence[str] = ()
) -> Growth:
    """``goal`` out of copies of the nodes of ``old``; ``chosen`` maps nodes of the goal to nodes of ``old``.

    Nodes it does not name are mapped automatically, see ``automatic``. ``origin`` of the growth holds the
    first copy of every trained node, which keeps its adapter, ``like`` all others. Raises TopologyError if
    the map names no node, or if nobody copies a trained node: what it learned would be lost, and with it the
    way back to the network before (prune it first where that is meant).

    ``module`` are nodes of another trained network that may be copied, too; they take the place of at most
    one trained node.
    """
    new_names, old_names = ([node.name for node in graph.nodes] for graph in (goal, old))
    known = [*old_names, *module]
    for name, copied in (chosen or {}).items():
        if name not in new_names:
            raise TopologyError(unknown(f"new node in growth.map ({name} = {copied})", name, new_names))
        if copied not in known:
            raise TopologyError(unknown(f"trained node in growth.map ({name} = {copied})", copied, known))
    copies = automatic(old, goal) | dict(chosen or {})
    places = {before: [name for name in new_names if copies[name] == before] for before in known}
    lost = [name for name in old_names if not places[name]]
    if module and not any(map(places.__getitem__, module)):
        raise TopologyError(f"growth.map copies no node of growth.module, such as {cut(known[-1], 80)}")
    if lost[1 if module else 0 :]:
        raise TopologyError(
            f"substituting {old} into {goal}: no new node copies the trained node {lost[0]!r}, so what it "
            "learned would be lost; name a copy of it in growth.map, or prune it first (neuromas prune)"
        )
    lines = [f"copy {name} to {' '.join(to)}" for name, to in places.items() if to and to != [name]]
    lines += [f"replace {name}" for name in lost]
    if not lines and old != goal:
        lines = [f"{old} with other views, edges or positions"]
    origin = {places[name][0]: name for name in old_names if places[name]}
    like = {name: copies[name] for name in new_names if name not in origin}
    return Growth(goal, goal, origin, like, tuple(lines), exact=True)


def graft(host: Topology, at: str, module: Topology | None = None, run: str = "") -> Growth:
    """``host`` with the whole ``module`` in place of its leaf ``at``; None: a copy of the host itself.

    ``module`` is made of trained nodes of the host: its nodes bear their names, and copy them. In the grown
    network they are called ``at_name``, such as ``1.1_2.1``. The module's output is read by whom the leaf was
    read, and its leaves share what the leaf saw: "2/2" becomes "3/4" and "4/4" for two.

    With ``run`` the module is the whole network of that run: its nodes are copied as ``run:name``, and the
    leaf is given up. Raises TopologyError if ``at`` is no leaf of the host, the module names no node of it,
    or the leaf's adapter is in no copy.
    """
    module = module or host
    own = [node.name for node in host.nodes]
    leaf = next((row for row, node in enumerate(host.nodes) if node.name == at), None)
    if leaf is None:
        raise TopologyError(unknown("node to graft at", at, own))
    if host.incoming(leaf):
        raise TopologyError(
            f"node {at!r} reads messages; a module takes the place of a leaf, which reads none"
        )
    for node in module.nodes:
        if not run and node.name not in own:
            raise TopologyError(unknown("trained node in the module", node.name, own))
    inner = {node.name: f"{at}_{node.name}" for node in module.nodes}
    sees = {node.name: node.question for node in host.nodes if node.name != at}
    sees |= {inner[node.name]: _view(host.nodes[leaf].question, node.question) for node in module.nodes}
    output = inner[module.nodes[module.sink].name]
    edges = _edges(module, inner) + _edges(host, {at: output})
    goal = Topology.build(list(sees), edges, sees)
    copied = {name: f"{run}:{name}" if run else name for name in inner}
    chosen = {name: name for name in own if name != at} | {inner[name]: old for name, old in copied.items()}
    return substitute(host, goal, chosen, tuple(copied.values()) if run else ())


def _edges(topology: Topology, names: Mapping[str, str]) -> list[list[Any]]:
    """Edges in plain form between nodes that are renamed."""
    return [[names.get(s, s), names.get(t, t), *rest] for s, t, *rest in topology.to_dict()["edges"]]


def _view(leaf: str, inside: str) -> str:
    """What a module's node sees in place of a leaf: its own view, of the leaf's share only."""
    if leaf == "all" or inside in ("none", "stem"):
        return inside
    if "/" not in leaf or "/" not in inside:
        return leaf
    (i, n), (j, k) = (tuple(map(int, view.split("/"))) for view in (leaf, inside))
    return f"{(i - 1) * k + j}/{n * k}"


def automatic(old: Topology, goal: Topology) -> dict[str, str]:
    """Every node of the goal and the node of ``old`` it copies, by their places.

    Nodes that read no message copy the old ones that read none, readers the old readers of their layer, each
    in turn; layers beyond the old depth, and the output, copy the old output. A network of one node is copied
    everywhere.
    """
    layers, output = old.layers(), old.nodes[old.sink].name
    copies = {}
    for node in goal.nodes:
        rows = layers[node.layer - 1] if node.layer <= old.depth else (old.sink,)
        copies[node.name] = old.nodes[rows[(node.index - 1) % len(rows)]].name
    return copies | {goal.nodes[goal.sink].name: output}
