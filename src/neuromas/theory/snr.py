"""Signal-to-noise ratio of the REINFORCE gradient of one leaf in a latin tree, exactly and by simulation.

Setting (docs/method.md, "the toy"). A complete binary tree of M nodes over m symbols; each node is
right on its actual inputs with probability 1 - error, else uniformly wrong; reward R = 1 if the root's
message is right, else 0. One example (fixed symbols shown), K episodes, leave-one-out baseline. The leaf is
a softmax over m logits for its input; its gradient estimate is

    g = (1/K) sum_k (R_k - mean of the other R) s_k,      s_k = onehot(a_k) - pi       (m numbers)

which is the unbiased sample covariance of R and s, so its variance is known in closed form.

Definitions of SNR, both per example, both amplitudes (units of standard deviations, not squared):

    along = u.E[g] / sqrt(Var[u.g]),   u = E[g] / |E[g]|       one direction: right against wrong
    full  = |E[g]| / sqrt(trace Cov[g])                        noise of all m logits

``along`` is what a leaf with one logit for "right or wrong" has. The mean of n examples has sqrt(n) times
the SNR, so the examples needed for a given SNR go as 1 / SNR**2.

Our choices where the source is silent: m = 4 symbols (the published figures single it out, see
docs/method.md), the first leaf, no normalisation of g, probabilities and not logits are given.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri

from neuromas.core.seeds import derive
from neuromas.statistics import Interval
from neuromas.statistics.intervals import check_level
from neuromas.theory.latin import Floats, Ints, check_tree, draw_tables, true_values

SYMBOLS = 4
SAMPLES = 8
_FEWEST = 1000  # the delta method is asymptotic
_CELLS = 4_000_000  # drawn messages held at once


@dataclass(frozen=True, slots=True)
class Case:
    """One leaf with ``leaf_error`` in a tree of ``nodes`` whose other nodes have ``other_error``."""

    nodes: int
    leaf_error: float
    other_error: float
    symbols: int = SYMBOLS
    samples: int = SAMPLES

    def __post_init__(self) -> None:
        check_tree(self.nodes, self.symbols)
        for error in (self.leaf_error, self.other_error):
            if not 0.0 < error < 1.0:
                raise ValueError(f"error {error!r} is not between 0 and 1")
        if self.samples < 2:
            raise ValueError("leave-one-out needs at least 2 samples")

    @property
    def leaf(self) -> int:
        """Place of the leaf: the first node of the lowest level."""
        return self.nodes // 2

    @property
    def errors(self) -> Floats:
        """Error of every node (M,)."""
        errors = np.full(self.nodes, self.other_error)
        errors[self.leaf] = self.leaf_error
        return errors


def survival(error: float, symbols: int) -> float:
    """lambda = 1 - error m / (m - 1): second eigenvalue of the symmetric channel "right, else uniform".

    1 for a perfect node, 0 for one that guesses (error = 1 - 1/m).
    """
    return 1.0 - error * symbols / (symbols - 1)


def accuracy(errors: Floats, symbols: int) -> float:
    """P(root right) = 1/m + (1 - 1/m) prod_v lambda_v.

    In a Latin square two arguments, wrong uniformly and independently, give the right result in m - 1 of
    (m-1)**2 cells and every wrong one in m - 2 of them: the result is again "right, else uniform", and its
    lambda is the product of the two. The node's own error multiplies its own lambda. Induct over the tree.
    """
    kept = math.prod(survival(float(error), symbols) for error in errors)
    return 1.0 / symbols + (1.0 - 1.0 / symbols) * kept


def leaf_policy(case: Case) -> Floats:
    """Probabilities (m,) of the leaf's messages, the right one first."""
    policy = np.full(case.symbols, case.leaf_error / (case.symbols - 1))
    policy[0] = 1.0 - case.leaf_error
    return policy


def leaf_values(case: Case) -> Floats:
    """P(R = 1 | message) (m,), the right message first.

    With Lambda = prod of lambda over the other nodes: 1/m + (1 - 1/m) Lambda if right, (1 - Lambda) / m for
    every wrong message. Their difference is Lambda: that is all the reward tells the leaf.
    """
    others = np.delete(case.errors, case.leaf)
    right = accuracy(others, case.symbols)
    values = np.full(case.symbols, (1.0 - right) / (case.symbols - 1))
    values[0] = right
    return values


def mean_gradient(policy: Floats, values: Floats) -> Floats:
    """E[g] (m,) = pi_j (Q_j - J), J = sum_j pi_j Q_j: the softmax policy gradient (Williams 1992)."""
    return policy * (values - policy @ values)


def covariance_variance(policy: Floats, values: Floats, scores: Floats, samples: int) -> float:
    """Variance of the unbiased sample covariance of R and s over K = ``samples`` independent pairs.

    Var = (mu22 - (K-2)/(K-1) mu11**2 + mu20 mu02 / (K-1)) / K with mu_ij = E[(s - Es)^i (R - ER)^j]
    (Kendall & Stuart, The Advanced Theory of Statistics I, chapter 13). ``scores`` (m,) is s of each message;
    R given the message is Bernoulli(values).
    """
    reward = float(policy @ values)
    centred = scores - policy @ scores
    spread = values * (1.0 - reward) ** 2 + (1.0 - values) * reward**2  # E[(R - J)**2 | message]
    mu22, mu20 = float(policy @ (centred**2 * spread)), float(policy @ centred**2)
    mu11, mu02 = float(policy @ (centred * values)), reward * (1.0 - reward)
    others = samples - 1
    return (mu22 - (samples - 2) / others * mu11**2 + mu20 * mu02 / others) / samples


