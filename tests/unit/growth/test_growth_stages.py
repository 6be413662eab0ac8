"""The schedule of a growing run."""

from __future__ import annotations

from dataclasses import replace

from neuromas.config import make_config
from neuromas.growth.stages import Stage, check_stages, idle_views


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


def test_views_that_hand_every_node_the_same_are_said():
    def said(shape, *view):
        config = make_config({"stages": [{"shape": shape, "steps": 1, "view": list(view)}]})
        return idle_views(config, check_stages(config, None))

    assert said("1", "split", "all") == [
        "stages[1].view = ['split', 'all'] lifts nothing: every node of 1 is handed as much of the question "
        "under 'split' as under 'all'"
    ]
    assert said("1", "branches", "all")
    assert said("1", "hints", "all") == []  # the recipe's: all parts before the whole
    assert said("2-1", "split", "all") == []
    plain = make_config({"network": {"topology": "1"}, "lift": {"view": ["split", "all"]}})
    assert idle_views(plain, check_stages(plain, None))[0].startswith("lift.view = ")
    shown = make_config({"network": {"examples": 1}, "lift": {"view": ["split+examples", "all"]}})
    assert idle_views(shown, check_stages(shown, None)) == []
