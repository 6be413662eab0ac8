"""Engines whose model is served by other processes, spoken to over HTTP."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from neuromas.engines.build import read_options

if TYPE_CHECKING:
    from neuromas.config import Config
    from neuromas.engines.served.vllm import VllmEngine
    from neuromas.models.resident import ResidentModel

OPTIONS: dict[str, Any] = {
    "urls": ["http://127.0.0.1:8000"],
    "model": "",
    "folder": "",
    "concurrency": 64,
    "timeout": 600.0,
    "retries": 4,
    "key_env": "",
    "probe": "publish",
    "limit": 0.0,
}


def build(config: Config, model: ResidentModel) -> VllmEngine:
    """The engine ``vllm``, its servers reached."""
    options = read_options(config, OPTIONS)
    from neuromas.engines.served.vllm import VllmEngine

    return VllmEngine(model, options)
