"""Do the test and the intervals for several seeds hold what they promise? Simulated answers with known truth.

    python benchmarks/simulate_statistics.py        three minutes: results/statistics.json

An answer is right with probability logistic(question + arm × interaction + network): ``question`` is drawn
for every question (sd 1.5), ``interaction`` makes it easier for one arm and harder for the other in all of
their seeds, ``network`` is drawn for every arm and seed. No difference on average between the arms, so a
test at 5 % should reject in 5 % of the trials. Beside the method in use stand those that were rejected, and
the two narrower questions: these networks on all questions, and all networks on these questions.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from neuromas.statistics import clustered_bounds, detectable_difference
from neuromas.statistics.clustered import DISAGREEMENT, SEED_SD

Floats = NDArray[np.float64]
HERE = Path(__file__).parent
QUESTION_SD = 1.5
QUESTIONS = 150
INTERACTIONS, NETWORKS, SEEDS = (0.0, 1.0, 2.0), (0.0, 0.5, 1.0), (3, 5, 10)
TRIALS, SLOW_TRIALS, CHUNK, RESAMPLES = 20_000, 1_000, 1_000, 499
_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(41)


def draw(
    rng: np.random.Generator, trials: int, seeds: int, interaction: float, network: float, **more: float
) -> dict[str, Floats]:
    """Answers of both arms (trials, seeds, questions), and what made them.

    ``more``: ``questions``, ``base`` (logit of a middling question), ``gain`` (of the second arm), ``shared``
    (sd of what both arms of a seed have in common).
    """
    count = int(more.get("questions", QUESTIONS))
    question = more.get("base", 0.0) + rng.normal(0, QUESTION_SD, (trials, 1, count))
    lean = rng.normal(0, interaction, (trials, 1, count))
    common = rng.normal(0, more.get("shared", 0.0), (trials, seeds, 1))
    one, other = (rng.normal(0, network, (trials, seeds, 1)) + common for _ in range(2))
    gain = more.get("gain", 0.0)
    a = rng.random((trials, seeds, count)) < logistic(question + lean + one)
    b = rng.random((trials, seeds, count)) < logistic(question - lean + other + gain)
    made = {"question": question, "lean": lean, "one": one, "other": other}
    return {"a": a.astype(float), "b": b.astype(float), **made}


def logistic(x: Floats) -> Floats:
    """1 / (1 + exp(-x))."""
    return 1.0 / (1.0 + np.exp(-x))


def expected(x: Floats | float, sd: float) -> Floats:
    """Mean of logistic(x + N(0, sd²)) by Gauss-Hermite quadrature."""
    weights = _WEIGHTS / _WEIGHTS.sum()
    return np.asarray(sum(w * logistic(np.asarray(x + sd * z)) for z, w in zip(_NODES, weights, strict=True)))


# -- tests: each takes both arms' answers and says which trials it rejects at 5 %


def in_use(a: Floats, b: Floats) -> Floats:
    """What the package does."""
    return clustered_bounds(b - a).p_value < 0.05


def pooled_mcnemar(a: Floats, b: Floats) -> Floats:
    """Version 0.1.0: every answer of every seed as an item of its own."""
    wins, losses = ((b > a).sum((-2, -1)), (b < a).sum((-2, -1)))
    p = 2 * stats.binom.cdf(np.minimum(wins, losses), wins + losses, 0.5)
    return np.minimum(p, 1.0) < 0.05


def pooled_interval(a: Floats, b: Floats) -> Floats:
    """The interval of 0.1.0 (a bootstrap of single answers), by its normal limit."""
    d = (b - a).reshape(len(a), -1)
    return np.abs(d.mean(-1)) > 1.96 * d.std(-1) / math.sqrt(d.shape[-1])


def seeds_t(a: Floats, b: Floats) -> Floats:
    """Student's t over seeds; questions as they are."""
    return ~_near((b - a).mean(-1), np.zeros(len(a)))


