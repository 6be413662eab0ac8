"""Runs of one arm are told by what they computed in, whether they named it or chose it."""

from __future__ import annotations

import pytest

from neuromas.report.pages.compare import compare_sides
from neuromas.storage import Run


def made(path, arm, seed, dtype, computed):
    """A run of one evaluation; one of 0.3 notes no precision."""
    config = {"seed": seed, "growth": {}, "model": {"dtype": dtype}, "arm": arm}
    run = Run.create(path, config, {"machine": {"precision": computed}} if computed else {})
    items = [{"id": f"q{i}", "question": "?", "gold": "1", "score": float(i % 2)} for i in range(4)]
    run.write_evaluation("test-after", {"accuracy": 0.5, "interval": None}, items)
    return str(path)


@pytest.mark.parametrize(("computed", "pairs"), [("bfloat16", True), ("float32", False)])
def test_a_run_that_chose_its_precision_is_of_the_arm_that_named_it(tmp_path, computed, pairs):
    names = [
        made(tmp_path / f"{arm}-{seed}", arm, seed, *said)
        for seed, said in enumerate([("bfloat16", None), ("auto", computed)])
        for arm in "ab"
    ]
    text = str(compare_sides(names).blocks)
    assert ("each seed" in text) == pairs
