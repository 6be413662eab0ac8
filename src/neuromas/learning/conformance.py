"""What every estimator promises, as a check that anybody's may be held to."""

from __future__ import annotations

import copy
import json
import math
from typing import Any

from neuromas.learning.estimators.base import Advantages, Estimator, Rewards

_BATCHES: tuple[Rewards, ...] = (
    ((1.0, 0.0, 0.0, 1.0), (0.5, None, 0.0, 1.0)),
    ((0.25, 0.75), (None, None), (1.0, 1.0), ()),
    ((None, 1.0), (0.125,)),
    ((-0.5, 2.0, 0.5), (0.1, 0.1, 0.1)),
)
_SHIFT = 0.375


def check_estimator(estimator: Estimator) -> None:
    """Raises AssertionError, saying what is wrong, if an estimator breaks the contract of ``Estimator``.

    Held to it are the shape of its advantages, 0 for episodes a node had no part in (and no influence of
    theirs), that rewards and state are left as they were and equal questions get equal answers, that its
    state survives a checkpoint, and the invariance it promises. Whether it estimates what it is to estimate
    is left to its own tests.
    """
    assert isinstance(estimator, Estimator), "an estimator has needs_group, shift_invariant, init, advantages"
    assert estimator.init() == estimator.init(), "init() gives another state each time"
    state = estimator.init()
    for rewards_PG in _BATCHES:
        found, after = _ask(estimator, rewards_PG, state)
        _check_shape(found, rewards_PG)
        _check_missing(estimator, rewards_PG, state)
        kept = _through_json(after)
        follows = [_ask(estimator, _BATCHES[0], one) for one in (after, kept)]
        assert follows[0] == follows[1], f"the state {after!r} read back from JSON gives other advantages"
        state = kept
    if estimator.shift_invariant:
        _check_shift(estimator)


def _ask(estimator: Estimator, rewards_PG: Rewards, state: Any) -> tuple[Advantages, Any]:
    """Its answer, given twice, with the question left as it was."""
    rewards, before = [list(group) for group in rewards_PG], copy.deepcopy(state)
    first = estimator.advantages(rewards, state)
    assert rewards == [list(group) for group in rewards_PG], "advantages() changes the rewards it is given"
    assert state == before, "advantages() changes the state it is given; return a new one"
    assert estimator.advantages(rewards, state) == first, "the same rewards and state give another answer"
    return first


def _check_shape(found: Advantages, rewards_PG: Rewards) -> None:
    shape = [len(group) for group in rewards_PG]
    assert [len(group) for group in found] == shape, "advantages have another shape than the rewards"
    for group, advantages in zip(rewards_PG, found, strict=True):
        for reward, advantage in zip(group, advantages, strict=True):
            assert math.isfinite(advantage), f"a reward of {reward} has the advantage {advantage}"
            assert reward is not None or advantage == 0.0, "a reward that is None has an advantage"


def _check_missing(estimator: Estimator, rewards_PG: Rewards, state: Any) -> None:
    """Rewards that are None count nowhere: without them all others have the advantages they had."""
    known_PG = [[r for r in group if r is not None] for group in rewards_PG]
    with_them, _ = estimator.advantages(rewards_PG, state)
    without, _ = estimator.advantages(known_PG, state)
    for group, advantages, alone in zip(rewards_PG, with_them, without, strict=True):
        kept = [a for r, a in zip(group, advantages, strict=True) if r is not None]
        assert _close(kept, alone), "a reward that is None changes the advantages of others"


def _through_json(state: Any) -> Any:
    """The state as a checkpoint gives it back."""
    try:
        return json.loads(json.dumps(state, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise AssertionError(f"the state {state!r} cannot be kept as JSON: {error}") from error


def _check_shift(estimator: Estimator) -> None:
    for rewards_PG in _BATCHES:
        moved = [[None if r is None else r + _SHIFT for r in group] for group in rewards_PG]
        pair = [estimator.advantages(rewards, estimator.init())[0] for rewards in (rewards_PG, moved)]
        for here, there in zip(*pair, strict=True):
            assert _close(here, there), "a constant added to all rewards changes the advantages"


def _close(first: Any, second: Any) -> bool:
    return len(first) == len(second) and all(
        math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-9) for a, b in zip(first, second, strict=True)
    )
