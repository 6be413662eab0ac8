"""Another trained network whose nodes take the place of one node: what of it is read, and whether it fits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from neuromas.config import make_config
from neuromas.core.errors import ConfigError, RunError, TopologyError, one_line
from neuromas.models.adapters import AdapterBank
from neuromas.models.bundle import held_adapters, read_manifest
from neuromas.storage import MANIFEST
from neuromas.system.fitting import ADAPTER_KEYS, adapter_value
from neuromas.system.saving import bundle_folder
from neuromas.topology.graph import Topology


@dataclass(frozen=True, slots=True)
class Module:
    """The network of the run ``name``: the adapter of every node in ``rows``, of each adapter its rank.

    In growth.map and in a lineage a node of it is called ``name:node``, as in ``rows``.
    """

    name: str
    folder: Path
    topology: Topology
    rows: Mapping[str, int]
    ranks: tuple[int, ...]
    manifest: Mapping[str, Any]

    @property
    def names(self) -> tuple[str, ...]:
        """Its nodes as a map calls them."""
        return tuple(self.rows)

    def vectors(self, bank: AdapterBank) -> list[Tensor]:
        """Its adapters, each of shape (P,), as the bank's layout has them. Raises RunError."""
        return held_adapters(self.folder, bank, self.ranks)

    def check_fits(self, host: Mapping[str, Any], where: Path) -> None:
        """Raises RunError unless it has the backbone and the kind of adapters of the network in ``where``.

        ``host`` is that network's manifest; the line names both values.
        """
        try:
            ours, theirs = (make_config(data["config"]).model for data in (host, self.manifest))
            identity = [str(data["backbone"]["digest"]) for data in (host, self.manifest)]
        except (KeyError, TypeError, ConfigError) as error:
            raise RunError(f"{self.folder / MANIFEST} or {where} is damaged: {one_line(error)}") from error
        named = [f"{model.backbone} ({one})" for model, one in zip((ours, theirs), identity, strict=True)]
        kinds = [(f"model.{key}", getattr(ours, key), getattr(theirs, key)) for key in ADAPTER_KEYS]
        if identity[0] != identity[1]:
            kinds.insert(0, ("model.backbone", named[0], named[1]))
        for key, own, other in kinds:
            if own != other:
                raise RunError(
                    f"{self.name} cannot be a module of {where}: {key} = {adapter_value(other)} there, "
                    f"{adapter_value(own)} here; "
                    "adapters of one network have one kind and one backbone"
                )


def read_module(name: str) -> Module:
    """The network of a run (its best checkpoint), a checkpoint or a network folder. Raises RunError."""
    folder = bundle_folder(Path(name))
    manifest = read_manifest(folder)
    try:
        topology = Topology.from_dict(manifest["topology"])
        rows = [int(row) for row in manifest["assignment"]]
        usual = make_config(manifest["config"]).model.rank
        ranks = tuple(int(rank) for rank in manifest.get("ranks") or [usual] * len(manifest["versions"]))
        named = {f"{name}:{node.name}": row for node, row in zip(topology.nodes, rows, strict=True)}
        if set(rows) != set(range(len(ranks))) or len(ranks) != len(manifest["versions"]):
            raise ValueError(f"assignment {rows[:20]} of {len(ranks)} adapters")
    except (KeyError, TypeError, ValueError, ConfigError, TopologyError) as error:
        raise RunError(f"{folder / MANIFEST} is damaged: {one_line(error)}") from error
    return Module(name, folder, topology, named, ranks, manifest)