def questions_t(a: Floats, b: Floats) -> Floats:
    """Student's t over questions, summed over seeds; networks as they are."""
    return ~_near((b - a).mean(-2), np.zeros(len(a)))


def questions_sign_flip(a: Floats, b: Floats) -> Floats:
    """Signs of questions flipped, summed over seeds; networks as they are."""
    sums = (b - a).sum(-2)  # (T, Q)
    signs = np.random.default_rng(7).choice([-1.0, 1.0], (sums.shape[1], RESAMPLES))
    return _extreme(sums.sum(-1), sums @ signs)


def seeds_sign_flip(a: Floats, b: Floats) -> Floats:
    """Signs of seeds flipped, all patterns: never below 2 / 2^seeds."""
    sums = (b - a).sum(-1)  # (T, S)
    signs = np.array(list(product([-1.0, 1.0], repeat=sums.shape[1]))).T
    reached = np.abs(sums @ signs) >= np.abs(sums.sum(-1, keepdims=True)) - 1e-9
    return reached.mean(-1) <= 0.05


def two_way_sign_flip(a: Floats, b: Floats) -> Floats:
    """Signs of questions and of seeds flipped together."""
    d, rng = b - a, np.random.default_rng(8)
    of_seeds = rng.choice([-1.0, 1.0], (d.shape[1], RESAMPLES))
    of_questions = rng.choice([-1.0, 1.0], (d.shape[2], RESAMPLES))
    return _extreme(d.sum((-2, -1)), ((d @ of_questions) * of_seeds).sum(-2))


def two_way_bootstrap(a: Floats, b: Floats) -> Floats:
    """Questions and seeds both drawn with replacement (pigeonhole bootstrap), percentile interval."""
    d, rng = b - a, np.random.default_rng(9)
    seeds, questions = d.shape[1:]
    of_seeds = rng.multinomial(seeds, [1 / seeds] * seeds, RESAMPLES).T
    of_questions = rng.multinomial(questions, [1 / questions] * questions, RESAMPLES).T
    means = ((d @ of_questions) * of_seeds).sum(-2) / (seeds * questions)
    low, high = np.quantile(means, [0.025, 0.975], axis=-1)
    return (low > 0) | (high < 0)


def _extreme(seen: Floats, drawn: Floats) -> Floats:
    return (1 + (np.abs(drawn) >= np.abs(seen)[:, None] - 1e-9).sum(-1)) / (1 + drawn.shape[-1]) < 0.05


def _parts(d: Floats) -> tuple[Floats, Floats, Floats, Floats]:
    """Mean, then mean squares of seeds, of questions and of the rest."""
    seeds, questions = d.shape[-2:]
    mean, by_seed, by_question = d.mean((-2, -1)), d.mean(-1), d.mean(-2)
    rest = d - by_seed[..., None] - by_question[..., None, :] + mean[..., None, None]
    return (
        mean,
        questions * by_seed.var(-1, ddof=1),
        seeds * by_question.var(-1, ddof=1),
        (rest**2).sum((-2, -1)) / ((seeds - 1) * (questions - 1)),
    )


def two_way_smallest(a: Floats, b: Floats) -> Floats:
    """Two-way clustered variance with the degrees of freedom of the smaller side (Cameron and others)."""
    mean, of_seeds, of_questions, rest = _parts(b - a)
    seeds, questions = a.shape[-2:]
    error = np.sqrt(np.maximum(of_seeds + of_questions - rest, 1e-9) / (seeds * questions))
    return np.abs(mean) > stats.t.isf(0.025, min(seeds, questions) - 1) * error


def two_way_normal(a: Floats, b: Floats) -> Floats:
    """Two-way clustered variance with the normal distribution."""
    mean, of_seeds, of_questions, rest = _parts(b - a)
    error = np.sqrt(np.maximum(of_seeds + of_questions - rest, 1e-9) / (a.shape[-2] * a.shape[-1]))
    return np.abs(mean) > 1.96 * error


