"""A toy task and helpers shared by the tests of rollouts and of learning. No torch here."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from neuromas.core.task import Problem, Score
from neuromas.system.network import Network, assign
from neuromas.topology.graph import Topology


class ToyTask:
    """Scores by a function of problem and text; a number it returns is a value with parsed text."""

    name = "toy"
    answer_format = "any text"

    def __init__(self, judge: Callable[[Problem, str], float | Score] = lambda problem, text: 1.0) -> None:
        self.judge = judge

    def size(self, split):
        return None

    def problem(self, split, index):
        return Problem(f"{split}-{index}", f"Say {index}.", str(index))

    def score(self, problem, text):
        verdict = self.judge(problem, text)
        return verdict if isinstance(verdict, Score) else Score(verdict, text or None)


def problems(count: int) -> list[Problem]:
    """``count`` problems p0, p1, ... with different questions."""
    return [Problem(f"p{i}", f"Question number {i}?", str(i)) for i in range(count)]


def network(engine, topology: Topology | str, share: str = "node", **limits) -> Network:
    """A network over ``engine``; ``topology`` may be widths."""
    graph = Topology.parse(topology) if isinstance(topology, str) else topology
    return Network(graph, engine, assign(graph, share), **limits)


def lines(prompt: str, start: str = "Node ") -> Sequence[str]:
    """The message lines of a plain prompt."""
    return [line for line in prompt.splitlines() if line.startswith(start)]
