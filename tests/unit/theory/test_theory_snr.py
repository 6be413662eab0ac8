"""The toy of growth: exact against enumeration, against simulation, against the page that prints it."""

from __future__ import annotations

import itertools
import json
import math
import runpy
from pathlib import Path

import numpy as np
import pytest

from neuromas.theory import latin, snr, tabular
from neuromas.theory.snr import Case

ROOT = Path(__file__).parents[3]
PLANS = ("scratch", "by level", "by node")


def drawn(nodes, symbols, seed=0, systems=1, problems=1):
    rng = np.random.default_rng(seed)
    tables = latin.draw_tables(rng, systems, nodes, symbols)
    return tables, rng.integers(symbols, size=(systems, problems, nodes + 1))


# one node, by hand: R = 1 if the leaf is right, s = R - p along the mean, so g is the sample variance of R
@pytest.mark.parametrize("error", [0.1, 0.4])
def test_a_single_node_by_hand(error):
    p = 1 - error
    second, fourth = p * error, p * error**4 + error * p**4
    by_hand = second / math.sqrt((fourth - 5 / 7 * second**2) / 8)  # variance of a sample variance, K = 8
    assert snr.exact(Case(1, error, 0.1)) == pytest.approx(by_hand)
    assert by_hand == pytest.approx({0.1: 1.0399, 0.4: 4.2053}[error], abs=1e-4)


def test_tables_are_latin_and_differ():
    tables, shown = drawn(7, 5, systems=3)
    for square in tables.reshape(-1, 5, 5):
        for lines in (square, square.T):
            assert (np.sort(lines, axis=1) == np.arange(5)).all()
    assert len({square.tobytes() for square in tables.reshape(-1, 5, 5)}) == 21
    values, root = latin.true_values(tables, shown)[2, 0], tables[2]
    low = [root[3 + i][shown[2, 0, 2 * i], shown[2, 0, 2 * i + 1]] for i in range(4)]
    assert values[0] == root[0][root[1][low[0], low[1]], root[2][low[2], low[3]]]


@pytest.mark.parametrize("nodes", [1, 3, 7, 15])
@pytest.mark.parametrize("symbols", [2, 4, 5])
def test_closed_form_equals_propagation_on_real_tables(nodes, symbols):
    case = Case(nodes, 0.35, 0.2, symbols)
    tables, shown = drawn(nodes, symbols)
    policies = latin.noisy_policies(tables, case.errors)
    right = latin.true_values(tables, shown)[0, 0]
    assert latin.root_distribution(policies, shown)[0, 0, right[0]] == pytest.approx(
        snr.accuracy(case.errors, symbols)
    )
    found = [
        latin.root_distribution(policies, shown, {case.leaf: said})[0, 0, right[0]] for said in range(symbols)
    ]
    best, *wrong = snr.leaf_values(case)
    assert found == pytest.approx([best if s == right[case.leaf] else wrong[0] for s in range(symbols)])
    assert best - wrong[0] == pytest.approx(snr.survival(0.2, symbols) ** (nodes - 1))


def test_propagation_equals_the_sum_over_all_messages():
    tables, shown = drawn(3, 3, seed=4)
    policies = latin.noisy_policies(tables, np.array([0.1, 0.3, 0.5]))
    x, total = shown[0, 0], np.zeros(3)
    for root, left, right in itertools.product(range(3), repeat=3):
        total[root] += (
            policies[0, 1, x[0], x[1], left]
            * policies[0, 2, x[2], x[3], right]
            * policies[0, 0, left, right, root]
        )
    assert latin.root_distribution(policies, shown)[0, 0] == pytest.approx(total)


@pytest.mark.parametrize("samples", [2, 4])
def test_the_variance_equals_the_sum_over_all_groups_of_samples(samples):
    policy, values, scores = np.array([0.5, 0.2, 0.3]), np.array([0.7, 0.1, 0.4]), np.array([1.0, -2.0, 0.3])
    mean = square = 0.0
    for group in itertools.product(itertools.product(range(3), (0, 1)), repeat=samples):
        chance = math.prod(policy[a] * (values[a] if r else 1 - values[a]) for a, r in group)
        rewards = sum(r for _, r in group)
        g = sum((r - (rewards - r) / (samples - 1)) * scores[a] for a, r in group) / samples
        mean, square = mean + chance * g, square + chance * g * g
    assert mean == pytest.approx(scores @ snr.mean_gradient(policy, values))
    assert square - mean**2 == pytest.approx(snr.covariance_variance(policy, values, scores, samples))


@pytest.mark.parametrize("nodes", [1, 3, 7, 15])
@pytest.mark.parametrize("errors", [(0.4, 0.4), (0.4, 0.05), (0.1, 0.1)])
def test_simulation_agrees_with_the_exact_value(nodes, errors):
    case = Case(nodes, *errors)
    found = snr.monte_carlo(case, 40_000, seed=1, level=0.999)
    assert found.interval.low <= snr.exact(case) <= found.interval.high
    assert found.interval.width < 0.1 * max(1.0, snr.exact(case))
    assert found.full == pytest.approx(snr.exact(case, full=True), rel=0.03, abs=0.015)
    assert found == snr.monte_carlo(case, 40_000, seed=1, level=0.999)


