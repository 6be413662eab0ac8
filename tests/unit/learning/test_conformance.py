"""``check_estimator``: the built-in estimators pass, and each broken promise is found."""

from __future__ import annotations

import random

import pytest

from neuromas.core.parts import ESTIMATORS
from neuromas.learning.estimators.base import Estimator, less, mean
from neuromas.testing import check_estimator


@pytest.mark.parametrize("name", ESTIMATORS.builtin)
def test_the_built_in_estimators_keep_the_contract(name):
    check_estimator(ESTIMATORS.get(name)())


class Half(Estimator):
    """R - 1/2, counting batches."""

    def advantages(self, rewards_PG, state):
        return less(rewards_PG, 0.5), {"batches": (state or {"batches": 0})["batches"] + 1}


class Short(Half):
    def advantages(self, rewards_PG, state):
        return less(rewards_PG[:-1], 0.5), state


class Credulous(Half):
    def advantages(self, rewards_PG, state):
        return tuple(tuple(-0.5 if r is None else r - 0.5 for r in group) for group in rewards_PG), state


class Crowded(Half):
    """Counts those that had no part."""

    def advantages(self, rewards_PG, state):
        return less(rewards_PG, (mean(rewards_PG) or 0.0) / max(1, sum(map(len, rewards_PG)))), state


class Infinite(Half):
    def advantages(self, rewards_PG, state):
        return less(rewards_PG, float("inf")), state


class Sorting(Half):
    def advantages(self, rewards_PG, state):
        for group in rewards_PG:
            group.sort(key=lambda r: (r is None, r))
        return less(rewards_PG, 0.5), state


class Mutating(Half):
    def init(self):
        return {"batches": 0}

    def advantages(self, rewards_PG, state):
        state["batches"] += 1
        return less(rewards_PG, 0.5), state


class Random(Half):
    def advantages(self, rewards_PG, state):
        return less(rewards_PG, random.random()), state


class Unsaved(Half):
    def advantages(self, rewards_PG, state):
        return less(rewards_PG, 0.5), {1, 2}


class Forgetful(Half):
    """A tuple comes back as a list."""

    def advantages(self, rewards_PG, state):
        return less(rewards_PG, 0.25 if isinstance(state, list) else 0.5), (1, 2)


class Steadfast(Half):
    shift_invariant = True


class NewEachTime(Half):
    def init(self):
        return object()


class Bare:
    def advantages(self, rewards_PG, state):
        return less(rewards_PG, 0.5), state


def test_one_that_counts_batches_passes():
    check_estimator(Half())


@pytest.mark.parametrize(
    ("broken", "says"),
    [
        (Short, "another shape"),
        (Credulous, "None has an advantage"),
        (Crowded, "changes the advantages of others"),
        (Infinite, "has the advantage -inf"),
        (Sorting, "changes the rewards"),
        (Mutating, "changes the state"),
        (Random, "another answer"),
        (Unsaved, "cannot be kept as JSON"),
        (Forgetful, "read back from JSON"),
        (Steadfast, "added to all rewards"),
        (NewEachTime, "another state each time"),
        (Bare, "an estimator has"),
    ],
)
def test_each_broken_promise_is_found(broken, says):
    with pytest.raises(AssertionError, match=says):
        check_estimator(broken())
