"""The network with which a run begins, and what the run notes of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from neuromas.config import Config
from neuromas.growth.parent import Heritage
from neuromas.models.backbone import Backbone
from neuromas.system.assemble import Assembly, assemble, load_bundle
from neuromas.system.prompting import prompt_facts
from neuromas.system.provenance import about


def beginning(
    config: Config, backbone: Backbone | None, run: Path | None = None
) -> tuple[Assembly, Heritage | None]:
    """A new network, or its parent's; ``run`` is the run directory if it has begun already."""
    if not config.growth.parent:
        return assemble(config, backbone=backbone, run=run), None
    parent = Heritage.of(Path(config.growth.parent))
    return load_bundle(parent.folder, backbone=backbone, config=config), parent


def facts(assembly: Assembly, sources: Mapping[str, str]) -> dict[str, Any]:
    """What ``run.json`` holds: versions, machine, the digests of the files it reads, its prompts."""
    prompt = prompt_facts(assembly.network, assembly.config.network.prompt)
    return {**about(), "inputs": dict(sources), **prompt}
