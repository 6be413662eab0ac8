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


def episode(reward, *turns):
    score = None if reward is None else Score(reward, "x")
    return Episode(Problem("p", "q", "x"), 0, turns, score)


def trainer(frozen=()):
    return SimpleNamespace(learner=SimpleNamespace(lr_scale=dict.fromkeys(frozen, 0.0)))


def test_messages_are_taught_under_both_prompts_in_proportion_to_what_they_earned():
    episodes = [episode(1.0, turn(0, (5, 6))), episode(0.5, turn(0, (9,))), episode(1.0, turn(0, (5, 6)))]
    messages, weights = lessons_of(trainer(), episodes)
    told = [(one.prefix, one.suffix, one.ids, one.key) for one, _ in messages]
    assert told == [
        ((1,), (2,), (5, 6), 0),
        ((7,), (8,), (5, 6), 1),
        ((1,), (2,), (9,), 2),
        ((7,), (8,), (9,), 3),
    ]
    assert weights.advantage.tolist() == [2.0, 2.0, 0.5, 0.5]
    # per token, and 5 = everything that was earned
    assert weights.scale.tolist() == pytest.approx([1 / 10, 1 / 10, 1 / 5, 1 / 5])


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
    assert {one.adapter for one, _ in messages} == {1}
