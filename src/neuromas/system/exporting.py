"""A network to give away: its bundle without training state, under a base model's public name."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from neuromas.core.errors import RunError
from neuromas.models.bundle import read_manifest, write_manifest
from neuromas.models.dims import EMBEDDED
from neuromas.models.embedded import file_digest
from neuromas.storage import OPTIMISERS, read_json, replace_folder, write_atomic
from neuromas.system.saving import bundle_folder

CARD = "README.md"
PUBLIC = {EMBEDDED: "HuggingFaceTB/SmolLM2-135M-Instruct"}  # where others find the embedded model


def public_base(name: str) -> str:
    """The name under which others find a backbone: of the embedded one its original's, else its own."""
    return PUBLIC.get(name, name)


def export(path: Path, out: Path, base: str, card: str) -> None:
    """Write the network at ``path`` (a run's best, or a checkpoint) to the new folder ``out``.

    Adapters, prompts, topology and lineage stay as they are; optimisers, baselines and the place in the data
    stay behind. PEFT's ``base_model_name_or_path`` becomes ``base``, ``card`` the folder's README.md. No
    model and no data are opened. Raises RunError if ``out`` exists or the network is damaged.
    """
    if out.exists():
        raise RunError(f"{out} exists; name a new folder for the exported network")
    folder = bundle_folder(path)
    manifest = read_manifest(folder)

    def fill(work: Path) -> None:
        for name in _kept(manifest):
            (work / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(folder / name, work / name)
        for config in work.glob("adapters/*/adapter_config.json"):
            text = json.dumps(read_json(config) | {"base_model_name_or_path": base}, indent=1)
            write_atomic(config, text)
        write_atomic(work / CARD, card)
        files = {name: file_digest(work / name) for name in [*_kept(manifest), CARD]}
        about = {key: value for key, value in manifest.items() if key not in ("format", "files", "state")}
        born = manifest.get("born", manifest.get("state", {}).get("stage", {}).get("born", []))
        write_manifest(work, {**about, "born": born}, files)

    replace_folder(out, fill)


def _kept(manifest: Mapping[str, Any]) -> list[str]:
    """Files of the bundle that a network needs to answer."""
    return [name for name in manifest["files"] if name not in (OPTIMISERS, CARD)]
