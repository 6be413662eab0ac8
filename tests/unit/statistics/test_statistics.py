"""Every function against a number worked out by hand or published, and its properties."""

from __future__ import annotations

import math
from itertools import pairwise, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from neuromas import statistics
from neuromas.statistics import (
    Interval,
    bootstrap_mean,
    clustered_bounds,
    clustered_difference,
    clustered_mean,
    detectable_difference,
    holm,
    mcnemar,
    mean_interval_t,
    paired_difference_interval,
    paired_permutation,
    wilson,
)
from neuromas.statistics.intervals import t_limit

Z95 = 1.959963984540054  # 97.5 % point of the standard normal

tenths = st.integers(0, 10).map(lambda k: k / 10)
scores = st.lists(tenths, min_size=1, max_size=30)
score_pairs = st.lists(st.tuples(tenths, tenths), min_size=1, max_size=30)
bit_pairs = st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60)


def halves(pairs):
    """Two sequences from a list of pairs."""
    return [a for a, _ in pairs], [b for _, b in pairs]


def test_wilson_matches_the_formula_by_hand():
    # 8 of 10: centre = (p + z²/2n) / (1 + z²/n), half = z/(1 + z²/n) · sqrt(p(1-p)/n + z²/4n²)
    p, n, z2 = 0.8, 10, Z95**2
    centre = (p + z2 / (2 * n)) / (1 + z2 / n)
    half = Z95 / (1 + z2 / n) * math.sqrt(p * (1 - p) / n + z2 / (4 * n * n))
    found = wilson(8, 10)
    assert found.low == pytest.approx(centre - half)
    assert found.high == pytest.approx(centre + half)
    assert (found.level, found.method) == (0.95, "wilson")


def test_wilson_matches_newcombe_1998():
    # Newcombe, Statistics in Medicine 17 (1998), table I, method 3: 81/263 and 15/148.
    assert (round(wilson(81, 263).low, 4), round(wilson(81, 263).high, 4)) == (0.2553, 0.3662)
    assert (round(wilson(15, 148).low, 4), round(wilson(15, 148).high, 4)) == (0.0624, 0.1605)


@given(st.integers(0, 2000), st.integers(0, 2000), st.floats(0.5, 0.999))
def test_wilson_is_scipys(right, wrong, level):
    n = max(1, right + wrong)
    theirs = stats.binomtest(right, n).proportion_ci(level, method="wilson")
    ours = wilson(right, n, level)
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), rel=1e-12, abs=1e-15)


@given(st.floats(0.6, 1e6), st.floats(0.01, 0.999))
def test_the_limit_of_t_is_scipys(degrees, level):
    assert t_limit(degrees, level) == pytest.approx(stats.t.isf((1 - level) / 2, degrees), rel=1e-12)


def test_wilson_at_the_edges():
    # All right: low = n / (n + z²), high = 1; one item still leaves a wide interval.
    assert wilson(20, 20).low == pytest.approx(20 / (20 + Z95**2))
    assert wilson(20, 20).high == pytest.approx(1.0)
    assert wilson(1, 1).low == pytest.approx(1 / (1 + Z95**2))
    assert wilson(0, 0) == Interval(0.0, 1.0, 0.95, "no items")
    assert str(wilson(0, 0)) == "[0.000, 1.000]"


@pytest.mark.parametrize(("successes", "n"), [(-1, 3), (4, 3), (0, -1), (1, 0)])
def test_wilson_refuses_impossible_counts(successes, n):
    with pytest.raises(ValueError, match=f"{successes} successes of {n}"):
        wilson(successes, n)


