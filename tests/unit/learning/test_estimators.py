"""Advantages of every estimator against numbers worked out by hand, and what they are in expectation."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuromas.config import make_config
from neuromas.core.errors import ConfigError
from neuromas.core.parts import ESTIMATORS
from neuromas.learning.credit import check_state, make_estimator, zero_variance_groups
from neuromas.learning.estimators.base import Estimator, Pooled

# two problems, four samples each; one episode of the second failed
REWARDS = ((1.0, 0.0, 0.0, 1.0), (0.5, None, 0.0, 1.0))
# mean of all seven rewards: 3.5 / 7 = 1/2
HALF = ((0.5, -0.5, -0.5, 0.5), (0.0, 0.0, -0.5, 0.5))
KINDS = tuple(ESTIMATORS.builtin)


def made(kind, **train):
    return make_estimator(make_config({"train": {"baseline": kind, **train}}).train)


def advantages(kind, rewards, state=None):
    return made(kind).advantages(rewards, state)[0]


def close(found, expected):
    assert [len(group) for group in found] == [len(group) for group in expected]
    flat = [a for group in found for a in group]
    assert flat == pytest.approx([a for group in expected for a in group], abs=1e-12)


def test_none_is_the_reward():
    close(advantages("none", REWARDS), ((1, 0, 0, 1), (0.5, 0, 0, 1)))


def test_batch_mean():
    close(advantages("batch_mean", REWARDS), HALF)


def test_ema_subtracts_what_it_remembers():
    close(advantages("ema", REWARDS, 0.25), ((0.75, -0.25, -0.25, 0.75), (0.25, 0, -0.25, 0.75)))
    close(advantages("ema", REWARDS, 0.0), ((1, 0, 0, 1), (0.5, 0, 0, 1)))  # 0 is a mean, not "unset"
    close(advantages("ema", REWARDS), HALF)  # the first batch has no past: its own mean


def test_rloo_compares_with_the_other_samples():
    # first: 1 - (0 + 0 + 1)/3 and 0 - (1 + 0 + 1)/3; second: 0.5 - (0 + 1)/2, 0 - 1.5/2, 1 - 0.5/2
    close(advantages("rloo", REWARDS), ((2 / 3, -2 / 3, -2 / 3, 2 / 3), (0, 0, -0.75, 0.75)))


def test_grpo_standardises_within_the_group():
    # sample deviations: sqrt(4 * 0.25 / 3) and sqrt((0 + 0.25 + 0.25) / 2) = 1/2
    first = 0.5 / (math.sqrt(1 / 3) + 1e-4)
    second = 0.5 / (0.5 + 1e-4)
    close(advantages("grpo", REWARDS), ((first, -first, -first, first), (0, 0, -second, second)))


def test_every_estimator_is_really_different():
    assert KINDS == ("none", "ema", "batch_mean", "rloo", "grpo", "grpo_global")
    alone = [kind for kind in KINDS if not isinstance(made(kind), Pooled)]
    assert len(alone) == 5, "the sixth differs in what it is asked: all nodes' rewards at once"
    assert len({advantages(kind, REWARDS, 0.25) for kind in alone}) == 5


@pytest.mark.parametrize("kind", ["rloo", "grpo"])
@pytest.mark.parametrize("value", [0.0, 1.0, 0.1, 1 / 3])
def test_groups_that_agree_get_exactly_nothing(kind, value):
    assert advantages(kind, [[value] * 7, [None, value]]) == ((0.0,) * 7, (0.0, 0.0))
    assert advantages(kind, [[value + 1e-16, value, value]]) == ((0.0,) * 3,)  # a rounding residue
    assert advantages(kind, [[], [None, None], [value]]) == ((), (0.0, 0.0), (0.0,))


@pytest.mark.parametrize("kind", KINDS)
def test_failed_episodes_count_nowhere(kind):
    with_them = advantages(kind, ((0.0, None, 1.0), (None, None, None), (0.25, 0.5, None)), 0.3)
    without = advantages(kind, ((0.0, 1.0), (), (0.25, 0.5)), 0.3)
    assert [group[i] for group, i in ((with_them[0], 1), (with_them[1], 0), (with_them[2], 2))] == [0.0] * 3
    close([[with_them[0][0], with_them[0][2]], [], with_them[2][:2]], without)
    assert advantages(kind, ((None, None),)) == ((0.0, 0.0),)


groups = st.lists(st.lists(st.floats(0, 1), min_size=2, max_size=6), min_size=1, max_size=4)


@given(groups)
def test_group_baselines_sum_to_nothing_and_keep_the_order(rewards):
    for kind in ("rloo", "grpo"):
        for group, found in zip(rewards, advantages(kind, rewards), strict=True):
            assert math.fsum(found) == pytest.approx(0.0, abs=1e-6)
            pairs = itertools.combinations(zip(group, found, strict=True), 2)
            assert all((a - b) * (x - y) >= -1e-9 for (a, x), (b, y) in pairs)
    for group, found in zip(rewards, advantages("rloo", rewards), strict=True):
        mean = math.fsum(group) / len(group)
        scaled = [(r - mean) * len(group) / (len(group) - 1) for r in group]
        assert found == pytest.approx(scaled, abs=1e-9)


@given(groups, st.floats(-3, 3), st.floats(0.1, 5))
def test_shifts_and_scales(rewards, shift, scale):
    moved = [[scale * r + shift for r in group] for group in rewards]
    for kind in ("rloo", "batch_mean"):
        for a, b in zip(advantages(kind, rewards), advantages(kind, moved), strict=True):
            assert b == pytest.approx([scale * x for x in a], abs=1e-9)


def expected_gradient(kind, probabilities, values, samples=2):
    """The mean over all draws of ``sum_k A_k * d log pi(a_k) / d logits / samples``, exactly."""
    total = [0.0] * len(values)
    for draw in itertools.product(range(len(values)), repeat=samples):
        weight = math.prod(probabilities[a] for a in draw)
        (found,) = advantages(kind, [[values[a] for a in draw]], 0.37)
        for a, advantage in zip(draw, found, strict=True):
            for i, p in enumerate(probabilities):
                total[i] += weight * advantage * ((i == a) - p) / samples
    return total


def test_which_estimators_are_unbiased():
    probabilities, values = [0.2, 0.5, 0.3], [1.0, 0.0, 0.4]
    mean = sum(p * v for p, v in zip(probabilities, values, strict=True))
    exact = [p * (v - mean) for p, v in zip(probabilities, values, strict=True)]
    for kind in ("none", "ema", "rloo"):
        assert expected_gradient(kind, probabilities, values) == pytest.approx(exact, abs=1e-12)
    # the mean of the batch holds the sample itself: the gradient shrinks by 1 - 1/n, its direction stays
    shrunk = [g / 2 for g in exact]
    assert expected_gradient("batch_mean", probabilities, values) == pytest.approx(shrunk, abs=1e-12)
    assert expected_gradient("grpo", probabilities, values) != pytest.approx(exact, rel=0.1)


def test_the_running_mean():
    def after(state, rewards, decay):
        return made("ema", ema_decay=decay).advantages(rewards, state)[1]

    assert after(None, REWARDS, 0.9) == pytest.approx(0.5)
    assert after(0.0, REWARDS, 0.9) == pytest.approx(0.05)
    assert after(0.8, REWARDS, 0.75) == pytest.approx(0.75 * 0.8 + 0.25 * 0.5)
    assert after(0.8, ((None,), ()), 0.9) == 0.8
    assert after(None, ((None,),), 0.9) is None


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "ema"])
def test_others_remember_nothing(kind):
    assert made(kind).init() is None
    assert made(kind).advantages(REWARDS, None)[1] is None


def test_zero_variance_groups():
    assert zero_variance_groups(((1.0, 1.0), (0.0, None, 0.0), (0.0, 1.0), (None, None), (0.5,))) == 4
    assert zero_variance_groups(()) == 0


MODULE = '''
from dataclasses import dataclass
from neuromas.learning.estimators.base import Estimator, less

@dataclass(frozen=True)
class Fixed(Estimator):
    """R - b with one given b."""

    level: float = 0.5
    ema_decay: float = 0.0

    def advantages(self, rewards_PG, state):
        return less(rewards_PG, self.level), {"batches": (state or {"batches": 0})["batches"] + 1}

class Pairs(Fixed):
    needs_group = True

class Nothing:
    pass

def broken():
    raise OSError("no such\\nluck")

READY = Fixed(0.25)
'''


@pytest.fixture
def module(tmp_path, monkeypatch):
    (tmp_path / "own_estimators.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    return "own_estimators"


def test_an_estimator_of_ones_own_by_address_with_its_options(module):
    assert made(f"{module}:Fixed").level == 0.5
    own = made(f"{module}:Fixed", baseline_options={"level": 1.0}, ema_decay=0.75)
    assert (own.level, own.ema_decay) == (1.0, 0.75)  # a key of the section is given where it is asked for
    assert own.advantages([[1.0, None]], own.init()) == (((0.0, 0.0),), {"batches": 1})
    assert isinstance(own, Estimator)
    assert made(f"{module}:READY").level == 0.25


@pytest.mark.parametrize(
    ("train", "says"),
    [
        ({"baseline": "own_estimators:Fixed", "baseline_options": {"levle": 1.0}}, "did you mean 'level'"),
        ({"baseline": "own_estimators:Fixed", "baseline_options": {"ema_decay": 0.5}}, "(valid: level)"),
        ({"baseline": "rloo", "baseline_options": {"level": 1.0}}, "unknown option of 'rloo' 'level'"),
        ({"baseline": "own_estimators:Pairs", "samples": 1}, "needs at least 2 samples"),
        ({"baseline": "own_estimators:Nothing"}, "is no estimator: it lacks"),
        ({"baseline": "own_estimators:broken"}, "no such luck"),
        ({"baseline": "own_estimators:Absent"}, "cannot be imported"),
        ({"baseline": "no_such_module:Fixed"}, "cannot be imported"),
    ],
)
def test_what_cannot_be_used_is_one_line(module, train, says):
    settings = make_config({"train": train}).train
    with pytest.raises(ConfigError) as caught:
        make_estimator(settings)
    assert says in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_a_configuration_imports_no_module_that_it_names(tmp_path, monkeypatch):
    (tmp_path / "trap.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    assert make_config({"train": {"baseline": "trap:Fixed", "samples": 1}}).train.baseline == "trap:Fixed"


@pytest.mark.parametrize("state", ["x", [], {"mean": 1}, 10**400])
def test_a_state_it_cannot_go_on_from(state):
    check_state(made("ema"), 0.5)
    with pytest.raises(ValueError, match="Ema cannot use the state"):
        check_state(made("ema"), state)