def snr_along(policy: Floats, values: Floats, samples: int) -> float:
    """|E[g]| over the standard deviation of g along its mean; 0 where the mean is 0."""
    mean = mean_gradient(policy, values)
    size = float(np.linalg.norm(mean))
    if size == 0.0:
        return 0.0
    return size / math.sqrt(covariance_variance(policy, values, mean / size, samples))


def snr_full(policy: Floats, values: Floats, samples: int) -> float:
    """|E[g]| over the root of the trace of Cov[g]; 0 where the mean is 0."""
    size = float(np.linalg.norm(mean_gradient(policy, values)))
    if size == 0.0:
        return 0.0
    units = np.eye(len(policy))  # the score's constant part -pi drops out of a covariance
    trace = sum(covariance_variance(policy, values, unit, samples) for unit in units)
    return size / math.sqrt(trace)


def exact(case: Case, full: bool = False) -> float:
    """Exact SNR of the leaf's gradient from one example, ``along`` its mean or ``full``."""
    compute = snr_full if full else snr_along
    return compute(leaf_policy(case), leaf_values(case), case.samples)


def examples_ratio(hard: Case, easy: Case) -> float:
    """How many times more examples ``hard`` needs for the same SNR: (SNR_easy / SNR_hard)**2."""
    signal = exact(hard)
    return (exact(easy) / signal) ** 2 if signal else math.inf


@dataclass(frozen=True, slots=True)
class Estimate:
    """A simulated SNR along the mean direction, its interval, and the point estimate of the full one."""

    along: float
    interval: Interval
    full: float
    replicates: int


def monte_carlo(case: Case, replicates: int, seed: int = 0, level: float = 0.95) -> Estimate:
    """SNR from ``replicates`` simulated gradients of K episodes each, on one drawn tree and example.

    Real messages are drawn on real tables; nothing of the closed form is used but the direction of the mean,
    which symmetry gives (right letter against the others). Interval by the delta method,
    Var(mean / sd) = (1 - t skew + t**2 (kurtosis - 1) / 4) / n at t = mean / sd.
    """
    check_level(level)
    if replicates < _FEWEST:
        raise ValueError(f"{replicates} replicates, at least {_FEWEST} are needed for the interval")
    rng = np.random.default_rng(derive("theory", "snr", case.nodes, case.leaf_error, case.other_error, seed))
    tables = draw_tables(rng, 1, case.nodes, case.symbols)
    shown = rng.integers(case.symbols, size=(1, 1, case.nodes + 1))
    values = true_values(tables, shown)[0, 0]
    gradients = np.empty((replicates, case.symbols))
    chunk = max(1, _CELLS // (case.samples * case.nodes))
    for start in range(0, replicates, chunk):
        part = gradients[start : start + chunk]
        part[:] = _gradients(case, tables[0], values, rng, len(part))
    direction = np.where(np.arange(case.symbols) == values[case.leaf], 1.0, -1.0 / (case.symbols - 1))
    direction /= np.linalg.norm(direction)
    along = gradients @ direction
    mean, deviation = float(along.mean()), float(along.std(ddof=1))
    z = (along - mean) / deviation
    skew, kurtosis, ratio = float((z**3).mean()), float((z**4).mean()), mean / deviation
    spread = math.sqrt((1.0 - ratio * skew + ratio**2 * (kurtosis - 1.0) / 4.0) / replicates)
    half = float(ndtri(0.5 + level / 2.0)) * spread
    trace = float(gradients.var(axis=0, ddof=1).sum())
    interval = Interval(ratio - half, ratio + half, level, "delta method")
    return Estimate(ratio, interval, mean / math.sqrt(trace), replicates)


def _gradients(case: Case, tables: Ints, values: Ints, rng: np.random.Generator, count: int) -> Floats:
    """``count`` estimates g (count, m), each from K episodes played on the tables."""
    shape, m = (count, case.samples), case.symbols
    said = {case.nodes + i: np.full(shape, symbol) for i, symbol in enumerate(values[case.nodes :])}
    for v in reversed(range(case.nodes)):
        target = tables[v][said.pop(2 * v + 1), said.pop(2 * v + 2)]
        said[v] = _err(target, case.errors[v], m, rng.random(shape))
        if v == case.leaf:
            leaf_said = said[v]
    reward = (said[0] == values[0]).astype(np.float64)
    advantage = reward - (reward.sum(axis=1, keepdims=True) - reward) / (case.samples - 1)
    policy = np.full(m, case.leaf_error / (m - 1))
    policy[values[case.leaf]] = 1.0 - case.leaf_error
    scores = (leaf_said[..., None] == np.arange(m)) - policy
    return np.asarray(np.einsum("nk,nkm->nm", advantage, scores) / case.samples)


def _err(target: Ints, error: float, symbols: int, chance: Floats) -> Ints:
    """The target, or with probability ``error`` one of the others; one uniform number decides both."""
    shift = 1 + np.minimum((chance / error * (symbols - 1)).astype(np.int64), symbols - 2)
    return np.where(chance < error, (target + shift) % symbols, target)
