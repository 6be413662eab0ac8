"""A network to give away: PEFT folders named by position, what binds them together, and no training state.

Only files that a network needs to answer are copied, by their names; whatever else a bundle vouches for
stays.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from neuromas.config import make_config
from neuromas.core.errors import RunError
from neuromas.models.backbone import Backbone, load_backbone
from neuromas.models.bundle import (
    PEFT_CONFIG,
    WEIGHTS,
    adapter_folders,
    peft_config,
    read_manifest,
    write_manifest,
)
from neuromas.models.embedded import file_digest
from neuromas.models.merging import write_model
from neuromas.storage import MANIFEST, read_json, replace_folder, write_atomic
from neuromas.system import trust
from neuromas.system.portable import Base, base_of, check_no_places, training_file, without_places
from neuromas.system.prompting import PROMPT
from neuromas.system.provenance import trained_in
from neuromas.system.saving import bundle_folder, saved_ranks
from neuromas.topology.graph import Topology

CARD, CONFIG, BASE = "README.md", "neuromas.toml", "base"
Write = Callable[[], Mapping[str, str]]  # card and pictures by name


@dataclass(frozen=True, slots=True)
class Exported:
    """What is to be exported: where it lies, what it says of itself elsewhere, and over which model.

    ``folders`` are the adapters' by row, as they will be called; ``where`` as they are called now.
    """

    folder: Path
    manifest: Mapping[str, Any]
    topology: Topology
    base: Base
    folders: tuple[str, ...]
    where: tuple[str, ...]
    backbone: str


def to_export(path: Path, base: str | None = None) -> Exported:
    """The network at ``path`` (a run's best, or a checkpoint); no model is loaded and nothing written.

    ``base`` is the user's word for the model beneath. Raises RunError if it is damaged, ConfigError for a
    name the hub could not have.
    """
    folder = bundle_folder(path)
    manifest = read_manifest(folder)
    name = str(manifest["backbone"]["name"])
    topology, found = Topology.from_dict(manifest["topology"]), base_of(name, base)
    about = without_places(manifest, found)
    about["born"] = manifest.get("born", manifest.get("state", {}).get("stage", {}).get("born", []))
    count = len(manifest["versions"])
    places = positions(topology, manifest["assignment"], count)
    return Exported(
        folder, about, topology, found, places, tuple(adapter_folders(folder, manifest, count)), name
    )


def positions(topology: Topology, assignment: Sequence[int], count: int) -> tuple[str, ...]:
    """A folder for each of ``count`` adapters that says whose it is: its first node, and how many more.

    Raises ValueError where an adapter has no node.
    """
    names = []
    for row in range(count):
        nodes = [node for node, adapter in enumerate(assignment) if adapter == row]
        if not nodes:
            raise ValueError(f"adapter {row} belongs to no node")
        spec = topology.nodes[nodes[0]]
        which = "output" if nodes[0] == topology.sink else f"node-{spec.index}"
        more = f"-and-{len(nodes) - 1}-more" if len(nodes) > 1 else ""
        names.append(f"adapters/layer-{spec.layer}-{which}{more}")
    return tuple(names)


def refuse_existing(out: Path) -> None:
    """Raises RunError if ``out`` is there: what somebody may have been given is never overwritten."""
    if out.exists():
        raise RunError(f"{out} exists; name a new folder for the exported network")


def export(given: Exported, out: Path, write: Write, with_base: bool = False) -> None:
    """Write the network to the new folder ``out``.

    Adapters, prompts, topology and lineage stay as they are; optimisers, baselines and the place in the data
    stay behind. ``write`` gives the card and its pictures. ``with_base`` adds the weights beneath as a model
    of their own. No data are opened. Raises RunError if ``out`` exists, the network is damaged, or a text
    would tell where something lay on this machine.
    """
    refuse_existing(out)

    def fill(work: Path) -> None:
        names = _copy(given, work)
        write_atomic(work / CONFIG, training_file(given.manifest))
        names.append(CONFIG)
        beside = _with_base(given, work) if with_base else []
        for name, text in write().items():
            write_atomic(work / name, text)
            names.append(name)
        files, more = ({name: file_digest(work / name) for name in part} for part in (names, beside))
        about = {**given.manifest, "folders": list(given.folders)}
        write_manifest(work, {**about, "beside": more} if more else about, files)
        check_no_places(work, given.folder)

    replace_folder(out, fill)


def _copy(given: Exported, work: Path) -> list[str]:
    """Adapters under their new names and the prompt file; returns the names of all."""
    names, model = [], make_config(given.manifest["config"]).model
    ranks = saved_ranks(given.manifest.get("ranks"), len(given.folders), model.rank)
    for was, place, rank in zip(given.where, given.folders, ranks, strict=True):
        (work / place).mkdir(parents=True)
        shutil.copyfile(given.folder / was / WEIGHTS, work / place / WEIGHTS)
        # made anew: a stranger's may hold more than an adapter's size, such as code to load
        about = peft_config(
            rank, model.alpha, model.targets, given.base.name if given.base.resolves else None
        )
        write_atomic(work / place / PEFT_CONFIG, json.dumps(about, indent=1) + "\n")
        names += [f"{place}/{WEIGHTS}", f"{place}/{PEFT_CONFIG}"]
    return [*names, *copy_prompt(given, work)]


def copy_prompt(given: Exported, work: Path) -> list[str]:
    """The prompt file, where the network has one of its own; returns its name."""
    if PROMPT not in read_json(given.folder / MANIFEST)["files"]:
        return []
    shutil.copyfile(given.folder / PROMPT, work / PROMPT)
    return [PROMPT]


def _with_base(given: Exported, work: Path) -> list[str]:
    """The model beneath as a folder of its own; returns the names of its files."""
    (work / BASE).mkdir()
    write_model(work / BASE, _backbone(given))
    return sorted(path.relative_to(work).as_posix() for path in (work / BASE).rglob("*"))


def _backbone(given: Exported) -> Backbone:
    """The model beneath, if it is the one the network was trained over. Raises ModelError, RunError."""
    config = make_config(read_json(given.folder / MANIFEST)["config"])
    trust.check(config, given.folder, (trust.BACKBONE,))
    backbone = load_backbone(given.backbone, trained_in(given.manifest), "cpu", packed=False)
    digest = str(given.manifest["backbone"]["digest"])
    if not backbone.is_the_one(digest):
        raise RunError(
            f"{given.folder}: trained over {digest}, but {given.backbone!r} is now {backbone.digest}"
        )
    return backbone