@given(st.integers(1, 300).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_contains_the_estimate_and_mirrors(counts):
    successes, n = counts
    found, mirrored = wilson(successes, n), wilson(n - successes, n)
    assert found.low - 1e-12 <= successes / n <= found.high + 1e-12
    assert found.width > 0
    assert found.low == pytest.approx(1 - mirrored.high, abs=1e-12)


def test_bootstrap_of_two_values_by_hand():
    # Resampling (0, 1) gives means 0, 1/2, 1 with chances 1/4, 1/2, 1/4: the 2.5 % and 97.5 % points are
    # 0 and 1, the 30 % and 70 % points both 1/2, where resampling shows no spread.
    assert bootstrap_mean([0.0, 1.0]) == Interval(0.0, 1.0, 0.95, "bootstrap percentile")
    assert bootstrap_mean([0.0, 1.0], level=0.4) is None


def test_bootstrap_approaches_the_normal_interval():
    # 400 scores, half 0 and half 1: standard error sqrt(.25 / 400) = .025, so ±1.96 · .025 = ±.049.
    found = bootstrap_mean([0.0, 1.0] * 200)
    assert found is not None
    assert found.low == pytest.approx(0.5 - Z95 * 0.025, abs=0.004)
    assert found.high == pytest.approx(0.5 + Z95 * 0.025, abs=0.004)


def test_bootstrap_depends_on_the_seed_alone():
    values = [0.0, 0.25, 0.5, 1.0, 0.75, 0.3, 0.9]
    assert bootstrap_mean(values, seed=1) == bootstrap_mean(values, seed=1)
    assert bootstrap_mean(values, resamples=200, seed=1) != bootstrap_mean(values, resamples=200, seed=2)


@pytest.mark.parametrize("function", [bootstrap_mean, mean_interval_t])
@pytest.mark.parametrize("values", [[], [0.5], [0.1, 0.1, 0.1], [1.0] * 50])
def test_no_spread_is_none_not_zero_width(function, values):
    assert function(values) is None


@pytest.mark.parametrize("function", [bootstrap_mean, mean_interval_t])
def test_a_mean_refuses_what_is_not_a_number(function):
    with pytest.raises(ValueError, match="value 1 is nan"):
        function([0.5, math.nan])
    with pytest.raises(ValueError, match=r"level 95"):
        function([0.0, 1.0], level=95)


def test_too_few_resamples_are_refused():
    with pytest.raises(ValueError, match="10 resamples"):
        bootstrap_mean([0.0, 1.0], resamples=10)
    with pytest.raises(ValueError, match="10 resamples"):
        paired_permutation([0.0], [1.0], resamples=10)


@given(scores)
@settings(max_examples=50)
def test_bootstrap_contains_the_mean(values):
    found = bootstrap_mean(values, resamples=400)
    mean = sum(values) / len(values)
    if found is None:
        assert len(values) < 2 or len(set(values)) == 1
    else:
        assert found.low - 1e-9 <= mean <= found.high + 1e-9
        assert found.width > 0


def test_t_interval_by_hand():
    # 1, 2, 3: mean 2, s = 1, standard error 1/√3, t(2) at 97.5 % = 4.302653 (any table): 2 ± 2.484138.
    found = mean_interval_t([1.0, 2.0, 3.0])
    assert found is not None
    assert found.low == pytest.approx(2 - 4.302653 / math.sqrt(3), abs=1e-6)
    assert found.high == pytest.approx(2 + 4.302653 / math.sqrt(3), abs=1e-6)
    assert found.method == "t"


def test_t_interval_of_shares_stays_between_0_and_1():
    # 0.5, 0.9, 1: mean .8, s = √.07, standard error √(.07 / 3); logit .8 = log 4 and its slope 1 / .16.
    half = 4.302653 * math.sqrt(0.07 / 3) / 0.16
    found = mean_interval_t([0.5, 0.9, 1.0], share=True)
    assert found.low == pytest.approx(1 / (1 + math.exp(half) / 4), abs=1e-6)
    assert found.high == pytest.approx(1 / (1 + math.exp(-half) / 4), abs=1e-6)
    assert mean_interval_t([0.5, 0.9, 1.0]).high > 1
    with pytest.raises(ValueError, match="not shares"):
        mean_interval_t([0.5, 1.5], share=True)


@given(scores)
def test_t_interval_contains_the_mean(values):
    found = mean_interval_t(values)
    if found is None:
        assert len(values) < 2 or len(set(values)) == 1
    else:
        assert found.low < sum(values) / len(values) < found.high


def test_t_interval_of_values_closer_than_their_arithmetic():
    assert mean_interval_t([1e-200, 2e-200]) is None


def test_mcnemar_by_hand():
    # 1 win, 6 losses: two-sided p = 2 · (C(7,0) + C(7,1)) / 2⁷ = 16 / 128 = 0.125.
    a = [1] + [0] * 6 + [1, 1, 0]
    b = [0] + [1] * 6 + [1, 1, 0]
    found = mcnemar(a, b)
    assert found.p_value == pytest.approx(16 / 128)
    assert (found.wins, found.losses, found.ties, found.n) == (1, 6, 3, 10)
    assert found.difference == pytest.approx(-0.5)


def test_mcnemar_takes_bools_and_no_difference_is_one():
    assert mcnemar([True, False], [True, False]).p_value == 1.0
    assert mcnemar([True], [False]).p_value == 1.0  # one discordant item: 2 · 1/2


@pytest.mark.parametrize("function", [mcnemar, paired_permutation, paired_difference_interval])
def test_pairs_must_match_and_exist(function):
    with pytest.raises(ValueError, match="2 and 3"):
        function([0, 1], [0, 1, 1])
    with pytest.raises(ValueError, match="no items"):
        function([], [])
    with pytest.raises(ValueError, match="value 0 is nan"):
        function([math.nan], [1])


def test_mcnemar_refuses_fractions():
    with pytest.raises(ValueError, match=r"b\[1\] is 0.5"):
        mcnemar([0, 1], [0, 0.5])


@given(bit_pairs)
def test_mcnemar_is_symmetric(pairs):
    a, b = halves(pairs)
    forward, back = mcnemar(a, b), mcnemar(b, a)
    assert forward.p_value == back.p_value
    assert (forward.wins, forward.losses, forward.ties) == (back.losses, back.wins, back.ties)
    assert forward.difference == -back.difference


def test_permutation_by_hand():
    # Differences .1, .2, .3, .4 and one tie: of 16 sign patterns one reaches the sum 1.0 and one -1.0,
    # so p = 2/16. Flipping the sign of .1: the sums ≥ .8 are 1.0 and .8, so p = 4/16.
    zero = [0.0] * 5
    found = paired_permutation([0.1, 0.2, 0.3, 0.4, 0.0], zero)
    assert found.p_value == pytest.approx(2 / 16)
    assert found.method == "sign-flip permutation, exact"
    assert (found.wins, found.losses, found.ties) == (4, 0, 1)
    assert found.difference == pytest.approx(0.2)
    assert paired_permutation([-0.1, 0.2, 0.3, 0.4, 0.0], zero).p_value == pytest.approx(4 / 16)


def test_permutation_by_drawing_agrees_with_mcnemar():
    # On right/wrong scores both tests are the same; 5 wins of 20 have p = 2 · P(X ≤ 5) = 0.04139 exactly.
    a, b = [1] * 5 + [0] * 15, [0] * 5 + [1] * 15
    exact = 2 * sum(math.comb(20, k) for k in range(6)) / 2**20
    drawn = paired_permutation(a, b, resamples=20_000)
    assert mcnemar(a, b).p_value == pytest.approx(exact)
    assert drawn.p_value == pytest.approx(exact, abs=0.006)
    assert drawn.method == "sign-flip permutation, 20000 draws"


def test_a_drawn_p_is_never_zero():
    assert paired_permutation([1.0] * 40, [0.0] * 40, resamples=999).p_value >= 1 / 1000


def test_permutation_without_a_difference_is_one():
    assert paired_permutation([0.5, 0.5], [0.5, 0.5]).p_value == 1.0


@given(score_pairs)
@settings(max_examples=40)
def test_permutation_is_symmetric(pairs):
    a, b = halves(pairs)
    forward, back = paired_permutation(a, b, 500), paired_permutation(b, a, 500)
    assert 0 < forward.p_value <= 1
    assert forward.p_value == pytest.approx(back.p_value)
    assert (forward.wins, forward.losses) == (back.losses, back.wins)


@given(st.lists(st.integers(-5, 5), min_size=1, max_size=6))
@settings(max_examples=40)
def test_exact_permutation_equals_enumeration(differences):
    sums = [
        sum(s * d for s, d in zip(signs, differences, strict=True))
        for signs in product((1, -1), repeat=len(differences))
    ]
    extreme = sum(abs(total) >= abs(sum(differences)) for total in sums) / len(sums)
    found = paired_permutation(differences, [0] * len(differences), 1000)
    assert found.p_value == pytest.approx(extreme)


def test_difference_interval_by_hand():
    # Differences (0, 1) as in the bootstrap above.
    found = paired_difference_interval([0.5, 1.0], [0.5, 0.0])
    assert found == Interval(0.0, 1.0, 0.95, "bootstrap percentile")
    assert paired_difference_interval([1.0], [0.0]) is None
    assert paired_difference_interval([1.0, 1.0], [0.0, 0.0]) is None


@given(score_pairs)
@settings(max_examples=40)
def test_difference_interval_turns_with_its_arguments(pairs):
    a, b = halves(pairs)
    forward = paired_difference_interval(a, b, resamples=300)
    back = paired_difference_interval(b, a, resamples=300)
    if forward is None or back is None:
        assert forward is back
        return
    assert forward.low == pytest.approx(-back.high)
    assert forward.low - 1e-9 <= (sum(a) - sum(b)) / len(a) <= forward.high + 1e-9


# Three seeds, four questions. Differences by question: 0 1 1 0 / 0 0 1 0 / -1 1 1 0.
FIRST = [[1, 1, 1, 0], [1, 0, 1, 0], [0, 1, 1, 1]]
SECOND = [[1, 0, 0, 0], [1, 0, 0, 0], [1, 0, 0, 1]]


def test_clustered_difference_by_hand():
    # Mean 4/12 = 1/3. Means of seeds 1/2, 1/4, 1/4: MSs = 4 ((1/6)² + 2 (1/12)²) / 2 = 1/12.
    # Means of questions -1/3, 2/3, 1, 0: MSq = 3 (4/9 + 1/9 + 4/9 + 1/9) / 3 = 10/9.
    # Sum of squares 6 = 12/9 + 2 · 1/12 + 3 · 10/9 + 6 MSe: MSe = 7/36.
    of_seeds, of_questions, rest = 1 / 12, 10 / 9, 7 / 36
    total = of_seeds + of_questions - rest
    share = of_seeds / total
    degrees = 1 / (share / 2 + (1 - share) / 3)
    error = math.sqrt(total / 12) / (1 - 1 / 9)  # of the inverse hyperbolic tangent
    half = stats.t.isf(0.025, degrees) * error
    found = clustered_difference(FIRST, SECOND)
    assert found.mean == pytest.approx(1 / 3)
    assert found.degrees == pytest.approx(degrees)
    assert found.interval.low == pytest.approx(math.tanh(math.atanh(1 / 3) - half))
    assert found.interval.high == pytest.approx(math.tanh(math.atanh(1 / 3) + half))
    assert found.p_value == pytest.approx(2 * stats.t.sf(math.atanh(1 / 3) / error, degrees))
    assert (found.seeds, found.questions) == (3, 4)


def test_seeds_that_tie_by_chance_are_rounded():
    # Differences 1 0 / 0 1 / 1 0: MSs = 0, MSq = 1/6 < MSe = 2/3, so only rounding is left: 1 / (12 · 2).
    found = clustered_bounds(np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]]))
    error = math.sqrt(1 / 24 / 6) / (1 - 1 / 4)
    assert found.degrees == pytest.approx(2.0)
    half = stats.t.isf(0.025, 2) * error
    assert found.high == pytest.approx(math.tanh(math.atanh(1 / 2) + half))


