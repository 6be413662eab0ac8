"""A trained network as the beginning of another: grown in a run of its own, or pruned into a folder."""

from __future__ import annotations

import glob
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from neuromas.config import Config, apply_overrides, make_config
from neuromas.core.errors import ConfigError, RunError, one_line
from neuromas.growth.copies import graft, step
from neuromas.growth.lineage import Lineage, asked, describe
from neuromas.growth.module import read_module
from neuromas.growth.operators import Growth, remove_edge, remove_node
from neuromas.models.bundle import read_manifest
from neuromas.storage import MANIFEST, OPTIMISERS, Run, replace_folder, sweep
from neuromas.system import trust
from neuromas.system.assemble import Assembly
from neuromas.system.saving import bundle_folder, load_bundle, save_bundle
from neuromas.topology.files import agreed_topology, as_shape, says_question
from neuromas.topology.graph import Topology


@dataclass(frozen=True, slots=True)
class ParentRun:
    """The network a run begins with: where it lies, after how many steps of its run, and its past.

    ``problems_seen`` counts the training problems its ancestors met, so that the child meets others; ``born``
    are the adapters that began in a growth. ``moments`` is the folder with AdamW's: that of the network
    itself, or of its run's newest checkpoint, as a finished run keeps no others; None if there are none.
    ``joined`` tells of a network that is grafted in, ``asked`` what this one was asked, as ``lineage.asked``.
    """

    run: str
    folder: Path
    step: int
    problems_seen: int
    lineage: Lineage
    moments: Path | None
    born: tuple[int, ...] = ()
    joined: Mapping[str, Any] = field(default_factory=dict)
    asked: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, path: Path, module: str = "") -> ParentRun:
        """That of a run (its best checkpoint), a checkpoint or a network folder. Raises RunError.

        A run has paid for all of its training, also for what came after its best checkpoint. ``module`` is
        another run, a network of which is to be grafted in: its past is paid for, too.
        """
        folder = bundle_folder(path)
        manifest = read_manifest(folder)
        if module:
            read_module(module).check_fits(manifest, path)
            return cls.of(path)._joined(cls.of(Path(module)))
        last_folder = folder if folder == path else Run.open(path).checkpoints()[-1]
        newest = manifest if folder == path else read_manifest(last_folder)
        lineage = Lineage.from_manifest(manifest, str(path))
        lineage = replace(lineage, spent=Lineage.from_manifest(newest, str(path)).spent)
        state, last = manifest.get("state", {}), newest.get("state", {})  # a pruned network has none
        try:
            step = int(state.get("step", lineage.spent.steps))
            seen = int(last.get("cursor", step * manifest["config"]["train"]["problems"]))
            born, told = _born(manifest), asked(make_config(manifest["config"]))
        except (KeyError, TypeError, ValueError, AttributeError, ConfigError) as error:
            raise RunError(f"{folder / MANIFEST} is damaged: {error!r}") from error
        kept = [
            place
            for place, held in ((folder, manifest), (last_folder, newest))
            if OPTIMISERS in held["files"]
        ]
        return cls(str(path), folder, step, seen, lineage, next(iter(kept), None), born, asked=told)

    def _joined(self, other: ParentRun) -> ParentRun:
        """This one after another network's past has become part of its own."""
        topology = read_manifest(other.folder)["topology"]
        about = {"run": other.run, "topology": topology, **other.asked, **other.lineage.to_dict()}
        about = {"spent": asdict(self.lineage.spent), "module": about}
        seen = max(self.problems_seen, other.problems_seen)
        return replace(self, lineage=self.lineage.joined(other.lineage), problems_seen=seen, joined=about)

    @property
    def entry(self) -> dict[str, Any]:
        """What the lineage says of it where a child grows out of it, besides ``describe``.

        Where one is grafted in, ``spent`` is the cost of this network alone, ``module`` the other's past.
        """
        return {"run": self.run, "step": self.step, "best": self.step, **self.asked, **self.joined}


def _born(manifest: Mapping[str, Any]) -> tuple[int, ...]:
    """Rows of the adapters that began in a growth; version 0.1.0 kept those of the newest stage."""
    grown = manifest.get("state", {}).get("stage", {})
    return tuple(int(row) for row in manifest.get("born", grown.get("born", grown.get("new", ()))))


