"""What a network's manifest says, checked before anything believes it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from neuromas.config import Config, make_config
from neuromas.core.errors import ConfigError, RunError, TopologyError, one_line
from neuromas.storage import MANIFEST
from neuromas.system.saved_state import check_state
from neuromas.topology.graph import Topology


def read_network(folder: Path, manifest: Mapping[str, Any]) -> tuple[Config, Topology]:
    """Configuration and topology of a manifest, and that its training state fits them. Raises RunError."""
    try:
        saved = make_config(manifest["config"])
        topology = Topology.from_dict(manifest["topology"])
        if manifest["topology_digest"] != topology.digest:
            raise ValueError(f"topology_digest {manifest['topology_digest']!r} is not that of its topology")
    except (KeyError, TypeError, ValueError, ConfigError, TopologyError) as error:
        raise RunError(f"{folder / MANIFEST} is damaged: {one_line(error)}") from error
    if "state" in manifest:
        stages = list(saved.growth.stages) or [(saved.network.topology, saved.train.steps)]
        try:
            check_state(manifest["state"], stages, len(manifest["versions"]), len(topology.nodes))
        except (RunError, TopologyError) as error:
            said = one_line(error)
            raise RunError(f"{folder} holds a network but no training state to go on from: {said}") from error
    return saved, topology


def read_answer_format(manifest: Mapping[str, Any]) -> str | None:
    """What the output node was told of the answer's form; None in networks of 0.1.0. Raises ValueError."""
    form = manifest.get("answer_format")
    if form is not None and not (isinstance(form, str) and len(form) <= 1000):
        raise ValueError(f"answer_format = {str(form)[:60]!r} is not a text of at most 1000 characters")
    return form


def read_assignment(data: Any, nodes: int, adapters: int) -> tuple[int, ...]:
    """The adapter row of every node, each row used. Raises ValueError."""
    rows = tuple(data)
    if len(rows) != nodes or set(rows) != set(range(adapters)) or any(type(row) is not int for row in rows):
        raise ValueError(f"assignment {list(rows)[:20]} does not give {adapters} adapters to {nodes} nodes")
    return rows


def read_ranks(data: Any, adapters: int, usual: int) -> tuple[int, ...]:
    """The rank of every adapter; of a network saved before ranks could differ, the usual one. ValueError."""
    ranks = (usual,) * adapters if data is None else tuple(data)
    if len(ranks) != adapters or any(type(rank) is not int or not 1 <= rank <= 512 for rank in ranks):
        raise ValueError(f"ranks {list(ranks)[:20]} are not those of {adapters} adapters")
    return ranks
