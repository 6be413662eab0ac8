"""Scores of several seeds on the same questions: what may be said of all questions and of all trainings.

A matrix of scores has a row a seed and a column a question. Its entries are not independent: those of one
question share what is asked, those of one seed share a trained network. Both are random here: questions
are drawn from the task, networks from the ways training may go.

Entries are thought of as mean + question + seed + rest (two-way random effects without replication). With
mean squares MSq of questions, MSs of seeds and MSe of the rest, the variance of the mean is
(MSs + MSq - MSe) / (S Q) (Cameron, Gelbach & Miller, J. Business & Economic Statistics 29, 2011, have the
same three terms; Owen, Annals of Applied Statistics 1, 2007, is on resampling both sides). ``MSq - MSe`` is
what questions add to the rest; below zero it counts as zero. The reference is Student's t with degrees of
freedom 1 / (w / (S - 1) + (1 - w) / (Q - 1)), where w is the share of MSs in the sum. Satterthwaite
(Biometrics Bulletin 2, 1946) squares both shares; with three seeds, where w itself is little known, that
rejects too often. The choice was made by simulation: benchmarks/simulate_statistics.py.

The interval is made on the scale of the inverse hyperbolic tangent (for a proportion that is the logit), by
the delta method, so it cannot leave the range of what it is of. Test and interval are one: p < 0.05 exactly
where the 95 % interval leaves out 0.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import special

from neuromas.statistics.intervals import Interval, check_finite, check_level, t_limit, wilson

MIN_SEEDS = 3  # with two, the spread between seeds is one number: the test then rejects up to 9 % for 5 %
_FEWEST = 1.5  # degrees of freedom below which SciPy's non-central t gives no number
SEED_SD = 0.15  # of an arm's accuracy, assumed before anything is measured
DISAGREEMENT = 0.4  # share of answers on which two arms are told apart, assumed likewise
METHOD = "t by question and seed"

Floats = NDArray[np.float64]
Matrix = Sequence[Sequence[float]]


@dataclass(frozen=True, slots=True)
class Clustered:
    """A mean over ``seeds`` × ``questions`` scores with its interval and two-sided test against 0.

    ``interval`` and ``p_value`` are None where all entries are equal: without any spread there is no test.
    Where all are 0, p is 1.
    """

    mean: float
    interval: Interval | None
    p_value: float | None
    degrees: float | None
    seeds: int
    questions: int


@dataclass(frozen=True, slots=True)
class Bounds:
    """Of each matrix of a stack: mean, interval, two-sided p and degrees of freedom; nan without spread."""

    mean: Floats
    low: Floats
    high: Floats
    p_value: Floats
    degrees: Floats


def clustered_difference(a: Matrix, b: Matrix, level: float = 0.95) -> Clustered:
    """Mean(a) - mean(b), tested and bounded for all questions and all trainings (see the module).

    ``a`` and ``b`` are (S, Q): scores in [0, 1] of the same questions in the same order, row by row of the
    same seed. What both arms owe to a seed or a question cancels, whatever else they share. Raises
    ValueError on fewer than three seeds or two questions, unequal shapes, or a score outside [0, 1].
    """
    first, second = _matrix(a), _matrix(b)
    if first.shape != second.shape:
        raise ValueError(f"scores of {first.shape} and of {second.shape} (seeds, questions) cannot be paired")
    return _clustered(first - second, level)


def clustered_mean(scores: Matrix, level: float = 0.95) -> Interval | None:
    """Interval of the mean of (S, Q) scores in [0, 1], for all questions and all trainings.

    Where every answer is right, or every one wrong, it is Wilson's with the number of questions, which says
    nothing of other trainings; None where all scores are the same fraction. Errors as for
    ``clustered_difference``.
    """
    values = _matrix(scores)
    check_level(level)
    if values.min() < values.max():
        found = clustered_bounds(2.0 * values - 1.0, level)
        return Interval((1 + float(found.low)) / 2, (1 + float(found.high)) / 2, level, METHOD)
    questions, value = values.shape[1], float(values[0, 0])
    if value not in (0.0, 1.0):
        return None
    bounds = wilson(round(value * questions), questions, level)
    return Interval(bounds.low, bounds.high, level, "wilson by question")


def clustered_bounds(values: NDArray[Any], level: float = 0.95) -> Bounds:
    """The formulae of the module for a stack of matrices (..., S, Q) with entries in [-1, 1]; unchecked."""
    seeds, questions = values.shape[-2:]
    mean = values.mean((-2, -1))
    between_seeds, between_questions, rest = _mean_squares(values)
    between_seeds = np.maximum(between_seeds, _rounding(values))
    total = between_seeds + np.maximum(0.0, between_questions - rest)
    with np.errstate(divide="ignore", invalid="ignore"):
        share = between_seeds / total
        degrees = 1.0 / (share / (seeds - 1) + (1.0 - share) / (questions - 1))
        error = np.sqrt(total / (seeds * questions)) / (1.0 - mean**2)
        centre = np.arctanh(mean)
        p_value = 2.0 * special.stdtr(degrees, -np.abs(centre) / error)
        half = t_limit(degrees, level) * error
        return Bounds(mean, np.tanh(centre - half), np.tanh(centre + half), p_value, degrees)


def detectable_difference(
    questions: int,
    seeds: int | None,
    *,
    seed_sd: float = SEED_SD,
    disagreement: float = DISAGREEMENT,
    power: float = 0.8,
    level: float = 0.95,
) -> float:
    """The true difference that ``clustered_difference`` finds with chance ``power`` at p ≤ 1 - level.

    Non-central t as for crossed random samples (Westfall, Kenny & Judd, J. Experimental Psychology: General
    143, 2014), on the test's own scale. Assumed: the accuracy of an arm has standard deviation ``seed_sd``
    between seeds, independently in both arms; on a share ``disagreement`` of the questions the arms' scores
    differ by one, and all seeds differ on the same ones (the careful case). ``seeds=None`` asks for these
    networks alone, with questions drawn anew. Raises ValueError on numbers that cannot be.
    """
    check_level(level)
    if questions < 2 or not (seeds is None or seeds >= 2):
        raise ValueError(f"{questions} questions and {seeds} seeds, at least two of each are needed")
    if seed_sd < 0 or not 0 < disagreement <= 1 or not 1 - level < power < 1:
        raise ValueError(f"seed_sd {seed_sd!r}, disagreement {disagreement!r} or power {power!r} cannot be")
    of_questions = disagreement / questions
    of_seeds = 2.0 * seed_sd**2 / seeds if seeds else 0.0
    total = of_questions + of_seeds
    shares = of_seeds / total / (seeds - 1) if seeds else 0.0
    degrees = 1.0 / (shares + of_questions / total / (questions - 1))
    limit = float(t_limit(degrees, level))
    if degrees < _FEWEST:
        return 1.0  # no difference is large enough to be found as often
    from scipy import optimize, stats

    def missing(shift: float) -> float:
        found = stats.nct.sf(limit, degrees, shift) + stats.nct.cdf(-limit, degrees, shift)
        return float(found) - power

    top = limit
    while missing(top) < 0:
        top *= 2
    return math.tanh(float(optimize.brentq(missing, 0.0, top)) * math.sqrt(total))


def _mean_squares(values: NDArray[Any]) -> tuple[Floats, Floats, Floats]:
    """Mean squares of seeds, of questions and of the rest."""
    seeds, questions = values.shape[-2:]
    mean = values.mean((-2, -1), keepdims=True)
    by_seed, by_question = values.mean(-1, keepdims=True), values.mean(-2, keepdims=True)
    of_seeds = questions * ((by_seed - mean) ** 2).sum((-2, -1)) / (seeds - 1)
    of_questions = seeds * ((by_question - mean) ** 2).sum((-2, -1)) / (questions - 1)
    rest = ((values - by_seed - by_question + mean) ** 2).sum((-2, -1)) / ((seeds - 1) * (questions - 1))
    return of_seeds, of_questions, rest


def _rounding(values: NDArray[Any]) -> Floats:
    """The least mean square of seeds that can be believed.

    Totals of seeds are multiples of the least score g, so seeds that tie by chance are still g²/12 apart
    (Sheppard, Proc. London Mathematical Society 29, 1898).
    """
    sizes = np.abs(values)
    least = np.where(sizes > 0, sizes, np.inf).min((-2, -1))
    spread = values.max((-2, -1)) > values.min((-2, -1))
    rounding: Floats = np.where(spread & np.isfinite(least), least**2, 0.0) / (12.0 * values.shape[-1])
    return rounding


def _clustered(values: Floats, level: float) -> Clustered:
    """One matrix, with nan as None."""
    check_level(level)
    seeds, questions = values.shape
    if values.min() == values.max():
        mean = float(values[0, 0])
        return Clustered(mean, None, 1.0 if mean == 0.0 else None, None, seeds, questions)
    found = clustered_bounds(values, level)
    interval = Interval(float(found.low), float(found.high), level, METHOD)
    numbers = float(found.mean), float(found.p_value), float(found.degrees)
    return Clustered(numbers[0], interval, numbers[1], numbers[2], seeds, questions)


def _matrix(scores: Matrix) -> Floats:
    """The scores as (S, Q), after checking them."""
    widths = {len(row) for row in scores}
    if len(scores) < MIN_SEEDS:
        raise ValueError(f"{len(scores)} seeds, at least {MIN_SEEDS} are needed")
    if len(widths) != 1 or min(widths) < 2:
        raise ValueError(f"seeds with {sorted(widths)} questions, all need the same two or more")
    for row in scores:
        check_finite(row)
        for index, score in enumerate(row):
            if not 0.0 <= score <= 1.0:
                raise ValueError(f"score {index} is {score!r}, not in [0, 1]")
    return np.asarray(scores, dtype=np.float64)
