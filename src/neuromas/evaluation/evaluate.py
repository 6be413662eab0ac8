"""Greedy evaluation: one answer for each item, what it cost, and how sure we may be of the mean."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from neuromas.core.episode import Episode
from neuromas.core.errors import ConfigError, TaskError
from neuromas.core.task import Problem, Split, Task
from neuromas.statistics import bootstrap_mean, wilson
from neuromas.system.network import Network
from neuromas.system.rollout import Sampling, rollout
from neuromas.tasks.cheats import best_constant
from neuromas.tasks.formulas import canonical


@dataclass(frozen=True, slots=True)
class Item:
    """What happened on one problem; a line of the per-item file.

    ``failure`` is the cause if the rollout failed: ``score`` is 0 where the network itself caused it, and
    None where the question could not be asked.
    """

    id: str
    question: str
    gold: str
    answer: str
    parsed: str | None
    score: float | None
    messages: tuple[str, ...]
    message_tokens: tuple[int, ...]
    truncated: tuple[bool, ...]
    prompt_tokens: int
    new_tokens: int
    failure: str | None
    first_option: float | None


@dataclass(frozen=True, slots=True, repr=False)
class Evaluation:
    """All items, their summary as plain data, and by item what every node that spoke had read.

    Prompts are there where messages were left as they are and one pass answered.
    """

    items: tuple[Item, ...]
    summary: dict[str, Any]
    prompts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def __repr__(self) -> str:
        accuracy, interval = self.summary["accuracy"], self.summary["interval"]
        if accuracy is None or interval is None:
            return f"Evaluation({len(self.items)} items, nothing scored)"
        low, high = 100 * interval["low"], 100 * interval["high"]
        return f"Evaluation({100 * accuracy:.1f} % [{low:.1f}, {high:.1f}] of {len(self.items)} items)"


def evaluate(
    network: Network, task: Task, split: Split, count: int, *, seed: int = 0, intervention: str = "none"
) -> Evaluation:
    """Greedy answers of the network to the first ``count`` problems of a split.

    ``intervention`` is that of ``rollout.Sampling``. Raises TaskError if the split is empty.
    """
    problems = _problems(task, split, count)
    episodes = rollout(network, task, problems, 1, Sampling(0.0, seed, intervention))
    items = tuple(_item(task, episode) for episode in episodes)
    summary = {"split": split, "intervention": intervention, "nodes": len(network.topology.nodes)}
    summary |= _identity(problems)
    prompts = _prompts(network, episodes) if intervention == "none" else {}
    return Evaluation(items, summary | summarise(items) | _majority(task, problems), prompts)


def _prompts(network: Network, episodes: Sequence[Episode]) -> dict[str, tuple[str, ...]]:
    """What every node read, as text without control tokens."""
    decode = network.engine.codec.decode
    return {
        episode.problem.id: tuple(decode(turn.prefix_ids + turn.suffix_ids) for turn in episode.turns)
        for episode in episodes
    }


def vote(
    network: Network, task: Task, split: Split, count: int, *, votes: int, temperature: float, seed: int = 0
) -> Evaluation:
    """``votes`` independently sampled passes of one network a problem; the most frequent answer counts.

    Answers that cannot be parsed are no votes, a tie goes to the answer that came first, and the text
    first given for it is scored. An item's messages, tokens and calls are those of all its passes.
    Raises ConfigError where several passes at temperature 0 could only agree.
    """
    if votes < 1 or not 0.0 <= temperature <= 10.0 or (temperature == 0.0 and votes > 1):
        raise ConfigError(
            f"{votes} votes at temperature {temperature}: needs at least 1 vote, and a temperature above 0 "
            "up to 10 for passes to differ"
        )
    problems = _problems(task, split, count)
    episodes = rollout(network, task, problems, votes, Sampling(temperature, seed))
    groups = [episodes[place : place + votes] for place in range(0, len(episodes), votes)]
    items = tuple(_elected(task, group) for group in groups)
    summary = {"split": split, "intervention": "none", "nodes": len(network.topology.nodes)}
    summary |= _identity(problems)
    voting = {"votes": votes, "temperature": temperature}
    return Evaluation(items, summary | voting | summarise(items) | _majority(task, problems))


def _problems(task: Task, split: Split, count: int) -> list[Problem]:
    """The first ``count`` problems of a split. Raises TaskError if there are none."""
    size = task.size(split)
    problems = [task.problem(split, i) for i in range(count if size is None else min(count, size))]
    if not problems:
        raise TaskError(f"task {task.name!r} has no {split} problems")
    return problems


def _identity(problems: Sequence[Problem]) -> dict[str, Any]:
    """What was asked: a digest of the questions and their gold answers in order."""
    asked = json.dumps([(problem.id, problem.question, problem.answer) for problem in problems])
    return {"data": {"digest": hashlib.sha256(asked.encode()).hexdigest()[:16]}}


def _elected(task: Task, group: Sequence[Episode]) -> Item:
    """The item of the pass that first gave the most frequent answer, with the cost of all passes.

    Numbers are one answer in any writing ("1,000", "$1000"); the most frequent writing of it is scored.
    """
    items = [_item(task, episode) for episode in group]
    said = [item.parsed for item in items if item.parsed is not None]
    votes, writings = Counter(map(canonical, said)), Counter(said)
    if said:  # max: of equals the first
        winner = canonical(max(said, key=lambda answer: votes[canonical(answer)]))
        writing = max((answer for answer in said if canonical(answer) == winner), key=writings.__getitem__)
        chosen = next(item for item in items if item.parsed == writing)
    else:
        chosen = next((item for item in items if item.failure is None), items[0])
    return replace(
        chosen,
        messages=tuple(text for item in items for text in item.messages),
        message_tokens=tuple(count for item in items for count in item.message_tokens),
        truncated=tuple(cut for item in items for cut in item.truncated),
        prompt_tokens=sum(item.prompt_tokens for item in items),
        new_tokens=sum(item.new_tokens for item in items),
    )


def _item(task: Task, episode: Episode) -> Item:
    """An episode as a line of the per-item file."""
    problem, score = episode.problem, episode.score
    return Item(
        id=problem.id,
        question=problem.question,
        gold=problem.answer,
        answer=episode.answer,
        parsed=None if score is None else score.parsed,
        score=None if score is None else score.value,
        messages=tuple(turn.text for turn in episode.turns),
        message_tokens=tuple(len(turn.ids) for turn in episode.turns),
        truncated=tuple(turn.truncated for turn in episode.turns),
        prompt_tokens=episode.prompt_tokens,
        new_tokens=episode.new_tokens,
        failure=episode.failure,
        first_option=_first_option(task, problem),
    )


def _first_option(task: Task, problem: Problem) -> float | None:
    """What always answering the first option would earn; None where there are no options."""
    return task.score(problem, "A").value if problem.choices else None


def _majority(task: Task, problems: Sequence[Problem]) -> dict[str, Any]:
    """What the best constant answer, or the question given back, earns on these very problems.

    Found by scoring, so that a scorer which pays too easily shows here: a bar for every network.
    """
    best = best_constant(task, problems)
    answer = best.text if best.name == "constant" else f"({best.name})"
    return {"majority": {"answer": answer, "accuracy": best.earned}}


def summarise(items: Sequence[Item]) -> dict[str, Any]:
    """Accuracy with a 95 % interval (Wilson if every score is 0 or 1, else bootstrap), and the rest.

    ``failed`` counts rollouts that failed, with their ``causes``; ``unasked`` ones could not be asked and
    take no part in the mean, what the network made fail is wrong.
    """
    scores = [item.score for item in items if item.score is not None]
    binary = all(score in (0.0, 1.0) for score in scores)
    interval = wilson(round(sum(scores)), len(scores)) if binary and scores else bootstrap_mean(scores)
    options = [item.first_option for item in items if item.first_option is not None]
    labels = Counter("(none)" if item.parsed is None else item.parsed for item in items)
    nodes = max(len(item.messages) for item in items)
    return {
        "items": len(items),
        "failed": sum(item.failure is not None for item in items),
        "unasked": len(items) - len(scores),
        "causes": _causes([item.failure for item in items if item.failure]),
        "accuracy": sum(scores) / len(scores) if scores else None,
        "interval": None if interval is None else asdict(interval),
        "first_option": sum(options) / len(options) if options else None,
        "parse_failures": sum(i.parsed is None and i.score is not None for i in items) / max(1, len(scores)),
        "labels": dict(labels.most_common(10)),
        "calls": sum(len(item.messages) for item in items) / len(items),
        "prompt_tokens": sum(item.prompt_tokens for item in items) / len(items),
        "new_tokens": sum(item.new_tokens for item in items) / len(items),
        "message_tokens": [_mean_at(items, n, "message_tokens") for n in range(nodes)],
        "truncated": [_mean_at(items, n, "truncated") for n in range(nodes)],
    }


def _causes(failures: Sequence[str]) -> dict[str, int]:
    """The most frequent causes and how often; those that differ in a number alone count as the first."""
    kinds = [re.sub(r"[0-9]+", "0", failure) for failure in failures]
    return {failures[kinds.index(kind)]: count for kind, count in Counter(kinds).most_common(5)}


def _mean_at(items: Sequence[Item], node: int, name: str) -> float:
    """Mean of a per-node value over the items in which the node spoke."""
    values = [float(getattr(i, name)[node]) for i in items if len(i.messages) > node]
    return sum(values) / max(1, len(values))
