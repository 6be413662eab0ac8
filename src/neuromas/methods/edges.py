"""Graphs drawn edge by edge, and how the edges' probabilities learn from what the graphs earn.

As in GPTSwarm (arXiv:2402.16823). Potential edges e stand in a fixed order, each with a logit l_e. A graph
is drawn in that order: an edge that would close a cycle with those kept so far is passed over, another one is
kept (z_e = 1) with probability p_e = 1 / (1 + exp(-l_e)). So

    log P(graph) = sum over e not passed over of z_e log p_e + (1 - z_e) log(1 - p_e),
    d log P / d l_e = z_e - p_e, and 0 for an edge passed over.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

Edge = tuple[int, int]
Draw = tuple[bool | None, ...]  # for every potential edge whether it was kept; None: passed over


def realise(potential: Sequence[Edge], fixed: Sequence[Edge], wanted: Callable[[int], bool]) -> Draw:
    """An acyclic choice of potential edges (E) beside the fixed ones; ``wanted(e)`` says which to keep."""
    kept, drawn = list(fixed), list[bool | None]()
    for place, edge in enumerate(potential):
        if _reaches(kept, edge[1], edge[0]):
            drawn.append(None)
            continue
        drawn.append(wanted(place))
        if drawn[-1]:
            kept.append(edge)
    return tuple(drawn)


def _reaches(edges: Sequence[Edge], start: int, goal: int) -> bool:
    """Whether a path leads from one node to another."""
    seen, todo = {start}, [start]
    while todo:
        node = todo.pop()
        if node == goal:
            return True
        ahead = {target for source, target in edges if source == node} - seen
        seen |= ahead
        todo += ahead
    return False


def levels(edges: Sequence[Edge], goal: int) -> list[list[int]]:
    """The nodes from which a path leads to ``goal``, by the longest path into each; ``goal`` comes last.

    A node's sources all lie in earlier levels. ``edges`` have no cycle.
    """
    depth: dict[int, int] = {}

    def visit(node: int) -> int:
        if node not in depth:
            depth[node] = 1 + max((visit(source) for source, target in edges if target == node), default=-1)
        return depth[node]

    last = visit(goal)
    return [sorted(node for node, at in depth.items() if at == level) for level in range(last + 1)]


def probabilities(logits: Sequence[float]) -> list[float]:
    """p = 1 / (1 + exp(-l)) of every logit (E), in a form that cannot overflow."""
    return [0.5 * (1.0 + math.tanh(logit / 2.0)) for logit in logits]


def ascent(draws: Sequence[Draw], advantages: Sequence[float], logits: Sequence[float]) -> list[float]:
    """The REINFORCE estimate of d E[reward] / d l (E): mean over graphs of advantage * (z - p)."""
    chances = probabilities(logits)
    total = [0.0] * len(logits)
    for draw, advantage in zip(draws, advantages, strict=True):
        for place, (kept, chance) in enumerate(zip(draw, chances, strict=True)):
            total[place] += 0.0 if kept is None else advantage * (kept - chance)
    return [one / max(1, len(draws)) for one in total]


@dataclass(frozen=True, slots=True)
class Adam:
    """Adam (arXiv:1412.6980) over a list of numbers (E), without bias towards 0 of its moments."""

    first: tuple[float, ...]
    second: tuple[float, ...]
    steps: int = 0

    @classmethod
    def new(cls, size: int) -> Adam:
        """Before the first step."""
        return cls((0.0,) * size, (0.0,) * size)

    def step(self, gradient: Sequence[float], rate: float) -> tuple[list[float], Adam]:
        """How far to go up the gradient (E), and the state after it."""
        first = tuple(0.9 * m + 0.1 * g for m, g in zip(self.first, gradient, strict=True))
        second = tuple(0.999 * v + 0.001 * g * g for v, g in zip(self.second, gradient, strict=True))
        after = Adam(first, second, self.steps + 1)
        grown, spread = 1 - 0.9**after.steps, 1 - 0.999**after.steps
        moves = [
            rate * (m / grown) / (math.sqrt(v / spread) + 1e-8) for m, v in zip(first, second, strict=True)
        ]
        return moves, after
