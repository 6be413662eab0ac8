"""A toy task and helpers shared by the tests of rollouts and of learning. No torch here."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from neuromas.core.task import Problem, Score
from neuromas.engines.scripted import ScriptedEngine
from neuromas.methods.base import Allowance, Bench
from neuromas.system.network import Network, assign
from neuromas.topology.graph import Topology


class ToyTask:
    """Scores by a function of problem and text; a number it returns is a value with parsed text."""

    name = "toy"
    answer_format = "any text"

    def __init__(self, judge: Callable[[Problem, str], float | Score] = lambda problem, text: 1.0) -> None:
        self.rule = judge  # a task with a method judge would be asked about whole episodes

    def size(self, split):
        return None

    def problem(self, split, index):
        return Problem(f"{split}-{index}", f"Say {index}.", str(index))

    def score(self, problem, text):
        verdict = self.rule(problem, text)
        return verdict if isinstance(verdict, Score) else Score(verdict, text or None)


def problems(count: int) -> list[Problem]:
    """``count`` problems p0, p1, ... with different questions."""
    return [Problem(f"p{i}", f"Question number {i}?", str(i)) for i in range(count)]


def network(engine, topology: Topology | str, share: str = "node", **limits) -> Network:
    """A network over ``engine``; ``topology`` may be widths."""
    graph = Topology.parse(topology) if isinstance(topology, str) else topology
    return Network(graph, engine, assign(graph, share), **limits)


def right(problem: Problem, text: str) -> Score:
    """1 for the gold answer; only digits are understood."""
    return Score(float(text == problem.answer), text if text.isdigit() else None)


def at(script, task=None, style="plain", shape="2-1", **allowance) -> Bench:
    """A bench over a scripted engine; row 9 is the frozen model."""
    engine = script if isinstance(script, ScriptedEngine) else ScriptedEngine(script)
    net = network(engine, shape, style=style)
    return Bench(net, task or ToyTask(right), 9, 123, Allowance(**allowance), seed=3)


def lines(prompt: str, start: str = "Node ") -> Sequence[str]:
    """The message lines of a plain prompt."""
    return [line for line in prompt.splitlines() if line.startswith(start)]


OWN_METHOD = '''
"""Multi-agent debate (arXiv:2305.14325), as a stranger would write it."""

from dataclasses import dataclass

from neuromas.methods.dialogue import Ask, Dialogue
from neuromas.methods.self_consistency import majority


@dataclass(frozen=True)
class Debate(Dialogue):
    """Agents answer, read each other, answer again; the majority of the last round counts."""

    agents: int = 3
    rounds: int = 2
    temperature: float = 0.7

    costs = "agents times rounds"
    source = "arXiv:2305.14325"

    def calls(self, bench):
        return self.agents * self.rounds

    def talk(self, problem, read):
        turns = yield [Ask(instruction="Think.", speaker=k) for k in range(self.agents)]
        for _ in range(1, self.rounds):
            others = [
                tuple(f"Agent {j + 1}: {turn.text}" for j, turn in enumerate(turns) if j != k)
                for k in range(self.agents)
            ]
            turns = yield [Ask(shown, "Think again.", k) for k, shown in enumerate(others)]
        return turns[majority([read(turn.text) for turn in turns]) or 0].text


class NoMethod:
    pass
'''


def vote(net, task, split, count, *, votes, temperature, seed=0):
    """Self-consistency of a network on held-out problems, without a model beneath it."""
    from neuromas.methods.running import evaluate_method
    from neuromas.methods.self_consistency import SelfConsistency

    where = Bench(net, task, frozen=-1, parameters=0, allowance=Allowance(), seed=seed)
    return evaluate_method("self-consistency", SelfConsistency(votes, temperature), where, split, count)
