"""The schedule of a growing run."""

from __future__ import annotations

from dataclasses import replace

from neuromas.config import make_config
from neuromas.growth.stages import Stage


def test_a_view_that_waits_for_the_reward_rises_stays_and_comes_down():
    settings = make_config({"lift": {"view": ["split", "all"], "way": "reward", "at": 0.4}}).lift
    stage = Stage(0, 0, 100)
    for earned, level in [(0.4, 1), (0.9, 2), (0.39, 2), (0.2, 2), (0.19, 1), (None, 1), (0.0, 0), (0.0, 0)]:
        stage = stage.raised(earned, settings)
        assert stage.level == level, earned
    assert replace(stage, level=10).lifted(5, settings) == 0.5
    assert replace(stage, level=20).raised(1.0, settings).level == 20
    by_validation = make_config({"lift": {"view": ["split", "all"], "way": "steps", "at": 0.4}}).lift
    assert replace(stage, level=2).raised(0.0, by_validation).level == 2
