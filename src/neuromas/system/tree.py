"""A tree of messages for every problem: what a layer writes is followed by several writings of the next."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from neuromas.core.episode import Episode, Turn
from neuromas.core.errors import PromptError
from neuromas.core.task import Problem, Task
from neuromas.system.network import Network
from neuromas.system.rollout import Pass, Sampling, play


@dataclass(frozen=True, slots=True)
class Tree:
    """The ``branches ** len(layers)`` leaves of one problem's tree, each an episode, siblings side by side.

    A level is a layer, whose nodes write together; ``layers`` has their rows.
    """

    leaves: tuple[Episode, ...]
    branches: int
    layers: tuple[tuple[int, ...], ...]

    def turn(self, level: int, node: int, place: int) -> Turn | None:
        """A node's message at a place of its level (both from 0), None if the pass had failed before it."""
        turns = self.leaves[place * self.branches ** (len(self.layers) - 1 - level)].turns
        return turns[node] if len(turns) > node else None

    @property
    def turns(self) -> list[Turn]:
        """Every message once, level by level."""
        found = [
            self.turn(level, node, place)
            for level, layer in enumerate(self.layers)
            for place in range(self.branches ** (level + 1))
            for node in layer
        ]
        return [turn for turn in found if turn is not None]


def trees(
    network: Network, task: Task, problems: Sequence[Problem], branches: int, sampling: Sampling
) -> list[Tree]:
    """A tree for every problem, each level of all of them in one batch.

    Branches see the same gates and views. Raises PromptError if no problem at all can be asked.
    """
    seen: Counter[str] = Counter()
    passes: list[Pass] = []
    for problem in problems:  # a problem met again is drawn anew
        passes.append(Pass(problem, seen[problem.id]))
        seen[problem.id] += 1
    leaves = play(network, task, passes, sampling, branches)
    if leaves and all(leaf.score is None for leaf in leaves):
        raise PromptError(str(leaves[0].failure))
    layers = tuple(map(tuple, network.topology.layers()))
    many = branches ** len(layers)
    return [
        Tree(tuple(leaves[first : first + many]), branches, layers) for first in range(0, len(leaves), many)
    ]
