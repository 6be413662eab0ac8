"""Episodes of one problem as a group, and what a node learns from."""

from __future__ import annotations

from dataclasses import replace

import pytest

from neuromas.core.episode import Episode, EpisodeGroup, Turn, grouped
from neuromas.core.task import Problem, Score


def turn(node):
    return Turn(node, (1,), (2,), (3, 4), (-0.5, -0.25), f"m{node}", True, 1.0, node, 0)


def episode(problem, sample, score, turns=2):
    return Episode(Problem(problem, "?", ""), sample, tuple(map(turn, range(turns))), score)


EPISODES = [
    episode("p0", 0, Score(1.0, "1")),
    episode("p0", 1, Score(0.0, None), turns=1),  # failed before its second node spoke
    episode("p1", 0, None, turns=0),  # not asked
    episode("p1", 1, Score(0.5, "1", nodes=(0.25, 0.75))),
]


def test_groups_hold_the_samples_of_one_problem():
    groups = grouped(EPISODES, 2)
    assert [group.problem.id for group in groups] == ["p0", "p1"]
    assert [group.scores for group in groups] == [(1.0, 0.0), (None, 0.5)]
    assert grouped([], 4) == []


def test_a_node_learns_from_the_terminal_reward_unless_it_has_its_own():
    first, second = grouped(EPISODES, 2)
    assert [first.rewards(node) for node in (0, 1)] == [(1.0, 0.0), (1.0, None)]
    assert [second.rewards(node) for node in (0, 1)] == [(None, 0.25), (None, 0.75)]


@pytest.mark.parametrize("episodes", [EPISODES[:3], EPISODES[1:3], [*EPISODES[:2], EPISODES[0], EPISODES[3]]])
def test_what_is_no_group_is_refused(episodes):
    with pytest.raises(ValueError, match="2 of every problem"):
        grouped(episodes, 2)


def test_a_group_is_a_value():
    assert EpisodeGroup(tuple(EPISODES[:2])) == replace(grouped(EPISODES, 2)[0])
