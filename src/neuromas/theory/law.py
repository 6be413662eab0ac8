"""Whether accuracy is the product of local accuracies, and what depth costs in samples (docs/method.md).

With the 0/1 metric a network is right at least where every node is right on what it read. If nothing masks
a wrong message and no two errors cancel, its accuracy is prod_v a_v, with a_v = P(node v right | all that it
read was right). Here cells (a trained network on a depth of a task) are held against that product, one by one
with an interval and together by a line through logarithms; samples until a target against ``theory.snr``.

Pure functions of numbers that were measured elsewhere (``evaluation.local`` counts the local ones).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import ndtri

from neuromas.core import shares
from neuromas.statistics import Interval, wilson
from neuromas.statistics.intervals import check_level
from neuromas.theory.snr import SAMPLES, SYMBOLS, Case, examples_ratio

TARGET = 0.8
FEWEST = 3  # cells through which a line is laid


@dataclass(frozen=True, slots=True)
class Counted:
    """``right`` of ``of`` independent items. Raises ValueError for what is no count."""

    right: int
    of: int

    def __post_init__(self) -> None:
        if not 0 <= self.right <= self.of:
            raise ValueError(f"{self.right} right of {self.of} is no count")

    @property
    def share(self) -> float | None:
        """In [0, 1]; None of no items."""
        return self.right / self.of if self.of else None


@dataclass(frozen=True, slots=True)
class Cell:
    """One network on one task: its accuracy, and of every node how often it was right on right inputs.

    ``locals`` has an entry a node; one whose ``of`` is 0 was never asked with right inputs, so that the
    product is not known, unless another node's is 0.
    """

    name: str
    depth: int
    accuracy: Counted
    locals: tuple[Counted, ...]


@dataclass(frozen=True, slots=True)
class Deviation:
    """A cell beside the law: accuracy minus the product, with an interval; ``off`` if that excludes 0."""

    cell: Cell
    accuracy: float
    predicted: float
    difference: float
    interval: Interval

    @property
    def off(self) -> bool:
        """Whether the law is refuted for this cell, at the interval's level."""
        return self.interval.low > 0.0 or self.interval.high < 0.0


def product(cell: Cell) -> float | None:
    """prod_v a_v, in [0, 1]; None where a node's share is not known, or there is no node.

    One share of 0 makes it 0, whatever is not known of others: who is never right leaves its readers unasked.
    """
    return shares.product([node.share for node in cell.locals])


def product_interval(cell: Cell, level: float = 0.95) -> Interval:
    """Interval of the product: delta method on its logarithm, half an item added to right and to wrong.

    Var log P = sum_v (1 - a_v) / (n_v a_v). Nodes that were never asked with right inputs say nothing.
    Raises ValueError for a level outside (0, 1).
    """
    check_level(level)
    counts = [(node.right + 0.5, node.of + 1.0) for node in cell.locals if node.of]
    centre = sum(math.log(right / of) for right, of in counts)
    spread = math.sqrt(sum((1.0 - right / of) / right for right, of in counts))
    half = -float(ndtri((1.0 - level) / 2.0)) * spread
    plain = math.prod(node.share or 0.0 for node in cell.locals)
    low, high = math.exp(centre - half), min(1.0, math.exp(centre + half))
    return Interval(min(low, plain), max(high, plain), level, "delta method, log")


def deviation(cell: Cell, level: float = 0.95) -> Deviation | None:
    """The cell beside the law; None where accuracy or product is not known.

    The interval of the difference is made of both intervals (MOVER; Zou & Donner, Statistics in Medicine 27,
    2008), as if accuracy and product were of independent items. Measured on the same items they rise and fall
    together, and the interval is wider than it need be (its coverage is above ``level``).
    """
    accuracy, predicted = cell.accuracy.share, product(cell)
    if accuracy is None or predicted is None:
        return None
    own, other = wilson(cell.accuracy.right, cell.accuracy.of, level), product_interval(cell, level)
    gap = accuracy - predicted
    low = gap - math.hypot(accuracy - own.low, other.high - predicted)
    high = gap + math.hypot(own.high - accuracy, predicted - other.low)
    return Deviation(cell, accuracy, predicted, gap, Interval(low, high, level, "MOVER"))


@dataclass(frozen=True, slots=True)
class Fit:
    """log accuracy = intercept + slope * sum_v log a_v over ``cells``; the law is slope 1, intercept 0.

    ``left_out`` counts cells without a logarithm: accuracy, product or both are 0 or not known. ``r2`` is the
    (weighted) share of the variance of log accuracy that the line explains, None where there is no variance.
    ``scatter`` is chi2 per degree of freedom: about 1 where nothing but the count of items scatters.
    """

    slope: float
    slope_interval: Interval
    intercept: float
    intercept_interval: Interval
    r2: float | None
    scatter: float
    cells: int
    left_out: int