def satterthwaite(a: Floats, b: Floats) -> Floats:
    """The variance in use with Satterthwaite's degrees of freedom."""
    mean, of_seeds, of_questions, rest = _parts(b - a)
    seeds, questions = a.shape[-2:]
    added = np.maximum(0.0, of_questions - rest)
    total = np.maximum(of_seeds, 1 / (12 * questions)) + added
    noise = (of_questions**2 + rest**2 / (seeds - 1)) / (questions - 1) * (added > 0)
    degrees = np.maximum(total**2 / (of_seeds**2 / (seeds - 1) + noise), seeds - 1)
    return np.abs(mean) > stats.t.isf(0.025, degrees) * np.sqrt(total / (seeds * questions))


def cochran_cox(a: Floats, b: Floats) -> Floats:
    """The variance in use with the weighted critical value of Cochran and Cox (1950)."""
    mean, of_seeds, of_questions, rest = _parts(b - a)
    seeds, questions = a.shape[-2:]
    added = np.maximum(0.0, of_questions - rest)
    total = np.maximum(of_seeds, 1 / (12 * questions)) + added
    share = 1 - added / total
    limit = share * stats.t.isf(0.025, seeds - 1) + (1 - share) * stats.t.isf(0.025, questions - 1)
    return np.abs(mean) > limit * np.sqrt(total / (seeds * questions))


def unpaired_seeds(a: Floats, b: Floats) -> Floats:
    """As in use, with the seeds of the arms unpaired (more degrees of freedom, if seeds share nothing)."""
    mean, _, of_questions, rest = _parts(b - a)
    seeds, questions = a.shape[-2:]
    one, other = (questions * side.mean(-1).var(-1, ddof=1) for side in (a, b))
    added = np.maximum(0.0, of_questions - rest)
    total = one + other + added
    inverse = (one + other) ** 2 / (one**2 + other**2) * (seeds - 1)
    share = (one + other) / total
    degrees = 1 / (share / inverse + (1 - share) / (questions - 1))
    return np.abs(mean) > stats.t.isf(0.025, degrees) * np.sqrt(total / (seeds * questions))


FAST: tuple[Callable[[Floats, Floats], Floats], ...] = (
    in_use,
    pooled_mcnemar,
    pooled_interval,
    seeds_t,
    questions_t,
    seeds_sign_flip,
    two_way_smallest,
    two_way_normal,
    satterthwaite,
    cochran_cox,
    unpaired_seeds,
)
SLOW = (questions_sign_flip, two_way_sign_flip, two_way_bootstrap)


# -- cells


def cell(seeds: int, interaction: float, network: float, trials: int, **more: float) -> dict[str, Any]:
    """One setting without a difference: how often each test rejects, how often the intervals cover."""
    rng = np.random.default_rng([seeds, round(10 * interaction), round(10 * network), len(more)])
    rejected: dict[str, list[float]] = {test.__name__: [] for test in (*FAST, *SLOW)}
    covered: dict[str, list[float]] = {name: [] for name in ("accuracy", "networks", "questions")}
    for start in range(0, trials, CHUNK):
        made = draw(rng, CHUNK, seeds, interaction, network, **more)
        for test in FAST + SLOW * (start < SLOW_TRIALS):
            with np.errstate(divide="ignore", invalid="ignore"):  # no spread: nothing is rejected
                found = test(made["a"], made["b"])
            rejected[test.__name__].append(float(found.mean()))
        for name, hit in _coverages(made, interaction, network, more.get("base", 0.0)):
            covered[name].append(float(hit.mean()))
    return {
        "seeds": seeds,
        "interaction": interaction,
        "network": network,
        **more,
        "rejects": {name: round(float(np.mean(found)), 4) for name, found in rejected.items()},
        "covers": {name: round(float(np.mean(found)), 4) for name, found in covered.items()},
    }


