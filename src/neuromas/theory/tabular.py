"""Learning a latin tree by joint REINFORCE with tables: from scratch, or grown from the root downwards.

Every node is a softmax table: m logits for each of its m**2 inputs, starting right with probability
1 - error on every input (a weak but not ignorant node, as a pretrained backbone is). Reward 1 if the root's
message is right; leave-one-out over K samples of a problem; plain gradient ascent on sampled gradients,

    logits_v[input] += rate / (B K) sum of (R_k - mean of the other R) (onehot(a_k) - pi_v(input)).

A *plan* says how many nodes are alive in which share of the budget; alive nodes are the first n places of
the heap, so ``(1, 3, 7)`` grows a level at a time and ``(1, 2, ..., 7)`` a node at a time. A place that has
no node yet shows its right value: the smaller system solves the upper part of the same problem. That is an
assumption of the toy, and the whole of its advantage: the small system must have a task of its own.

Budget: one call = one message of one node in one episode. Plans are compared at equal numbers of calls, so
a system with fewer nodes plays more episodes. S systems with own tables and draws are trained side by side.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from neuromas.core.seeds import derive
from neuromas.theory.latin import Floats, Ints, check_tree, draw_tables, root_distribution, true_values

SCRATCH = (7,)
BY_LEVEL = (1, 3, 7)
BY_NODE = (1, 2, 3, 4, 5, 6, 7)
_EXAM = 1024  # problems of the exact accuracy, of m**(M+1) possible ones


@dataclass(frozen=True, slots=True)
class Setting:
    """Sizes and the learning rate; ``calls`` is the budget of one system."""

    calls: int
    rate: float
    nodes: int = 7
    symbols: int = 4
    error: float = 0.4
    samples: int = 8
    problems: int = 8
    systems: int = 8

    def __post_init__(self) -> None:
        check_tree(self.nodes, self.symbols)

    def steps(self, alive: int, share: float) -> int:
        """Whole training steps that ``share`` of the budget pays for with ``alive`` nodes."""
        return int(self.calls * share / (alive * self.problems * self.samples))


def learn(setting: Setting, plan: Sequence[int], seed: int = 0) -> Floats:
    """Expected accuracy of the whole tree after training, per system (S,).

    Each entry of ``plan`` gets an equal share of the calls. Tables, exam and start are the same for every
    plan with the same ``seed``, so plans are compared in pairs. Raises ValueError for a plan that shrinks or
    does not end with all nodes.
    """
    if list(plan) != sorted(plan) or not plan or plan[0] < 1 or plan[-1] != setting.nodes:
        raise ValueError(f"plan {tuple(plan)} must grow to {setting.nodes} nodes")
    tables, exam = _world(setting, seed)
    logits = initial_logits(tables, setting.error)
    rng = np.random.default_rng(derive("theory", "tabular", "train", seed, *plan))
    for alive in plan:
        for _ in range(setting.steps(alive, 1.0 / len(plan))):
            shown = _symbols(rng, setting, setting.problems)
            logits += setting.rate * gradient(logits, true_values(tables, shown), alive, setting.samples, rng)
    return expected_accuracy(logits, tables, exam)


def start_accuracy(setting: Setting, seed: int = 0) -> Floats:
    """Expected accuracy of the untrained tree, per system (S,)."""
    tables, exam = _world(setting, seed)
    return expected_accuracy(initial_logits(tables, setting.error), tables, exam)


def _world(setting: Setting, seed: int) -> tuple[Ints, Ints]:
    rng = np.random.default_rng(derive("theory", "tabular", "world", seed))
    tables = draw_tables(rng, setting.systems, setting.nodes, setting.symbols)
    return tables, _symbols(rng, setting, _EXAM)


def _symbols(rng: np.random.Generator, setting: Setting, problems: int) -> Ints:
    return rng.integers(setting.symbols, size=(setting.systems, problems, setting.nodes + 1))


def initial_logits(tables: Ints, error: float) -> Floats:
    """Logits (S, M, m*m, m) of nodes that are right with probability 1 - error on every input."""
    systems, nodes, symbols = tables.shape[:3]
    right = tables.reshape(systems, nodes, symbols**2, 1) == np.arange(symbols)
    return np.where(right, np.float64(np.log(1.0 - error)), np.float64(np.log(error / (symbols - 1))))


def softmax(logits: Floats) -> Floats:
    """Probabilities over the last axis."""
    raised = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(raised / raised.sum(axis=-1, keepdims=True))


def expected_accuracy(logits: Floats, tables: Ints, shown: Ints) -> Floats:
    """P(root right) per system (S,), exact for each problem shown (S, B, M + 1), mean over problems."""
    systems, nodes, symbols = tables.shape[:3]
    policies = softmax(logits).reshape(systems, nodes, symbols, symbols, symbols)
    right = true_values(tables, shown)[..., :1]
    found = np.take_along_axis(root_distribution(policies, shown), right, axis=-1)
    return np.asarray(found[..., 0].mean(axis=1))


def gradient(logits: Floats, values: Ints, alive: int, samples: int, rng: np.random.Generator) -> Floats:
    """Sampled REINFORCE gradient of all logits (S, M, m*m, m) from K episodes on each problem.

    ``values`` (S, B, 2M + 1) are the right values of all places; nodes from ``alive`` on do not exist.
    """
    systems, _, inputs, symbols = logits.shape
    shape = (systems, values.shape[1], samples)
    policy = softmax(logits[:, :alive])
    edges = policy.cumsum(axis=-1)[..., :-1]
    system = np.arange(systems)[:, None, None]
    said: dict[int, Ints] = {}
    asked: dict[int, Ints] = {}
    for v in reversed(range(alive)):
        left, right = (
            said.get(c, np.broadcast_to(values[..., c, None], shape)) for c in (2 * v + 1, 2 * v + 2)
        )
        asked[v] = system * inputs + left * symbols + right  # row of the flat table (S * m*m)
        edge = edges[:, v].reshape(-1, symbols - 1)[asked[v]]
        said[v] = (rng.random(shape)[..., None] > edge).sum(axis=-1)
    reward = (said[0] == values[..., :1]).astype(np.float64)
    advantage = reward - (reward.sum(axis=2, keepdims=True) - reward) / (samples - 1)
    weight = advantage.ravel() / (values.shape[1] * samples)
    found = np.zeros_like(logits)
    for v in range(alive):
        cells = (asked[v] * symbols + said[v]).ravel()
        taken = np.bincount(cells, weight, systems * inputs * symbols).reshape(systems, inputs, symbols)
        found[:, v] = taken - taken.sum(axis=-1, keepdims=True) * policy[:, v]
    return found
