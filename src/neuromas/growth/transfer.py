"""From a trained network to a grown one: which adapters its nodes use, and how new adapters begin."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, count
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from neuromas.config import Config, GrowthConfig
from neuromas.core.errors import RunError
from neuromas.core.seeds import derive
from neuromas.growth.module import Module, read_module
from neuromas.growth.operators import Growth
from neuromas.models.adapters import AdapterBank
from neuromas.models.bundle import held_adapters
from neuromas.system.assemble import Assembly
from neuromas.system.network import Network
from neuromas.topology.graph import Topology


@dataclass(frozen=True, slots=True)
class Grown:
    """A grown network, the adapter rows that are new, and of every node the row it had before.

    ``copied`` are the new adapters that are exact copies, and of each the adapter it copies; ``replaced`` are
    rows in which one of another network has taken the place of the network's own.
    """

    network: Network
    new: tuple[int, ...]
    before: Mapping[int, int]
    copied: Mapping[int, int] = field(default_factory=dict)
    replaced: tuple[int, ...] = ()


def transfer(assembly: Assembly, change: Growth, seed: int) -> Grown:
    """The network on the transition's topology; new adapters are appended to the model's bank.

    ``seed`` decides what is drawn for new adapters. Old nodes keep their adapter rows.
    """
    network, settings = assembly.network, assembly.config.growth
    bank, first = assembly.model.bank, len(assembly.model.bank.parameters)
    old = {node.name: row for row, node in enumerate(network.topology.nodes)}
    before = {
        row: old[change.origin[node.name]]
        for row, node in enumerate(change.start.nodes)
        if node.name in change.origin
    }
    if change.exact:
        return _substituted(assembly, change, before)
    assignment = _assignment(network.assignment, change, assembly.config.network.share, before)
    new = tuple(range(first, max(assignment, default=0) + 1))
    for row in new:
        like = network.assignment[old[change.like[change.start.nodes[assignment.index(row)].name]]]
        bank.append(_begin(bank, like, settings, derive(seed, "grow", row)))
    assembly.publish()
    topology = change.start if settings.gated else change.goal
    return Grown(replace(network, topology=topology, assignment=assignment), new, before)


def _substituted(assembly: Assembly, change: Growth, before: Mapping[int, int]) -> Grown:
    """The network out of copies, of its own nodes and of those of ``growth.module``.

    An adapter that nobody copies gives its row to the first new one, so that all rows are used.
    """
    network, bank, config = assembly.network, assembly.model.bank, assembly.config
    module = read_module(config.growth.module) if config.growth.module else None
    first, foreign = len(bank.parameters), [] if module is None else module.vectors(bank)
    came, rows = _copies(network.topology, network.assignment, change, config, module)
    originals: dict[int, int] = {}
    for row, node in zip(rows, change.goal.nodes, strict=True):
        originals.setdefault(row, came[node.name])
    coming = [row for row in dict.fromkeys(rows) if row >= first]
    free = [row for row in range(first) if row not in originals]
    place = dict(zip(coming, chain(free, count(first)), strict=False))
    for row in coming:
        like = originals[row]
        vector = bank.parameters[like] if like < first else foreign[like - first]
        if place[row] < first:
            bank.replace(place[row], vector)
        else:
            bank.append(vector)
    assembly.publish()
    assignment = tuple(place.get(row, row) for row in rows)
    new = tuple(range(first, len(bank.parameters)))
    copied = {place[row]: originals[row] for row in coming if originals[row] < first}
    grown = replace(network, topology=change.goal, assignment=assignment)
    return Grown(grown, new, before, copied, tuple(free))


def _copies(
    topology: Topology,
    assignment: Sequence[int],
    change: Growth,
    config: Config,
    module: Module | None,
) -> tuple[dict[str, int], tuple[int, ...]]:
    """Of every node the row its original has, and the row it gets; those of a module come after all own."""
    first = max(assignment) + 1
    row_of = {node.name: assignment[row] for row, node in enumerate(topology.nodes)}
    row_of |= {} if module is None else {name: first + row for name, row in module.rows.items()}
    came = {name: row_of[node] for name, node in {**change.origin, **change.like}.items()}
    share = "all" if config.growth.tied else config.network.share
    following = first + (0 if module is None else len(module.ranks))
    return came, _copied(change, came, following, share)


def rows_after(
    topology: Topology, assignment: Sequence[int], change: Growth, config: Config
) -> tuple[int, ...]:
    """Which nodes will share an adapter after a change: as ``transfer`` has it, but for free rows."""
    if change.exact:
        module = read_module(config.growth.module) if config.growth.module else None
        rows = _copies(topology, assignment, change, config, module)[1]
    else:
        old = {node.name: row for row, node in enumerate(topology.nodes)}
        nodes = enumerate(change.goal.nodes)
        before = {row: old[change.origin[node.name]] for row, node in nodes if node.name in change.origin}
        rows = _assignment(assignment, change, config.network.share, before)
    used = sorted(set(rows))
    return tuple(map(used.index, rows))


def _copied(change: Growth, came: Mapping[str, int], following: int, share: str) -> tuple[int, ...]:
    """Adapter rows of copies; ``came`` is the row each node's original has, ``following`` the first free one.

    Copies of one adapter share it, or one a layer, or have one each; the first to need it keeps the original.
    A network that was tied is untied where its copies no longer share.
    """
    groups: dict[tuple[int, str], int] = {}
    kept, rows = set[int](), list[int]()
    for node in change.goal.nodes:
        row = came[node.name]
        group = row, {"all": "", "layer": str(node.layer)}.get(share, node.name)
        if group not in groups:
            groups[group] = following if row in kept else row
            following += row in kept
            kept.add(row)
        rows.append(groups[group])
    return tuple(rows)


def _assignment(
    kept: Sequence[int], change: Growth, share: str, before: Mapping[int, int]
) -> tuple[int, ...]:
    """Adapter rows: old nodes keep theirs, new ones get their own or, where shared, their layer's."""
    following = max(kept) + 1
    rows: list[int] = []
    layers: dict[int, int] = {}  # row of each layer that has one
    nodes = change.goal.nodes
    for row, node in enumerate(nodes):
        if row in before:
            layers[node.layer] = kept[before[row]]
    for row, node in enumerate(nodes):
        if row in before:
            rows.append(kept[before[row]])
        elif share == "all":
            rows.append(0)
        elif share == "layer" and node.layer in layers:
            rows.append(layers[node.layer])
        else:
            rows.append(following)
            layers[node.layer] = following
            following += 1
    return tuple(rows)


