"""What nodes are taught while a view is lifted, on episodes written by hand."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from neuromas.core.episode import Episode, Turn
from neuromas.core.task import Problem, Score
from neuromas.training.credit import lessons_of


def turn(node, ids, later=((7,), (8,)), adapter=None, heard=True):
    return Turn(
        node=node,
        prefix_ids=(1,),
        suffix_ids=(2,),
        ids=ids,
        logprobs=(-0.1,) * len(ids),
        text="",
        ended=True,
        temperature=1.0,
        adapter=node if adapter is None else adapter,
        version=0,
        heard=heard,
        lifted=later is None,
        later=later,
    )


def episode(reward, *turns, problem="p"):
    score = None if reward is None else Score(reward, "x")
    return Episode(Problem(problem, "q", "x"), 0, turns, score)


def trainer(frozen=()):
    return SimpleNamespace(
        network=SimpleNamespace(taught=2.0), learner=SimpleNamespace(lr_scale=dict.fromkeys(frozen, 0.0))
    )


def test_the_message_that_earned_most_on_a_problem_is_taught_under_both_prompts():
    episodes = [
        episode(1.0, turn(0, (5, 6))),
        episode(1.0, turn(0, (9,))),
        episode(1.0, turn(0, (5, 6)), turn(1, (4,))),
        episode(0.5, turn(0, (3,)), problem="q"),
    ]
    messages, weights = lessons_of(trainer(), episodes)
    told = [(one.key, one.adapter, one.prefix, one.suffix, one.ids) for one in messages]
    assert told == [
        (0, 0, (1,), (2,), (5, 6)),
        (1, 0, (7,), (8,), (5, 6)),
        (2, 1, (1,), (2,), (4,)),
        (3, 1, (7,), (8,), (4,)),
        (4, 0, (1,), (2,), (3,)),
        (5, 0, (7,), (8,), (3,)),
    ]
    assert weights.advantage.tolist() == [2.0, 2.0, 1.0, 1.0, 0.5, 0.5]
    # per token; 3.5 is what they earned, twice, and 2 the weight of everything that is taught
    assert weights.scale.tolist() == pytest.approx([1 / 7, 1 / 7, 2 / 7, 2 / 7, 2 / 7, 2 / 7])


def test_what_earned_nothing_was_not_heard_or_was_read_under_the_last_view_teaches_nobody():
    nothing = [
        episode(0.0, turn(0, (5,))),
        episode(-1.0, turn(0, (5,))),
        episode(None, turn(0, (5,))),
        episode(1.0, turn(0, (5,), later=None), turn(1, (5,), heard=False)),
    ]
    assert lessons_of(trainer(), nothing) is None
    assert lessons_of(trainer(), []) is None


def test_a_frozen_adapter_is_not_taught():
    both = [episode(1.0, turn(0, (5,)), turn(1, (6,)))]
    messages, _ = lessons_of(trainer(frozen=[0]), both)
    assert {one.adapter for one in messages} == {1}
