"""The law of products: simulated under the law its intervals cover, and broken laws are named."""

from __future__ import annotations

import math

import numpy as np
import pytest

from neuromas.theory.law import (
    Cell,
    Counted,
    against_snr,
    deviation,
    fit,
    law,
    product,
    spent_until,
)
from neuromas.theory.snr import Case, exact


def under_law(rng, rates, items=200, masked=0.0):
    """A chain of nodes on ``items`` problems, all counted on the same items; wrong ones may be masked."""
    alive, locals_ = np.ones(items, bool), []
    for rate in rates:
        right = rng.random(items) < rate
        locals_.append(Counted(int((alive & right).sum()), int(alive.sum())))
        alive &= right
    answered = alive | (rng.random(items) < masked)
    return Cell("cell", len(rates), Counted(int(answered.sum()), items), tuple(locals_))


def independent(rng, rates, items=200):
    """Accuracy and locals of different items."""
    locals_ = tuple(Counted(int(rng.binomial(items, rate)), items) for rate in rates)
    return Cell("cell", 1, Counted(int(rng.binomial(items, math.prod(rates))), items), locals_)


@pytest.mark.parametrize("rates", [(0.9, 0.9, 0.9), (0.95,) * 7, (0.6, 0.7), (0.99, 0.98, 0.97)])
def test_interval_covers_the_law(rates):
    rng = np.random.default_rng(1)
    cells = [independent(rng, rates) for _ in range(1500)]
    covered = np.mean([not deviation(cell).off for cell in cells])
    assert 0.935 <= covered <= 0.985
    same = [under_law(rng, rates) for _ in range(300)]
    assert np.mean([not deviation(cell).off for cell in same]) >= 0.95


def test_broken_laws_are_off():
    rng = np.random.default_rng(2)
    found = [deviation(under_law(rng, (0.7, 0.7, 0.7), masked=0.4)) for _ in range(200)]
    assert np.mean([one.off and one.difference > 0 for one in found]) > 0.95


def test_fit_finds_slope_one_under_the_law_and_another_elsewhere():
    rng = np.random.default_rng(3)
    inside = 0
    for _ in range(300):
        rates = [(rate,) * nodes for rate in (0.8, 0.9, 0.95) for nodes in (1, 3, 7)]
        line = fit([independent(rng, one, 400) for one in rates])
        inside += line.slope_interval.low <= 1.0 <= line.slope_interval.high
        assert line.cells == 9
        assert line.left_out == 0
        assert 0.8 < line.r2 <= 1.0
    assert inside / 300 > 0.9
    bent = [Cell("b", 1, Counted(round(1e6 * x**0.5), 10**6), (Counted(round(1e6 * x), 10**6),)) for x in
            (0.1, 0.3, 0.5, 0.9)]  # fmt: skip
    line = fit(bent)
    assert line.slope == pytest.approx(0.5, abs=1e-3)
    assert line.intercept == pytest.approx(0, abs=1e-3)
    assert line.slope_interval.high < 1.0


def test_what_is_not_known_is_named_and_not_guessed():
    lost = Cell("lost", 2, Counted(3, 10), (Counted(5, 10), Counted(0, 0)))
    right = Cell("right", 1, Counted(8, 10), (Counted(8, 10),))
    assert product(lost) is None
    assert product(Cell("none", 1, Counted(1, 2), ())) is None
    found = law([lost, right])
    assert found.unknown == ("lost",)
    assert found.fit is None
    never = Cell("never", 2, Counted(30, 100), (Counted(0, 100), Counted(0, 0)))  # right by another way
    assert product(never) == 0.0
    assert law([never]).off[0].difference == pytest.approx(0.3)
    few = [Cell("few", 3, Counted(6, 100), (Counted(0, 100), *([Counted(0, 0)] * k))) for k in (0, 2, 6)]
    assert len({deviation(cell).interval.low for cell in few}) == 1, "who was never asked says nothing"
    assert not found.off
    assert [one.cell.name for one in found.deviations] == ["right"]
    zero = Cell("zero", 1, Counted(0, 10), (Counted(0, 10),))
    assert deviation(zero).difference == 0.0
    assert not deviation(zero).off
    with pytest.raises(ValueError, match="3 right of 2"):
        Counted(3, 2)


def test_deviations_come_largest_first():
    near = Cell("near", 1, Counted(90, 100), (Counted(95, 100),))
    far = Cell("far", 1, Counted(20, 100), (Counted(95, 100),))
    found = law([near, far])
    assert [one.cell.name for one in found.deviations] == ["far", "near"]
    assert [one.cell.name for one in found.off] == ["far"]


def test_samples_until_the_target():
    rows = [{"step": 20, "accuracy": 0.9}, {"step": 10, "accuracy": 0.8}, {"step": 5, "accuracy": None}]
    assert spent_until(rows, lambda step: 128.0 * step) == 1280.0
    assert spent_until(rows, lambda step: step, 0.95) is None


def test_samples_beside_the_signal_to_noise():
    found = against_snr({1: 100.0, 2: 1000.0, 3: None}, 0.4, 0.4)
    assert [one.measured for one in found] == [1.0, 10.0, None]
    expected = (exact(Case(1, 0.4, 0.4)) / exact(Case(7, 0.4, 0.4))) ** 2
    assert found[2].predicted == pytest.approx(expected)
    assert found[0].predicted == 1.0
    grown = against_snr({1: 100.0, 3: 200.0}, 0.4, 0.05)
    assert grown[1].predicted < found[2].predicted / 100
    assert against_snr({1: None, 2: 5.0}, 0.4, 0.4)[1].measured is None
    with pytest.raises(ValueError, match="no depth"):
        against_snr({}, 0.4, 0.4)
