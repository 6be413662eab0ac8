"""Whether nodes do their local steps: their messages beside the right local answers (``meta["local"]``).

Nobody is trained on or shown these answers; they say afterwards where a network's errors begin. A node stands
for the entry of the level with as many entries as its layer has nodes, also of a level inside the parts
(``meta["inside"]``): four leaves that read two halves, or the whole, stand for four steps. The nodes of a
chain stand for the parts in their order, the output node for the answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from neuromas.core.episode import Episode
from neuromas.core.errors import RunError, TaskError
from neuromas.core.task import SPLITS, Problem
from neuromas.evaluation.heldout import first_problems
from neuromas.statistics import wilson
from neuromas.storage import Run
from neuromas.tasks.cheats import is_gold
from neuromas.theory.law import Cell, Counted
from neuromas.topology.graph import Topology

Levels = tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class NodeAnswers:
    """What one node wrote. ``place`` is (level, entry) of its answer, both from 0; None where it has none.

    ``right`` counts messages that are its right local answer, ``given`` the same among those where all that
    it read was right (of a leaf: all). ``wrote[j]`` counts messages with the answer of entry j of its level:
    for another's, among problems where that differs from its own.
    """

    name: str
    place: tuple[int, int] | None
    right: Counted
    given: Counted
    wrote: tuple[Counted, ...]

    @property
    def stray(self) -> int | None:
        """The entry whose answer it writes most often, if that is another's; None if it is its own."""
        if self.place is None or not self.wrote:
            return None
        own, shares = self.place[1], [one.share or 0.0 for one in self.wrote]
        best = max(range(len(shares)), key=lambda entry: (shares[entry], entry == own))
        return None if best == own else best


@dataclass(frozen=True, slots=True)
class LocalAnswers:
    """The nodes of a network on problems whose local answers are known; ``accuracy`` is the answer's."""

    nodes: tuple[NodeAnswers, ...]
    accuracy: Counted

    def cell(self, name: str, depth: int) -> Cell:
        """The same for ``theory.law``: every node's share given that all it read was right."""
        return Cell(name, depth, self.accuracy, tuple(node.given for node in self.nodes))

    def facts(self) -> dict[str, Any]:
        """As plain data: shares with 95 % intervals (Wilson), places counted from 1."""
        return {"accuracy": _share(self.accuracy), "nodes": [_facts(node) for node in self.nodes]}


def levels_of(problem: Problem) -> tuple[Levels, int]:
    """The right local answers of a problem by level, and which level is that of its parts.

    Raises TaskError if it has none.
    """
    found, inside = problem.meta.get("local"), problem.meta.get("inside", ())
    if not found:
        raise TaskError(f"problem {problem.id!r} has no known local answers (meta['local'])")
    return tuple(tuple(str(one) for one in level) for level in (*inside, *found)), len(inside)


def place_of(topology: Topology, node: int, levels: Levels, parts: int = 0) -> tuple[int, int] | None:
    """Level and entry of a node's answer, both from 0; None where none is known for its place.

    ``parts`` is the level of the parts.
    """
    if node == topology.sink:
        return len(levels) - 1, 0
    spec = topology.nodes[node]
    if len(topology.layers()) == len(topology.nodes) == len(levels[parts]):  # a chain, one part a node
        return parts, spec.layer - 1
    fitting = [number for number, level in enumerate(levels) if len(level) == spec.width]
    return (fitting[0], spec.index - 1) if fitting else None


def local_answers(
    topology: Topology,
    problems: Sequence[Problem],
    messages: Sequence[Sequence[str]],
    scores: Sequence[float | None],
) -> LocalAnswers:
    """Count them over an evaluation: per problem its messages in node order, and its score.

    A message that is missing (the pass failed before) is wrong; a problem without a score was never asked
    and is left out. Raises TaskError for a problem without local answers, or if numbers do not agree.
    """
    if not len(problems) == len(messages) == len(scores):
        raise TaskError(f"{len(problems)} problems, {len(messages)} items and {len(scores)} scores")
    asked = [
        (problem, *levels_of(problem), tuple(said))
        for problem, said, score in zip(problems, messages, scores, strict=True)
        if score is not None
    ]
    rows = range(len(topology.nodes))
    done = [_right(topology, *one) for one in asked]
    nodes = []
    for node in rows:
        sources = [edge.source for edge in topology.incoming(node)]
        judged = [row for row in done if row[node] is not None]
        fair = [row for row in judged if all(row[source] for source in sources)]
        place = place_of(topology, node, *asked[0][1:3]) if asked else None
        nodes.append(
            NodeAnswers(
                topology.nodes[node].name,
                place,
                Counted(sum(bool(row[node]) for row in judged), len(judged)),
                Counted(sum(bool(row[node]) for row in fair), len(fair)),
                () if place is None else _wrote(topology, node, asked),
            )
        )
    right = sum(score == 1.0 for score in scores)
    return LocalAnswers(tuple(nodes), Counted(right, len(asked)))


