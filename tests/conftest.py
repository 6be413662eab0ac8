"""Fixtures of all tests: tiny networks that run the real code in milliseconds."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable

import pytest


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip, visibly, a test that is marked as needing a program, or one of several, and none is here."""
    for mark in item.iter_markers("needs"):
        if not any(map(shutil.which, mark.args)):
            pytest.skip(f"needs {' or '.join(mark.args)}, which .ci/run installs where it is root")
    if item.get_closest_marker("processes") and os.environ.get("NEUROMAS_PROCESSES") != "1":
        pytest.skip("takes a minute: make test-processes runs it")
    if item.get_closest_marker("browser") and os.environ.get("NEUROMAS_BROWSER") != "1":
        pytest.skip("takes minutes: make test-browser runs it")


@pytest.fixture(scope="session", autouse=True)
def own_notes(tmp_path_factory):
    """What tests name is noted in a folder of their own, not in the user's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NEUROMAS_STATE", str(tmp_path_factory.mktemp("state")))
        yield


@pytest.fixture(scope="session", autouse=True)
def no_waiting_for_the_disk():
    """No test can tell whether the disk has it: that takes a cut of power. Fakes tell order and failures.

    Processes that tests start flush as ever.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda handle: os.fstat(handle) and None)
        yield


@pytest.fixture(scope="session")
def tiny_engine() -> Callable[..., object]:
    """``tiny_engine(adapters=2, seed=0, spread=0.3)``: a new local engine over a new tiny backbone.

    Layers are wrapped in place, so every engine has a backbone of its own; all have equal weights.
    ``spread`` is the deviation of the random B factors (0: fresh adapters, B = 0). fp32 on the CPU.
    """
    import torch

    from neuromas.engines.local.engine import LocalEngine
    from neuromas.models.adapters import LoraSpec
    from neuromas.models.backbone import load_backbone
    from neuromas.models.resident import ResidentModel

    torch.set_num_threads(1)

    def make(
        adapters: int = 2, seed: int = 0, spread: float = 0.3, rank: int = 4, alpha: float = 6.0
    ) -> LocalEngine:
        backbone = load_backbone("tiny", "float32", "cpu")
        model = ResidentModel.around(backbone, LoraSpec(rank, alpha), adapters, seed)
        scatter(model, spread, seed)
        return LocalEngine(model)

    return make


def scatter(model: object, spread: float, seed: int = 0) -> None:
    """Draw the B factors of every adapter, so that adapters differ from the backbone."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    for row in range(len(model.bank.parameters)):
        for _, _, up in model.bank.factors(row):
            up.copy_(torch.randn(up.shape, generator=generator) * spread)
