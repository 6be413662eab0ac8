"""Mathematics of evaluation: intervals, paired tests, and correction for many tests.

Pure functions of numbers. An interval that the data cannot support is ``None``, never of zero width.
"""

from neuromas.statistics.clustered import (
    MIN_SEEDS,
    Clustered,
    clustered_bounds,
    clustered_difference,
    clustered_mean,
    detectable_difference,
)
from neuromas.statistics.intervals import Interval, bootstrap_mean, mean_interval_t, wilson
from neuromas.statistics.multiplicity import holm
from neuromas.statistics.paired import PairedTest, mcnemar, paired_difference_interval, paired_permutation

__all__ = [
    "MIN_SEEDS",
    "Clustered",
    "Interval",
    "PairedTest",
    "bootstrap_mean",
    "clustered_bounds",
    "clustered_difference",
    "clustered_mean",
    "detectable_difference",
    "holm",
    "mcnemar",
    "mean_interval_t",
    "paired_difference_interval",
    "paired_permutation",
    "wilson",
]