def fit(cells: Sequence[Cell], level: float = 0.95) -> Fit | None:
    """The weighted least-squares line through the logarithms; None below three cells or for one product.

    A cell's weight is 1 / (Var log accuracy + Var log product), both binomial: a product that is small, or of
    few items, says little. The variances are known, so intervals are normal, wider by sqrt(scatter) where
    cells scatter more than that (Birge 1932).
    """
    check_level(level)
    rows = [(cell, cell.accuracy.share, product(cell)) for cell in cells]
    used = [(math.log(x), math.log(y), 1.0 / _variance(cell)) for cell, y, x in rows if x and y]
    if len(used) < FEWEST or len({x for x, _, _ in used}) == 1:
        return None
    x, y, weight = np.array(used).T
    total = weight.sum()
    middle, height = (weight @ x) / total, (weight @ y) / total
    across = float(weight @ (x - middle) ** 2)
    slope = float(weight @ ((x - middle) * (y - height))) / across
    intercept = float(height - slope * middle)
    left = float(weight @ (y - intercept - slope * x) ** 2)
    about = float(weight @ (y - height) ** 2)
    scatter = left / (len(used) - 2)
    half = -float(ndtri((1.0 - level) / 2.0)) * math.sqrt(max(1.0, scatter))
    ends = half / math.sqrt(across), half * math.sqrt(1.0 / total + middle**2 / across)
    return Fit(
        slope,
        Interval(slope - ends[0], slope + ends[0], level, "weighted, normal"),
        intercept,
        Interval(intercept - ends[1], intercept + ends[1], level, "weighted, normal"),
        1.0 - left / about if about > 0.0 else None,
        scatter,
        len(used),
        len(cells) - len(used),
    )


def _variance(cell: Cell) -> float:
    """Of log accuracy - log product, half an item added to right and to wrong."""
    counts = [(node.right + 0.5, node.of + 1.0) for node in (cell.accuracy, *cell.locals)]
    return sum((1.0 - right / of) / right for right, of in counts)


@dataclass(frozen=True, slots=True)
class Law:
    """All cells beside the law: deviations with the largest first, and the line through all."""

    deviations: tuple[Deviation, ...]
    fit: Fit | None
    unknown: tuple[str, ...]

    @property
    def off(self) -> tuple[Deviation, ...]:
        """The cells whose interval excludes the law."""
        return tuple(one for one in self.deviations if one.off)


def law(cells: Sequence[Cell], level: float = 0.95) -> Law:
    """Deviations of all cells and the fit; ``unknown`` names those of which no product is known.

    Each interval has its own level: of 20 cells that follow the law one may be off at 0.95.
    """
    found = [deviation(cell, level) for cell in cells]
    known = sorted((one for one in found if one is not None), key=lambda one: -abs(one.difference))
    lost = tuple(cell.name for cell, one in zip(cells, found, strict=True) if one is None)
    return Law(tuple(known), fit(cells, level), lost)


def spent_until(
    validations: Iterable[Mapping[str, Any]], spent: Callable[[int], float], target: float = TARGET
) -> float | None:
    """What training had cost at the first validation with ``accuracy`` of at least ``target``; None if never.

    ``validations`` are lines of a run's ``validation.jsonl`` (``step``, ``accuracy``); ``spent(step)`` says
    what ``step`` updates cost, in episodes or calls. An accuracy above the target by chance counts, so take
    the median over seeds.
    """
    rows = sorted(validations, key=lambda row: int(row["step"]))
    return next((spent(int(row["step"])) for row in rows if (row["accuracy"] or 0.0) >= target), None)


@dataclass(frozen=True, slots=True)
class Depth:
    """Samples until the target at one depth: ``measured`` and ``predicted`` relative to the least depth.

    ``measured`` is None where the target was never reached.
    """

    depth: int
    samples: float | None
    measured: float | None
    predicted: float


def against_snr(
    samples: Mapping[int, float | None], leaf_error: float, other_error: float, symbols: int = SYMBOLS
) -> tuple[Depth, ...]:
    """Samples by depth beside the toy's: (SNR at the least depth / SNR here)**2 (``theory.snr``).

    At depth d the toy has 2**d - 1 nodes; its leaf errs with ``leaf_error``, its other nodes with
    ``other_error`` (from scratch the same; grown what was reached before). Raises ValueError without depths.
    """
    if not samples:
        raise ValueError("samples of no depth")
    first = min(samples)
    base = samples[first]

    def case(depth: int) -> Case:
        return Case(2**depth - 1, leaf_error, other_error, symbols, SAMPLES)

    return tuple(
        Depth(
            depth,
            found,
            found / base if found is not None and base else None,
            examples_ratio(case(depth), case(first)),
        )
        for depth, found in sorted(samples.items())
    )