def test_without_spread_there_is_no_test():
    ones, none = [[1, 1]] * 3, [[0, 0]] * 3
    same, all_of_it = clustered_difference(ones, ones), clustered_difference(ones, none)
    assert (same.mean, same.p_value, same.interval) == (0.0, 1.0, None)
    assert (all_of_it.mean, all_of_it.p_value, all_of_it.interval) == (1.0, None, None)


def test_an_accuracy_without_spread_is_bounded_by_its_questions():
    found = clustered_mean([[1, 1, 1, 1, 1]] * 4)
    assert (found.low, found.high) == (wilson(5, 5).low, wilson(5, 5).high), "not twenty answers"
    assert clustered_mean([[0.5, 0.5]] * 3) is None


grids = st.tuples(st.integers(3, 6), st.integers(2, 8)).flatmap(
    lambda size: st.lists(
        st.lists(tenths, min_size=size[1], max_size=size[1]), min_size=size[0], max_size=size[0]
    )
)


@given(grids, st.randoms(use_true_random=False))
@settings(max_examples=80)
def test_clustered_intervals_stay_in_range_and_agree_with_the_test(grid, chance):
    mixed = [chance.sample(row, len(row)) for row in grid]
    for level in (0.9, 0.95):
        found, turned = clustered_difference(grid, mixed, level), clustered_difference(mixed, grid, level)
        assert found.mean == pytest.approx(-turned.mean)
        if found.interval is not None:
            assert -1 <= found.interval.low <= found.mean + 1e-9
            assert found.mean - 1e-9 <= found.interval.high <= 1
            assert found.interval.low == pytest.approx(-turned.interval.high)
            outside = not found.interval.low < 0 < found.interval.high
            assert outside == (found.p_value <= 1 - level)
    bounds = clustered_mean(grid)
    if bounds is not None:
        mean = sum(map(sum, grid)) / (len(grid) * len(grid[0]))
        assert 0 <= bounds.low <= mean + 1e-9
        assert mean - 1e-9 <= bounds.high <= 1