def _begin(bank: AdapterBank, like: int, settings: GrowthConfig, seed: int) -> Tensor:
    """Factors of a new adapter: the backbone (B = 0), or a copy with noise on B."""
    if not settings.init.startswith("clone"):
        return bank.fresh(seed, bank.ranks[like])
    vector = bank.parameters[like].detach().clone()
    generator = torch.Generator().manual_seed(seed)
    for up in torch.split(vector, bank.sizes(bank.ranks[like]))[1::2]:  # views: A and B alternate
        up.add_(torch.randn(up.shape, generator=generator).to(up.device), alpha=settings.noise)
    return vector


def inherited(folder: Path, bank: AdapterBank, new: Sequence[int]) -> AdapterBank:
    """What a stage is to stay near: adapters as they were at its start, kept in ``folder``.

    The ``new`` ones, which inherited nothing, are those of ``bank`` as they change.
    """
    start = held_adapters(folder, bank)
    return bank.holding([None if row in new else vector for row, vector in enumerate(start)])


def undo(assembly: Assembly, entry: Mapping[str, Any], lifted: bool = False) -> Grown:
    """The network that grew, out of the grown one; its adapters are the bank's first ones.

    ``entry`` is the growth's line in the lineage. New adapters, which came last, are dropped from the bank.
    ``lifted`` says that the stage lifted a view: its nodes go on seeing the last one, as when it began.
    """
    network, bank = assembly.network, assembly.model.bank
    parent = Topology.from_dict(entry["topology"])
    rows = {node.name: row for row, node in enumerate(network.topology.nodes)}
    image = {old: rows[new] for new, old in entry["origin"].items()}
    # before 0.4.0 it was not kept, and no growth changed the adapter of an old node
    assignment = tuple(
        entry.get("assignment") or (network.assignment[image[node.name]] for node in parent.nodes)
    )
    count = max(assignment) + 1
    if count > len(bank.parameters) or len(assignment) != len(parent.nodes):
        raise RunError(
            f"a network's lineage is damaged: its parent names adapter {count - 1} of {len(bank.ranks)}"
        )
    del bank.parameters[count:], bank.ranks[count:], bank.versions[count:]
    assembly.publish()
    before = {row: image[node.name] for row, node in enumerate(parent.nodes)}
    if lifted:
        seen = (network.topology.nodes[image[node.name]].question for node in parent.nodes)
        nodes = (replace(node, question=view) for node, view in zip(parent.nodes, seen, strict=True))
        parent = replace(parent, nodes=tuple(nodes))
    return Grown(replace(network, topology=parent, assignment=assignment), (), before)
