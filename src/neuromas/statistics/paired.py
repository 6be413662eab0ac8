"""Two systems on the same items: exact and permutation tests, and the interval of the difference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from neuromas.statistics.intervals import (
    Interval,
    batch_size,
    bootstrap_mean,
    check_finite,
    check_resamples,
    generator,
)


@dataclass(frozen=True, slots=True)
class PairedTest:
    """A two-sided test of ``a`` against ``b`` on the same items.

    ``wins``, ``losses`` and ``ties`` count the items on which ``a`` scores above, below and equal to
    ``b``; ``difference`` is mean(a) - mean(b).
    """

    p_value: float
    wins: int
    losses: int
    ties: int
    difference: float
    method: str

    @property
    def n(self) -> int:
        """Number of items compared."""
        return self.wins + self.losses + self.ties


def mcnemar(a: Sequence[float], b: Sequence[float]) -> PairedTest:
    """Exact McNemar test (McNemar, Psychometrika 12, 1947; exact binomial form).

    ``a`` and ``b`` are right/wrong (0, 1 or bool), one for each item in the same order. Under the null
    hypothesis wins ~ Binomial(wins + losses, 1/2). If no item differs, p is 1. Raises ValueError on
    unequal lengths, no items, or a score other than 0 and 1.
    """
    differences = _differences(a, b)
    for name, scores in (("a", a), ("b", b)):
        for index, score in enumerate(scores):
            if score not in (0, 1):
                raise ValueError(f"{name}[{index}] is {score!r}, not 0 or 1; use paired_permutation")
    wins, losses = _count(differences)
    from scipy import stats

    p_value = float(stats.binomtest(wins, wins + losses, 0.5).pvalue) if wins + losses else 1.0
    return _result(differences, p_value, "McNemar exact")


def paired_permutation(
    a: Sequence[float], b: Sequence[float], resamples: int = 10_000, seed: int = 0
) -> PairedTest:
    """Sign-flip permutation test of a zero mean difference (Fisher, Design of Experiments, 1935, §21).

    ``a`` and ``b`` are scores of the same items in the same order, fractions allowed. Items without a
    difference do not matter and are left out; if the sign patterns of the others are at most
    ``resamples`` all are tried and p is exact, otherwise they are drawn and p ≥ 1/(resamples + 1)
    (Phipson & Smyth 2010). If at most one item differs, p is 1. Raises ValueError on unequal lengths,
    no items, a score that is not finite, or ``resamples < 100``.
    """
    check_resamples(resamples)
    differences = _differences(a, b)
    moved = differences[differences != 0.0]
    if len(moved) < 2:  # a single difference is as far from zero with either sign
        return _result(differences, 1.0, "sign-flip permutation, exact")
    from scipy import stats

    found = stats.permutation_test(
        (moved,),
        np.sum,
        permutation_type="samples",
        n_resamples=resamples,
        batch=batch_size(len(moved)),
        random_state=generator("permutation", seed),
    )
    exact = 2 ** len(moved) <= resamples
    method = "sign-flip permutation, " + ("exact" if exact else f"{resamples} draws")
    return _result(differences, float(found.pvalue), method)


def paired_difference_interval(
    a: Sequence[float],
    b: Sequence[float],
    level: float = 0.95,
    resamples: int = 10_000,
    seed: int = 0,
) -> Interval | None:
    """Percentile bootstrap interval of mean(a) - mean(b), resampling items (Efron & Tibshirani 1993, §13).

    Items are resampled with both their scores, so what makes an item hard cancels. ``None`` where
    resampling sees no spread: one item, or the same difference on every item. Raises ValueError on
    unequal lengths, no items, a score that is not finite, ``resamples < 100`` or a level outside (0, 1).
    """
    return bootstrap_mean(_differences(a, b).tolist(), level, resamples, seed)


def _differences(a: Sequence[float], b: Sequence[float]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """``a - b`` item by item, after checking that they are of the same items."""
    if len(a) != len(b):
        raise ValueError(f"paired scores differ in length: {len(a)} and {len(b)}")
    if not len(a):
        raise ValueError("no items to compare")
    check_finite(a)
    check_finite(b)
    first = np.asarray(a, dtype=np.float64)
    return first - np.asarray(b, dtype=np.float64)


def _count(differences: np.ndarray[tuple[int], np.dtype[np.float64]]) -> tuple[int, int]:
    """Items won and lost."""
    return int(np.sum(differences > 0)), int(np.sum(differences < 0))


def _result(
    differences: np.ndarray[tuple[int], np.dtype[np.float64]], p_value: float, method: str
) -> PairedTest:
    """The test's value with its counts."""
    wins, losses = _count(differences)
    ties = len(differences) - wins - losses
    return PairedTest(p_value, wins, losses, ties, float(np.mean(differences)), method)
