"""A change that is meant to be neutral leaves these numbers as they are."""

from __future__ import annotations

import json

import pytest
from tests.golden.make_tiny_steps import PATH, record


def test_three_steps_of_the_tiny_network():
    expected = json.loads(PATH.read_text("utf-8"))
    for step, (now, then) in enumerate(zip(record(), expected, strict=True)):
        assert now["messages"] == then["messages"], f"step {step}"
        for name in ("reward", "loss", "entropy", "gradient_norm", "learned_tokens", "silent_groups"):
            assert now[name] == pytest.approx(then[name], rel=1e-3, abs=1e-6), f"step {step}: {name}"