@pytest.mark.parametrize(
    ("grid", "says"),
    [
        ([[0, 1]] * 2, "2 seeds, at least 3"),
        ([], "0 seeds"),
        ([[0, 1], [0, 1], [0]], r"\[1, 2\] questions"),
        ([[0]] * 3, r"\[1\] questions"),
        ([[0, 1], [0, 1], [0, 2]], "score 1 is 2"),
        ([[0, 1], [0, 1], [0, math.nan]], "value 1 is nan"),
    ],
)
def test_clustered_refuses_what_it_cannot_test(grid, says):
    with pytest.raises(ValueError, match=says):
        clustered_mean(grid)
    with pytest.raises(ValueError, match="cannot be paired|" + says):
        clustered_difference(grid, [[0, 1]] * 4)


def test_the_smallest_difference_by_hand():
    # Questions alone: variance .5 / 100; with so many degrees of freedom it is (1.96 + 0.84) · √.005, here
    # on the scale of the inverse hyperbolic tangent.
    found = detectable_difference(100, None, disagreement=0.5)
    assert math.atanh(found) == pytest.approx(2.8016 * math.sqrt(0.005), rel=0.02)
    more = [detectable_difference(150, seeds) for seeds in (3, 5, 10, 30)]
    assert more == sorted(more, reverse=True)
    assert detectable_difference(150, 300) == pytest.approx(detectable_difference(150, None), rel=0.1)
    for counts in ((1, 3), (10, 1)):
        with pytest.raises(ValueError, match="at least two of each are needed"):
            detectable_difference(*counts)
    for wrong in ({"seed_sd": -0.1}, {"disagreement": 0.0}, {"power": 0.01}):
        with pytest.raises(ValueError, match="cannot be"):
            detectable_difference(10, 3, **wrong)


