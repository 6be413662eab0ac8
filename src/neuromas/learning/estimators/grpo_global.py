"""Rewards standardised over all nodes' samples of a problem."""

from __future__ import annotations

from neuromas.learning.estimators.base import Pooled
from neuromas.learning.estimators.grpo import Grpo


class GrpoGlobal(Grpo, Pooled):
    """``Grpo`` with one mean and one deviation for all nodes: what arXiv:2602.08847 (Dr. MAS) argues against.

    With ``grpo`` every node has its own mean mu_k and deviation s_k, which is that paper's remedy. Here they
    are mu and s of all, and the mean square of node k's advantages becomes (s_k^2 + (mu_k - mu)^2) / s^2
    instead of 1. Nodes that share one reward have the same mean and deviation, so there the two differ by one
    constant factor: s divides by N G - 1, s_k by G - 1.
    """
