"""Whatever is typed or put into a file: no traceback, no hang, status 2 and one plain line, nothing left.

A seeded part of what ``make fuzz`` runs at length (``docs/robustness.md`` has its table).
"""

from __future__ import annotations

import pytest
from cases import kinds
from harness import judge
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

KINDS = ["config keys", "TOML", "topologies", "task files", "experiment files", "manifests", "safetensors"]
KINDS += ["command lines"]


@pytest.mark.parametrize("kind", KINDS)
@settings(
    max_examples=20,
    derandomize=True,
    database=None,
    deadline=None,
    phases=[Phase.generate],  # what it finds is short as it is, and a hang would be tried again and again
    suppress_health_check=list(HealthCheck),
)
@given(data=st.data())
def test_nothing_breaks_it(kind, run, data):
    case = data.draw(kinds(run)[kind])
    outcome = judge(case, run)
    assert outcome.verdict in ("refused", "accepted"), (outcome, case)
