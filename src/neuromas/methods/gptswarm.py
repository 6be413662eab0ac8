"""GPTSwarm: a graph of agents whose edges were learned by REINFORCE (arXiv:2402.16823)."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from neuromas.core.episode import Episode, Turn
from neuromas.core.seeds import derive
from neuromas.core.task import Problem
from neuromas.evaluation.heldout import first_problems
from neuromas.methods.base import Bench, Search
from neuromas.methods.dialogue import Ask, Dialogue, Read, Talk
from neuromas.methods.edges import Adam, Draw, Edge, ascent, levels, probabilities, realise
from neuromas.methods.limits import check_choice, check_number, check_temperature, check_whole
from neuromas.methods.searching import Searching, earned, searched, tried
from neuromas.methods.self_consistency import majority

DECISIONS = ("vote", "model")
BASELINES = ("moving", "none")
WINDOW = 10  # batches in the moving baseline
_KEPT = 0.5  # an edge more probable than this stays in the graph that answers

_DRAFT = "Answer the question."
_REFLECT = "Look over the earlier answers for errors and give your own answer."
_WRONG = "Give an answer that sounds right and is wrong."
_DECIDE = "Several agents answered the question. Weigh their answers and decide."


@dataclass(frozen=True)
class Swarm(Dialogue):
    """Agents joined by ``edges``; nodes from which no path leads to the decision do not speak.

    Agent a has the nodes a * steps ... a * steps + steps - 1, each reading the one before it; the decision
    is node agents * steps. The last ``adversaries`` agents are told to answer wrongly.
    """

    agents: int = 5
    steps: int = 2
    adversaries: int = 0
    decision: str = "vote"
    temperature: float = 0.7
    edges: tuple[Edge, ...] = ()

    costs = "nodes that are heard"
    source = "arXiv:2402.16823"

    @property
    def chains(self) -> tuple[Edge, ...]:
        """The edges inside agents, which are always there."""
        nodes = range(self.agents * self.steps)
        return tuple((node, node + 1) for node in nodes if (node + 1) % self.steps)

    @property
    def potential(self) -> tuple[Edge, ...]:
        """Every edge there may be (E): between nodes of different agents, then from each to the decision."""
        goal = self.agents * self.steps
        nodes = range(goal)
        across = [(a, b) for a in nodes for b in nodes if a // self.steps != b // self.steps]
        return (*across, *((node, goal) for node in nodes))

    def calls(self, bench: Bench) -> int:
        """Nodes that are heard, and the decision where the model makes it."""
        order = self._order()
        return sum(map(len, order)) - (1 if self.decision == "vote" and len(order) > 1 else 0)

    def talk(self, problem: Problem, read: Read) -> Talk:
        """Level by level, then a vote or a last message. A decision that hears nobody is the model's own."""
        *before, (goal,) = self._order()
        said: dict[int, Turn] = {}
        for level in before:
            turns = yield [self._ask(node, said) for node in level]
            said |= dict(zip(level, turns, strict=True))
        if before and self.decision == "vote":
            votes = [said[node].text for node in self._sources(goal)]
            return votes[majority([read(vote) for vote in votes]) or 0]
        (last,) = yield [Ask(self._heard(goal, said), _DECIDE if before else _DRAFT, goal)]
        return last.text

    def about(self, bench: Bench) -> dict[str, Any]:
        """The nodes that speak, and the edges between agents and to the decision."""
        return {"nodes": self.calls(bench), "edges": [self.name(edge) for edge in self.edges]}

    def name(self, edge: Edge) -> list[str]:
        """The edge's ends as "agent.step", from 1, or "decision"."""
        return [
            "decision"
            if node == self.agents * self.steps
            else f"{node // self.steps + 1}.{node % self.steps + 1}"
            for node in edge
        ]

    def _order(self) -> list[list[int]]:
        """Who speaks at once, the decision last."""
        return levels((*self.chains, *self.edges), self.agents * self.steps)

    def _sources(self, node: int) -> list[int]:
        """Whom a node reads."""
        return sorted(source for source, target in (*self.chains, *self.edges) if target == node)

    def _heard(self, node: int, said: dict[int, Turn]) -> tuple[str, ...]:
        """What a node reads, a line each."""
        own = None if node == self.agents * self.steps else node // self.steps
        lines = ((source // self.steps, said[source].text) for source in self._sources(node))
        return tuple(f"{'You' if who == own else f'Agent {who + 1}'}: {text}" for who, text in lines)

    def _ask(self, node: int, said: dict[int, Turn]) -> Ask:
        """A node's message; where it may be voted for it is an answer."""
        heard, agent = self._heard(node, said), node // self.steps
        duty = _REFLECT if node % self.steps else _DRAFT
        told = _WRONG if agent >= self.agents - self.adversaries else duty
        return Ask(heard, told, node, final=self.decision == "vote")


@dataclass(frozen=True)
class GPTSwarm(Searching):
    """Which agent reads whom is learned on training problems: ascent of E[reward] by REINFORCE over edges.

    Each of ``iterations`` steps draws ``batch`` graphs (see ``edges``), each for one of the first ``items``
    training problems, and moves the logits by Adam at ``rate`` up the mean of (reward - baseline) * d log P.
    The graph that answers keeps the edges whose probability came out above one half. The original took 200
    iterations of 4 graphs at rate 0.1 with no baseline, agents of one step, and a vote.

    ``baseline`` "moving" is the mean reward of the last 10 batches before this one (at the first, its own).
    ``decision`` "vote" is the majority of those that the decision hears, "model" one message more.
    """

    agents: int = 5
    steps: int = 2
    adversaries: int = 0
    decision: str = "vote"
    temperature: float = 0.7
    iterations: int = 20
    batch: int = 4
    items: int = 32
    rate: float = 0.1
    start: float = 0.5
    baseline: str = "moving"

    costs = "up to agents * steps + 1"
    source = "arXiv:2402.16823"
    differs = (
        "edges alone are learned, not the prompts of nodes; no tools, web search or tree-of-thought agents; "
        "a moving baseline; iterations * batch graphs, 80 by default, where the original draws 800; in the "
        "plain style a message is one line; only nodes from which a path leads to the decision are asked, "
        "and where it hears nobody the model is asked itself"
    )

    def __post_init__(self) -> None:
        check_whole("gptswarm", "agents", self.agents, 1, 20)
        check_whole("gptswarm", "steps", self.steps, 1, 5)
        check_whole("gptswarm", "adversaries", self.adversaries, 0, self.agents)
        check_whole("gptswarm", "iterations", self.iterations, 0, 10_000)
        check_whole("gptswarm", "batch", self.batch, 1, 1000)
        check_whole("gptswarm", "items", self.items, 1, 100_000)
        check_temperature("gptswarm", self.temperature)
        check_number("gptswarm", "rate", self.rate, 0.0, 10.0)
        check_number("gptswarm", "start", self.start, 0.001, 0.999)
        check_choice("gptswarm", "decision", self.decision, DECISIONS)
        check_choice("gptswarm", "baseline", self.baseline, BASELINES)

    def calls(self, bench: Bench) -> int:
        """With every node heard."""
        return self.agents * self.steps + (self.decision == "model")

    def swarm(self, edges: tuple[Edge, ...] = ()) -> Swarm:
        """The agents with these edges."""
        return Swarm(self.agents, self.steps, self.adversaries, self.decision, self.temperature, edges)

    def prepare(self, bench: Bench) -> Search:
        """See ``Method.prepare``. ``found``: kept edges, all probabilities, rewards of the batches."""
        problems, bare = first_problems(bench.task, "train", self.items), self.swarm()
        logits = [math.log(self.start / (1.0 - self.start))] * len(bare.potential)
        adam, played, rewards = Adam.new(len(logits)), list[Episode](), list[float]()
        for iteration in range(self.iterations):
            draws = [self._draw(bench, logits, iteration, place) for place in range(self.batch)]
            numbers = range(iteration * self.batch, (iteration + 1) * self.batch)
            episodes = tried(
                bench,
                [
                    (self.swarm(_edges(bare, draw)), problems[number % len(problems)], number)
                    for draw, number in zip(draws, numbers, strict=True)
                ],
            )
            played += episodes
            gradient = self._gradient(draws, episodes, rewards, logits)
            moves, adam = adam.step(gradient, self.rate)
            logits = [logit + move for logit, move in zip(logits, moves, strict=True)]
            rewards.append(earned(episodes))
        chances = probabilities(logits)
        best = realise(bare.potential, bare.chains, lambda edge: chances[edge] > _KEPT)
        swarm = self.swarm(_edges(bare, best))
        found = {
            "edges": [
                [*bare.name(edge), chance]
                for edge, chance, kept in zip(bare.potential, chances, best, strict=True)
                if kept
            ],
            "probabilities": [
                [*bare.name(edge), chance] for edge, chance in zip(bare.potential, chances, strict=True)
            ],
            "rewards": rewards,
        }
        return searched(swarm, found, played)

    def _draw(self, bench: Bench, logits: Sequence[float], iteration: int, place: int) -> Draw:
        """One graph."""
        chance, bare = probabilities(logits), self.swarm()
        rng = random.Random(derive(bench.seed, "gptswarm", iteration, place))
        return realise(bare.potential, bare.chains, lambda edge: rng.random() < chance[edge])

    def _gradient(
        self,
        draws: Sequence[Draw],
        episodes: Sequence[Episode],
        rewards: Sequence[float],
        logits: Sequence[float],
    ) -> list[float]:
        """Of the expected reward; graphs whose question could not be asked take no part.

        The first batch's own mean as its baseline makes the estimate (batch - 1) / batch as long.
        """
        before = rewards[-WINDOW:] or [earned(episodes)]
        base = sum(before) / len(before) if self.baseline == "moving" else 0.0
        asked = [
            (draw, one.score.value - base)
            for draw, one in zip(draws, episodes, strict=True)
            if one.score is not None
        ]
        return ascent([draw for draw, _ in asked], [advantage for _, advantage in asked], logits)


def _edges(swarm: Swarm, draw: Draw) -> tuple[Edge, ...]:
    """The potential edges that were kept."""
    return tuple(edge for edge, kept in zip(swarm.potential, draw, strict=True) if kept)
