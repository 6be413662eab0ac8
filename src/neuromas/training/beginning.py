"""The network with which a run begins."""

from __future__ import annotations

from pathlib import Path

from neuromas.config import Config
from neuromas.core.task import Task
from neuromas.growth.parent import Heritage
from neuromas.models.backbone import Backbone
from neuromas.system.assemble import Assembly, assemble, load_bundle


def beginning(
    config: Config, backbone: Backbone | None, task: Task | None
) -> tuple[Assembly, Heritage | None]:
    """A new network, or its parent's; ``task`` is an object in the place of the configured task."""
    if not config.growth.parent:
        return assemble(config, backbone=backbone, task=task), None
    parent = Heritage.of(Path(config.growth.parent))
    return load_bundle(parent.folder, backbone=backbone, config=config, task=task), parent