def test_holm_by_hand():
    # .01·4 = .04; .02·3 = .06; .03·2 = .06; .04·1 = .04, raised to .06 because the steps may not fall.
    assert holm([0.04, 0.01, 0.03, 0.02]) == pytest.approx((0.06, 0.04, 0.06, 0.06))
    assert holm([]) == ()
    assert holm([0.03]) == (0.03,)
    assert holm([0.9, 0.8]) == (1.0, 1.0)
    # Five planned, three of them made: .01·5, .02·4, .3·3; the others may only lower it.
    assert holm([0.3, 0.01, 0.02], of=5) == pytest.approx((0.9, 0.05, 0.08))
    with pytest.raises(ValueError, match="3 p-values of 2 tests"):
        holm([0.3, 0.01, 0.02], of=2)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12), st.integers(0, 12))
def test_no_adjusted_value_rises_once_planned_tests_are_made(p_values, made):
    made = min(made, len(p_values))
    before, after = holm(p_values[:made], of=len(p_values)), holm(p_values)
    assert all(then <= now for now, then in zip(before, after, strict=False))


@pytest.mark.parametrize("bad", [-0.1, 1.1, math.nan])
def test_holm_refuses_what_is_not_a_probability(bad):
    with pytest.raises(ValueError, match="p-value 1"):
        holm([0.5, bad])


@given(st.lists(st.floats(0, 1), max_size=12))
def test_holm_is_monotone_and_between_raw_and_bonferroni(p_values):
    adjusted = holm(p_values)
    for raw, new in zip(p_values, adjusted, strict=True):
        assert raw <= new <= max(1.0, raw)
        assert new >= min(1.0, raw)
    ranked = sorted(zip(p_values, adjusted, strict=True))
    assert all(lower[1] <= upper[1] for lower, upper in pairwise(ranked))
    if p_values:
        assert adjusted[p_values.index(min(p_values))] == min(1.0, len(p_values) * min(p_values))


def test_the_room_names_all_it_offers():
    assert all(hasattr(statistics, name) for name in statistics.__all__)