def test_the_signal_falls_with_size_and_growth_keeps_it():
    scratch = [snr.exact(Case(nodes, 0.4, 0.4)) for nodes in (1, 3, 7, 15)]
    grown = [snr.exact(Case(nodes, 0.4, 0.05)) for nodes in (1, 3, 7, 15)]
    assert scratch == sorted(scratch, reverse=True)
    assert grown == sorted(grown, reverse=True)
    assert scratch[0] == grown[0]
    assert grown[2] > 50 * scratch[2] > 0
    ratio = snr.examples_ratio(Case(7, 0.4, 0.4), Case(7, 0.4, 0.05))
    assert ratio == pytest.approx((grown[2] / scratch[2]) ** 2)
    assert 4000 < ratio < 5000
    guessing = Case(3, 0.4, 0.5, symbols=2)  # the others guess: nothing reaches the leaf
    assert snr.exact(guessing) == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Case(4, 0.4, 0.4),
        lambda: Case(0, 0.4, 0.4),
        lambda: Case(3, 0.0, 0.4),
        lambda: Case(3, 0.4, 1.0),
        lambda: Case(3, 0.4, 0.4, symbols=1),
        lambda: Case(3, 0.4, 0.4, samples=1),
        lambda: snr.monte_carlo(Case(1, 0.4, 0.4), 10),
        lambda: tabular.learn(tabular.Setting(1000, 1.0), (3, 1)),
        lambda: tabular.learn(tabular.Setting(1000, 1.0), (1, 3)),
        lambda: tabular.learn(tabular.Setting(1000, 1.0), ()),
    ],
)
def test_nonsense_is_refused(make):
    with pytest.raises(ValueError, match=r"."):
        make()


def test_the_sampled_gradient_is_the_slope_of_the_exact_accuracy():
    tables, shown = drawn(3, 3, seed=2, problems=20)
    rng = np.random.default_rng(5)
    logits = tabular.initial_logits(tables, 0.4) + 0.3 * rng.standard_normal((1, 3, 9, 3))
    values = latin.true_values(tables, shown)
    found = tabular.gradient(logits, values, 3, 20_000, rng)
    slope = np.zeros_like(logits)
    for cell in np.ndindex(*logits.shape):
        step = np.zeros_like(logits)
        step[cell] = 1e-5
        up, down = (tabular.expected_accuracy(logits + way * step, tables, shown)[0] for way in (1, -1))
        slope[cell] = (up - down) / 2e-5
    assert np.abs(slope).max() > 0.01
    assert np.abs(found - slope).max() < 0.001


def test_a_node_that_does_not_exist_learns_nothing_and_shows_its_right_value():
    tables, shown = drawn(7, 4, seed=3, systems=2, problems=6)
    logits, values = tabular.initial_logits(tables, 0.4), latin.true_values(tables, shown)
    small = tabular.gradient(logits, values, 1, 8, np.random.default_rng(0))
    alone = tabular.gradient(logits[:, :1], values[..., :3], 1, 8, np.random.default_rng(0))
    assert np.array_equal(small[:, :1], alone)
    assert np.abs(alone).max() > 0
    assert not small[:, 1:].any()


def test_plans_are_compared_at_equal_calls():
    setting = tabular.Setting(448_000, 1.0)
    for plan in (tabular.SCRATCH, tabular.BY_LEVEL, tabular.BY_NODE):
        steps = [(alive, setting.steps(alive, 1 / len(plan))) for alive in plan]
        calls = sum(alive * count for alive, count in steps) * setting.problems * setting.samples
        assert 0.99 * setting.calls < calls <= setting.calls


def test_growth_learns_where_scratch_does_not_yet():
    setting = tabular.Setting(60_000, 10.0)
    start = tabular.start_accuracy(setting)
    scratch = tabular.learn(setting, tabular.SCRATCH)
    assert start == pytest.approx(snr.accuracy(np.full(7, 0.4), 4), abs=0.01)
    assert scratch.max() < 0.5
    for plan in (tabular.BY_LEVEL, tabular.BY_NODE):
        assert tabular.learn(setting, plan).min() > scratch.max() + 0.1
    assert np.array_equal(scratch, tabular.learn(setting, tabular.SCRATCH))


def test_the_page_prints_the_stored_figures_and_these_are_the_exact_ones():
    made = runpy.run_path(str(ROOT / "benchmarks" / "theory_snr.py"))
    text = (ROOT / "docs" / "method.md").read_text("utf-8")
    assert "<!-- theory-snr -->" in text
    assert made["render"](text) == text, "run: python benchmarks/theory_snr.py --render"
    stored = json.loads((ROOT / "benchmarks" / "results" / "theory-snr.json").read_text("utf-8"))
    for row in stored["snr"]:
        case = made["case"](row["series"], row["nodes"])
        assert row["exact"] == pytest.approx(snr.exact(case), rel=1e-5)
        assert row["exact_full"] == pytest.approx(snr.exact(case, full=True), rel=1e-5)
        assert row["interval"][0] <= row["exact"] <= row["interval"][1]
    best = min(stored["definitions"], key=lambda row: row["worst"])
    assert (best["definition"], best["symbols"]) == ("along", snr.SYMBOLS)


def test_what_the_page_says_in_words_is_in_the_stored_figures():
    stored = json.loads((ROOT / "benchmarks" / "results" / "theory-snr.json").read_text("utf-8"))
    found = {(r["calls"], r["rate"], r["plan"]): r["accuracy"] for r in stored["learning"]["rows"]}
    budgets = sorted({calls for calls, _, _ in found})
    for calls in budgets:
        assert found[calls, 30, "scratch"] < 0.27
        assert found[calls, 30, "by level"] > 0.95
        assert found[calls, 100, "by level"] < 0.8
        best = {plan: max(v for (c, _, p), v in found.items() if (c, p) == (calls, plan)) for plan in PLANS}
        assert best["scratch"] < min(best["by level"], best["by node"])
    assert found[budgets[-1], 3, "scratch"] > found[budgets[-1], 3, "by level"]  # it is no law
