"""Intervals for a proportion, for a mean of scores, and for a mean over seeds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import special

from neuromas.core.seeds import derive

MIN_RESAMPLES = 100
_BATCH_CELLS = 2_000_000  # resampled numbers held at once, so that memory does not grow with the data


@dataclass(frozen=True, slots=True)
class Interval:
    """A two-sided confidence interval ``[low, high]`` at ``level``, with the method that made it."""

    low: float
    high: float
    level: float
    method: str

    @property
    def width(self) -> float:
        """``high - low``."""
        return self.high - self.low

    def __str__(self) -> str:
        """``[0.237, 0.763]``."""
        return f"[{self.low:.3f}, {self.high:.3f}]"


def wilson(successes: int, n: int, level: float = 0.95) -> Interval:
    """Wilson score interval of a proportion (Wilson, JASA 22, 1927), without continuity correction.

    ``successes`` of ``n`` independent items were right. With ``n = 0`` nothing is known: the interval is
    all of [0, 1] and its method says so. Raises ValueError unless ``0 <= successes <= n`` and
    ``0 < level < 1``.
    """
    check_level(level)
    if n < 0 or not 0 <= successes <= n:
        raise ValueError(f"{successes} successes of {n} items is not a proportion")
    if n == 0:
        return Interval(0.0, 1.0, level, "no items")
    # written out, because scipy.stats is slow to load and every evaluation ends here
    z = float(special.ndtri(0.5 + 0.5 * level))
    share = successes / n
    middle = (2.0 * successes + z**2) / (2.0 * (n + z**2))
    half = z / (2.0 * (n + z**2)) * math.sqrt(4.0 * n * share * (1.0 - share) + z**2)
    low = 0.0 if successes == 0 else middle - half
    high = 1.0 if successes == n else middle + half
    return Interval(low, high, level, "wilson")


def bootstrap_mean(
    values: Sequence[float], level: float = 0.95, resamples: int = 10_000, seed: int = 0
) -> Interval | None:
    """Percentile bootstrap interval of a mean (Efron, Annals of Statistics 7, 1979).

    ``values`` are independent scores, fractions allowed. Equal arguments give equal intervals. ``None``
    where resampling sees no spread: fewer than two values, or all equal (use ``wilson`` if they are
    right/wrong). Raises ValueError on a value that is not finite, ``resamples < 100`` or a level outside
    (0, 1).
    """
    check_level(level)
    check_finite(values)
    check_resamples(resamples)
    if len(values) < 2 or min(values) == max(values):
        return None
    from scipy import stats

    found = stats.bootstrap(
        (np.asarray(values, dtype=np.float64),),
        np.mean,
        n_resamples=resamples,
        batch=batch_size(len(values)),
        confidence_level=level,
        method="percentile",
        random_state=generator("bootstrap", seed),
    ).confidence_interval
    if found.low == found.high:
        return None
    return Interval(float(found.low), float(found.high), level, "bootstrap percentile")


def mean_interval_t(values: Sequence[float], level: float = 0.95, share: bool = False) -> Interval | None:
    """Student's t interval of a mean (Student, Biometrika 6, 1908): mean ± t(n-1) · s/√n.

    For few independent repetitions. With ``share`` the values are shares in [0, 1], and the interval is made
    on the logit scale by the delta method, so it stays between 0 and 1. ``None`` with fewer than two values
    or if all are equal, since then the spread is unknown. Raises ValueError on a value that is not finite,
    a share outside [0, 1] or a level outside (0, 1).
    """
    check_level(level)
    check_finite(values)
    if len(values) < 2 or min(values) == max(values):
        return None
    scale = float(np.std(values, ddof=1) / math.sqrt(len(values)))
    if scale == 0.0:  # values so close that their variance underflows
        return None
    mean = float(np.mean(values))
    if share:
        if min(values) < 0 or max(values) > 1:
            raise ValueError(f"values from {min(values)!r} to {max(values)!r} are not shares")
        half = t_limit(len(values) - 1, level) * scale / (mean * (1 - mean))
        bounds = special.expit(special.logit(mean) + np.array([-half, half]))
        return Interval(float(bounds[0]), float(bounds[1]), level, "t, logit")
    half = t_limit(len(values) - 1, level) * scale
    return Interval(mean - half, mean + half, level, "t")


def t_limit(degrees: Any, level: float) -> Any:
    """What Student's t with so many degrees of freedom exceeds in size with chance 1 - ``level``."""
    return -special.stdtrit(degrees, (1.0 - level) / 2.0)


def check_level(level: float) -> None:
    """Raise ValueError unless ``0 < level < 1``."""
    if not 0.0 < level < 1.0:
        raise ValueError(f"confidence level {level!r} is not between 0 and 1")


def check_finite(values: Sequence[float]) -> None:
    """Raise ValueError naming the first value that is not a finite number."""
    for index, value in enumerate(values):
        if not math.isfinite(value):
            raise ValueError(f"value {index} is {value!r}, not a finite number")


def check_resamples(resamples: int) -> None:
    """Raise ValueError if there are too few resamples for a tail to be estimated."""
    if resamples < MIN_RESAMPLES:
        raise ValueError(f"{resamples} resamples, at least {MIN_RESAMPLES} are needed")


def batch_size(n: int) -> int:
    """Resamples of ``n`` values to hold in memory at once."""
    return max(1, _BATCH_CELLS // max(1, n))


def generator(use: str, seed: int) -> np.random.Generator:
    """A fresh generator for this use and seed; no state survives the call."""
    return np.random.default_rng(derive("statistics", use, seed))