def grafted(path: Path, at: str, module: str = "") -> tuple[str, dict[str, Any]]:
    """The network at ``path`` with another in place of its leaf ``at``: its shape, and the [growth] it needs.

    ``module`` is a trained run; left out, or where it is the same network, a copy of the network itself.
    Raises TopologyError, or RunError where the two have other adapters.
    """
    folder = bundle_folder(path)
    manifest = read_manifest(folder)
    host = Topology.from_dict(manifest["topology"])
    if module and bundle_folder(Path(module)).resolve() != folder.resolve():
        other = read_module(module)
        other.check_fits(manifest, path)
        change, run = graft(host, at, other.topology, module), module
    else:
        change, run = graft(host, at), ""
    return as_shape(change.goal), {"init": "copy", "map": {**change.origin, **change.like}, "module": run}


def child_config(
    path: Path, shape: str, steps: int, overrides: Sequence[str] = (), growth: Mapping[str, Any] | None = None
) -> Config:
    """The configuration of a run that grows the network at ``path`` to ``shape``: the parent's, and this.

    ``growth`` are keys of [growth] that ``grafted`` names; then all nodes see what the shape says.
    What it names is the parent's choice unless an override names it again (see ``trust``). Raises RunError
    or ConfigError.
    """
    folder = bundle_folder(path)
    try:
        data = make_config(read_manifest(folder)["config"]).model_dump(mode="json")
    except (KeyError, ConfigError) as error:
        raise RunError(f"{folder / MANIFEST} is damaged: {one_line(error)}") from error
    # rates, maps, goals and views are those of the parent's own stages
    anew = {"lr": [], "map": {}, "module": "", "until": 0.0}
    data["growth"] |= {"stages": [[shape, steps]], "parent": str(path), **anew, **(growth or {})}
    view = data.pop("lift")["view"]
    if view and not view[1].endswith("+examples"):
        data["network"]["examples"] = 0
    if says_question(shape):  # the file speaks for the new network; the parent's mode is not the user's word
        data["network"]["question"] = "auto"
    del data["network"]["topology"], data["train"]["steps"]
    data["run"]["directory"] = ""
    config = make_config(apply_overrides(data, overrides))
    named = [text.partition("=")[0].strip() for text in overrides]
    trust.check(config, folder, named=[*named, "growth.parent", "growth.module", "network.topology"])  # typed
    return config


def copies_of(path: Path, config: Config) -> dict[str, str]:
    """Every node of the child's first network and the node of ``path``'s it copies; {} where it has new ones.

    Raises TopologyError as the growth itself would.
    """
    if config.growth.init != "copy":
        return {}
    old = Topology.from_dict(read_manifest(bundle_folder(path))["topology"])
    goal = agreed_topology(config.shapes[0][0], config.network.question)
    change = step(old, goal, config.growth)
    both = {**change.origin, **change.like}
    return {node.name: both[node.name] for node in goal.nodes}


def prune(path: Path, out: Path, node: str = "", edge: Sequence[str] = ()) -> Growth:
    """Write the network at ``path`` without a node or an edge as a network folder at ``out``.

    The adapters of the nodes that stay are copied; nothing is trained. Raises RunError if ``out`` exists,
    TopologyError if what is left is no network.
    """
    if out.exists():
        raise RunError(f"{out} exists; name a new folder for the pruned network")
    sweep(out.parent, f"{glob.escape(out.name)}-{'[0-9a-f]' * 8}")  # what a kill left of the same folder
    assembly = load_bundle(path, as_trained=True)
    topology = assembly.network.topology
    change = remove_edge(topology, edge[0], edge[1]) if edge else remove_node(topology, node)
    manifest = read_manifest(bundle_folder(path))
    lineage = Lineage.from_manifest(manifest, str(path))
    pruned, kept = _without(assembly, change)
    born = [place for place, row in enumerate(kept) if row in _born(manifest)]
    entry = describe(change, topology, lineage.spent, lineage.spent.steps) | {"run": str(path)}
    entry |= asked(assembly.config)
    more = {**lineage.grown(entry).to_dict(), "born": born}
    replace_folder(out, lambda folder: save_bundle(folder, pruned, more, {}))
    return change


def _without(assembly: Assembly, change: Growth) -> tuple[Assembly, list[int]]:
    """The nodes that stay, with their adapters moved together, and the rows these had."""
    network, bank = assembly.network, assembly.model.bank
    rows = {node.name: row for row, node in enumerate(network.topology.nodes)}
    used = [network.assignment[rows[change.origin[node.name]]] for node in change.goal.nodes]
    kept = sorted(set(used))
    bank.parameters = [bank.parameters[row] for row in kept]
    bank.ranks = [bank.ranks[row] for row in kept]
    bank.versions = [bank.versions[row] for row in kept]
    assignment = tuple(kept.index(row) for row in used)
    return replace(assembly, network=replace(network, topology=change.goal, assignment=assignment)), kept