def local_shares(topology: Topology, episodes: Sequence[Episode]) -> dict[str, Any]:
    """``local``: of every node how often its message was right, and of those given right messages; for pages.

    Nothing where a problem's local answers are not known, or no node's place is.
    """
    problems = [episode.problem for episode in episodes]
    if not problems or not all(problem.meta.get("local") for problem in problems):
        return {}
    messages = [[turn.text for turn in episode.turns] for episode in episodes]
    scores = [None if episode.score is None else episode.score.value for episode in episodes]
    try:
        found = local_answers(topology, problems, messages, scores)
    except (TaskError, TypeError, ValueError):  # a task's own, of another form: the evaluation stands
        return {}
    told = [one for one in found.nodes if one.place is not None and one.right.of]
    return {"local": [_short(one) for one in told]} if told else {}


def of_evaluation(run: Run, name: str) -> LocalAnswers:
    """The local answers of an evaluation that lies in a run, from its task drawn anew.

    Raises RunError for what is not there or was not this task's, TaskError where local answers are not known,
    and as ``read_saved`` for a network from elsewhere.
    """
    from neuromas.system.saving import read_saved  # with torch, which a list of methods does without

    summary, items = run.evaluation(name)
    where = f"evaluation {name} of {run.path}"
    saved, split = read_saved(run.handed_on), summary.get("split")
    if not items or split not in SPLITS:
        raise RunError(f"{where} has no items, or names no split")
    problems = first_problems(saved.task, split, len(items))  # of no other task: a file chooses no code
    drawn = [(problem.id, problem.question, problem.answer) for problem in problems]
    if [(one["id"], one["question"], one["gold"]) for one in items] != drawn:
        raise RunError(f"{where} is not of the problems that the run's task draws")
    nodes, spoken = len(saved.topology.nodes), max(len(one["messages"]) for one in items)
    if spoken > nodes:
        raise RunError(f"{where} is of {spoken} nodes, its network has {nodes}")
    messages = [one["messages"] for one in items]
    return local_answers(saved.topology, problems, messages, [one["score"] for one in items])


def _right(
    topology: Topology, problem: Problem, levels: Levels, parts: int, said: Sequence[str]
) -> tuple[bool | None, ...]:
    """Of every node whether its message is its right local answer; None where that is not known."""
    found: list[bool | None] = []
    for node in range(len(topology.nodes)):
        place = place_of(topology, node, levels, parts)
        known = place is not None and place[1] < len(levels[place[0]])
        found.append(_same(problem, levels[place[0]][place[1]], _at(said, node)) if known and place else None)
    return tuple(found)


def _wrote(
    topology: Topology, node: int, asked: Sequence[tuple[Problem, Levels, int, tuple[str, ...]]]
) -> tuple[Counted, ...]:
    """How often the node wrote the answer of each entry of its level, where its place is known."""
    rows = []
    for problem, levels, parts, said in asked:
        place = place_of(topology, node, levels, parts)
        if place is not None:
            rows.append((problem, levels[place[0]], place[1], _at(said, node)))
    found = []
    for entry in range(min(len(level) for _, level, _, _ in rows)):
        fair = [row for row in rows if entry == row[2] or row[1][entry] != row[1][row[2]]]
        hits = sum(_same(problem, level[entry], said) for problem, level, _, said in fair)
        found.append(Counted(hits, len(fair)))
    return tuple(found)


def _same(problem: Problem, gold: str, said: str) -> bool:
    """Whether a message is an answer, by any writing of it; the whole message, not a part."""
    return is_gold(Problem(problem.id, "", gold), said)


def _at(said: Sequence[str], node: int) -> str:
    return said[node] if node < len(said) else ""


def _facts(node: NodeAnswers) -> dict[str, Any]:
    return {
        "node": node.name,
        "level": None if node.place is None else node.place[0] + 1,
        "entry": None if node.place is None else node.place[1] + 1,
        "right": _share(node.right),
        "given": _share(node.given),
        "wrote": [_share(one) for one in node.wrote],
        "stray": None if node.stray is None else node.stray + 1,
    }


def _short(node: NodeAnswers) -> dict[str, Any]:
    return {"node": node.name, "right": _share(node.right), "given": _share(node.given)}


def _share(counted: Counted) -> dict[str, Any]:
    """Share, counts and interval; the share is None of no items."""
    interval = wilson(counted.right, counted.of)
    ends = {"low": interval.low, "high": interval.high} if counted.of else {"low": None, "high": None}
    return {"share": counted.share, "right": counted.right, "of": counted.of, **ends}