def _coverages(
    made: dict[str, Floats], interaction: float, network: float, base: float
) -> Iterator[tuple[str, Floats]]:
    """Of one arm's accuracy; of the difference of these networks; of the difference on these questions."""
    a, b = made["a"], made["b"]
    found = clustered_bounds(2 * a - 1)
    truth = 2 * expected(base, math.sqrt(QUESTION_SD**2 + interaction**2 + network**2)) - 1
    yield "accuracy", (found.low <= truth) & (truth <= found.high)
    wide = math.sqrt(QUESTION_SD**2 + interaction**2)
    here = (expected(base + made["other"], wide) - expected(base + made["one"], wide)).mean((-2, -1))
    yield "networks", _near((b - a).mean(-2), here)
    there = expected(made["question"] - made["lean"], network) - expected(
        made["question"] + made["lean"], network
    )
    yield "questions", _near((b - a).mean(-1), there.mean((-2, -1)))


def _near(values: Floats, truth: Floats) -> Floats:
    """Whether the t interval of the mean over the last axis covers the truth."""
    count = values.shape[-1]
    half = stats.t.isf(0.025, count - 1) * values.std(-1, ddof=1) / math.sqrt(count)
    return np.abs(values.mean(-1) - truth) <= half


def with_difference(seeds: int, interaction: float, network: float, gain: float) -> dict[str, Any]:
    """Coverage of the interval in use where the second arm is better, and how often that is found."""
    rng = np.random.default_rng([seeds, round(10 * interaction), round(10 * network), 99])
    sd = math.sqrt(QUESTION_SD**2 + interaction**2 + network**2)
    truth = float(expected(gain, sd) - expected(0.0, sd))
    covered, found = [], []
    for _ in range(0, TRIALS, CHUNK):
        made = draw(rng, CHUNK, seeds, interaction, network, gain=gain)
        bounds = clustered_bounds(made["b"] - made["a"])
        covered.append(float(((bounds.low <= truth) & (truth <= bounds.high)).mean()))
        found.append(float((bounds.p_value < 0.05).mean()))
    setting = {"seeds": seeds, "interaction": interaction, "network": network, "difference": round(truth, 4)}
    return {**setting, "covers": round(float(np.mean(covered)), 4), "finds": round(float(np.mean(found)), 4)}


def power(seeds: int | None, questions: int, trials: int = TRIALS) -> dict[str, Any]:
    """How often the smallest detectable difference is found under the assumptions of its formula."""
    shift = detectable_difference(questions, seeds)
    rng = np.random.default_rng([seeds or 0, questions])
    rows = seeds or 3
    of_questions = rng.normal(0, math.sqrt(DISAGREEMENT), (trials, 1, questions))
    of_seeds = rng.normal(0, SEED_SD * math.sqrt(2), (trials, rows, 1)) * bool(seeds)
    values = shift + (1 - shift**2) * (of_questions + of_seeds)
    found = clustered_bounds(values).p_value < 0.05 if seeds else ~_near(values.mean(-2), np.zeros(trials))
    return {"seeds": seeds, "questions": questions, "smallest": round(shift, 4), "finds": float(found.mean())}


def main() -> int:
    """All cells into one file."""
    grid = list(product(SEEDS, INTERACTIONS, NETWORKS))
    beyond: list[dict[str, float]] = [
        {"questions": 50},
        {"questions": 20},
        {"base": 2.5},
        {"shared": 1.0},
    ]
    found = {
        "trials": {"fast": TRIALS, "slow": SLOW_TRIALS, "resamples": RESAMPLES, "questions": QUESTIONS},
        "acceptance": [cell(*place, TRIALS) for place in grid],
        "beyond": [
            cell(seeds, interaction, network, TRIALS // 4, **more)
            for more in beyond
            for seeds, interaction, network in grid
        ],
        "two seeds": [cell(2, *place, TRIALS // 4) for place in product(INTERACTIONS, NETWORKS)],
        "difference": [with_difference(*place, 1.5) for place in grid],
        "power": [power(*place) for place in product((3, 5, 10), (50, 150))] + [power(None, 150)],
    }
    lines = json.dumps(found, indent=1)
    (HERE / "results" / "statistics.json").write_text(lines + "\n", "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
