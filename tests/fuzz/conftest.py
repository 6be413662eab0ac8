"""The trained run that cases of manifests, tensors and command lines are made of."""

from __future__ import annotations

import pytest
from harness import trained


@pytest.fixture(scope="session")
def run(tmp_path_factory):
    return trained(tmp_path_factory.mktemp("fuzz"))
