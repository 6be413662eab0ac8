"""Edges as a user writes them, read and checked; and the layers they make of nodes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from neuromas.core.errors import TopologyError, plain, shown, unknown

MAX_NODES = 256
CUTS = {"branches": 1, "branches2": 2}  # how far below the output a question is cut
MAX_BUDGET = 1_000_000
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,31}")

Link = tuple[str, str, int | None, float, bool]


def links_of(names: Sequence[str], edges: Iterable[Sequence[Any]]) -> list[Link]:
    """Edges as checked (source, target, budget, gate, fallback) by name."""
    if not names:
        raise TopologyError("a topology needs at least one node")
    if len(names) > MAX_NODES:
        raise TopologyError(f"{len(names)} nodes, the limit is {MAX_NODES}")
    known: set[str] = set()
    for name in names:
        if not _NAME.fullmatch(name):
            raise TopologyError(f"node name {shown(name)}: use up to 32 letters, digits, '.', '_' or '-'")
        if name in known:
            raise TopologyError(f"node {shown(name)} is listed twice")
        known.add(name)
    seen: set[tuple[str, str]] = set()
    links: list[Link] = []
    for edge in edges:
        if len(edge) not in (2, 3):
            raise TopologyError(
                f"edge {shown(list(edge))} is not [source, target], [source, target, tokens] or "
                "[source, target, {gate = …}]"
            )
        source, target = plain(edge[0]), plain(edge[1])
        for end in (source, target):
            if end not in known:
                raise TopologyError(unknown("node in an edge", end, names))
        budget, gate, fallback = _read_settings(source, target, edge[2] if len(edge) == 3 else None)
        if source == target:
            raise TopologyError(f"node {source!r} reads itself")
        if (source, target) in seen:
            raise TopologyError(f"edge {source!r} -> {target!r} is listed twice")
        seen.add((source, target))
        links.append((source, target, budget, gate, fallback))
    return links


def _read_settings(source: str, target: str, given: Any) -> tuple[int | None, float, bool]:
    """Budget, gate, fallback (``spare`` in 0.2.0) of an edge. Raises TopologyError naming the edge."""
    edge = f"edge {source!r} -> {target!r}"
    table = dict(given) if isinstance(given, Mapping) else {"budget": given}
    table |= {"fallback": table.pop("spare")} if "spare" in table else {}
    if extra := sorted(set(table) - {"budget", "gate", "fallback"}):
        raise TopologyError(f"{edge}: {unknown('setting', extra[0], ('budget', 'gate', 'fallback'))}")
    budget, gate, fallback = table.get("budget"), table.get("gate", 1.0), table.get("fallback", False)
    if budget is not None and (type(budget) is not int or not 1 <= budget <= MAX_BUDGET):
        raise TopologyError(f"{edge}: budget {shown(budget)} is not a number of tokens up to {MAX_BUDGET}")
    if type(gate) not in (int, float) or not 0.0 <= gate <= 1.0:
        raise TopologyError(f"{edge}: gate {shown(gate)} is not a probability from 0 to 1")
    if type(fallback) is not bool:
        raise TopologyError(f"{edge}: fallback {shown(fallback)} is not true or false")
    return budget, float(gate), fallback


def depths(names: Sequence[str], edges: Sequence[Link]) -> dict[str, int]:
    """Longest-path layer of each node, 1-based. Raises on a cycle."""
    readers: dict[str, list[str]] = {name: [] for name in names}
    unread = dict.fromkeys(names, 0)  # how many of a node's sources still wait for their layer
    for source, target, *_ in edges:
        readers[source].append(target)
        unread[target] += 1
    depth: dict[str, int] = {}
    ready = [name for name in names if not unread[name]]
    layer = 1
    while ready:  # ready are those whose last source stood one layer below: their longest path
        following = []
        for name in ready:
            depth[name] = layer
            for target in readers[name]:
                unread[target] -= 1
                if not unread[target]:
                    following.append(target)
        ready = following
        layer += 1
    waiting = {name for name in names if unread[name]}
    # Nodes that only lie behind a cycle are not part of it: drop those no waiting node depends on.
    while dead := {name for name in waiting if not waiting.intersection(readers[name])}:
        waiting -= dead
    if waiting:
        raise TopologyError(f"the graph has a cycle through {', '.join(sorted(waiting))}")
    return depth


def branches(order: Sequence[str], links: Sequence[Link], level: int = 1) -> dict[str, str]:
    """What nodes see where every branch of a tree reads its share: the j-th of k j/k, those above the stem.

    ``order`` is a topological one. A branch is a node that the output reads, with all that reaches it; at
    ``level`` 2 one that such a node reads, and so on. A network of one node sees all. Raises TopologyError
    for a node that is in more than one branch, and for a tree that has none at this level. Fallbacks, which
    a growth through gates leaves until these are open, part no branches: it is the tree to come that counts.
    """
    readers: dict[str, list[str]] = {name: [] for name in order}
    for source, target, *_, fallback in links:
        readers[source] += [] if fallback else [target]
    outputs = [name for name in order if not readers[name]]
    if len(outputs) != 1 or not links:
        return dict.fromkeys(order, "all")  # more than one output is refused with the whole graph
    tops = outputs
    for _ in range(level):
        tops = [name for name in order if not set(tops).isdisjoint(readers[name])]
    mode = next(name for name, cut in CUTS.items() if cut == level)
    if not tops:
        raise TopologyError(f"question = {mode!r} wants a tree of {level + 1} layers or more")
    found: dict[str, set[str]] = {}
    for name in reversed(order):  # readers first
        own = {name} if name in tops else set[str]()
        found[name] = own.union(*(found[reader] for reader in readers[name]))
    for name, within in found.items():
        if len(within) > 1:
            raise TopologyError(
                f"question = {mode!r} wants a tree, but node {shown(name)} is in the branches of "
                f"{' and '.join(sorted(within))}"
            )
    sees = {name: f"{tops.index(top) + 1}/{len(tops)}" for name, within in found.items() for top in within}
    return {name: sees.get(name, "stem") for name in order}
