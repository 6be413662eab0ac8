"""The engine in this process: a backbone with its resident adapters, sampled in batches over token trees."""

from __future__ import annotations

from typing import TYPE_CHECKING

from neuromas.engines.build import read_options

if TYPE_CHECKING:
    from neuromas.config import Config
    from neuromas.engines.local.engine import LocalEngine
    from neuromas.models.resident import ResidentModel


def build(config: Config, model: ResidentModel) -> LocalEngine:
    """The engine ``local``; it has no options."""
    from neuromas.engines.local.engine import LocalEngine

    read_options(config, {})
    return LocalEngine(model)
