"""Checks to be run on parts of one's own, in one's own tests: ``check_engine(MyEngine)``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from neuromas.engines.base import Build
    from neuromas.models.resident import ResidentModel


def check_engine(
    make: Build | str,
    options: Mapping[str, Any] | None = None,
    model: ResidentModel | None = None,
    tolerance: float = 1e-3,
) -> None:
    """Raises AssertionError, saying what is wrong, if an engine breaks the contract of ``Engine``.

    ``make`` is called as ``make(config, model)``, as a run would call it, or is the engine's name:
    ``"local"``, ``"module:Name"``. ``options`` are ``engine.options``. ``model`` is what the engine writes
    with; without it a tiny random one in full precision with two adapters. Adapters are changed and
    published on the way and are as before afterwards. ``tolerance`` in nats a token is how far the
    log-probabilities of an engine that declares them exact may be from the learner's.
    """
    from neuromas.config import make_config
    from neuromas.engines.build import make_engine
    from neuromas.learner.conformance import Check

    name = make if isinstance(make, str) else "local"
    config = make_config({"engine": {"name": name, "options": dict(options or {})}})
    around = model or tiny_resident_model()
    engine = make_engine(config, around) if isinstance(make, str) else make(config, around)
    Check(engine, around, tolerance).run()


def tiny_resident_model(adapters: int = 2, spread: float = 0.3, seed: int = 0) -> ResidentModel:
    """A random two-layer model with so many adapters, fp32 on the CPU; milliseconds to make.

    ``spread`` is the standard deviation of their B factors (0: as new, all like the backbone).
    """
    import torch

    from neuromas.models.adapters import LoraSpec
    from neuromas.models.backbone import load_backbone
    from neuromas.models.resident import ResidentModel

    model = ResidentModel.around(load_backbone("tiny", "float32", "cpu"), LoraSpec(4, 6.0), adapters, seed)
    generator = torch.Generator().manual_seed(seed)
    for row in range(adapters):
        for _, _, up in model.bank.factors(row):
            up.copy_(torch.randn(up.shape, generator=generator) * spread)
    return model
