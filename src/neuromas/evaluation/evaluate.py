"""Greedy evaluation: one answer for each item, what it cost, and how sure we may be of the mean."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from neuromas.core.choices import TOLD
from neuromas.core.episode import Episode
from neuromas.core.errors import ConfigError, unknown
from neuromas.core.task import Problem, Split, Task
from neuromas.evaluation.heldout import about_network, first_problems
from neuromas.evaluation.local import local_shares
from neuromas.prompts.codec import Codec
from neuromas.statistics import bootstrap_mean, wilson
from neuromas.system.network import Network
from neuromas.system.rollout import Sampling, rollout
from neuromas.tasks.cheats import best_constant
from neuromas.topology.places import speaker_rows, swapped


@dataclass(frozen=True, slots=True)
class Item:
    """What happened on one problem; a line of the per-item file.

    ``failure`` is the cause if the rollout failed: ``score`` is 0 where the network itself caused it, and
    None where the question could not be asked. ``score`` is what the task itself says of the answer; where
    reward functions make the reward, ``reward`` is that and ``rewards`` has each of them. ``outputs`` is by
    node what the programs of its messages printed, None where none was run.
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
    reward: float | None = None
    rewards: dict[str, float] | None = None
    outputs: tuple[str | None, ...] | None = None

    def line(self) -> dict[str, Any]:
        """As it is written; without ``outputs`` where there are none, as before there were tools."""
        return {key: value for key, value in asdict(self).items() if key != "outputs" or value is not None}


@dataclass(frozen=True, slots=True, repr=False)
class Evaluation:
    """All items, their summary as plain data, and by item what every node that spoke had read.

    Prompts are there where messages were left as they are.
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
    network: Network,
    task: Task,
    split: Split,
    count: int,
    *,
    intervention: str = "none",
    positions: str = "own",
    nodes: Sequence[str] | None = None,
) -> Evaluation:
    """Greedy answers of the network to the first ``count`` problems of a split.

    ``intervention`` is that of ``rollout.Sampling``. With ``positions = "swapped"`` every node is told the
    position of another of its layer (``topology.places.swapped``): what follows the number, and what the
    adapter? ``nodes`` are the names of those whose messages are altered (None: all); the summary then has
    them as ``altered``, and as ``heard`` in how many items such a message could reach the output. Raises
    TaskError if the split is empty, ConfigError for positions or nodes that there are not.
    """
    if positions not in TOLD:
        raise ConfigError(unknown("positions", positions, TOLD))
    rows = None if nodes is None else altered_rows(network, intervention, nodes)
    told = {} if positions == "own" else {"positions": positions}
    if told:
        network = replace(network, topology=swapped(network.topology))
    problems = first_problems(task, split, count)
    episodes = rollout(network, task, problems, 1, Sampling(0.0, 0, intervention, rows))
    summary = {"split": split, "intervention": intervention, **told} | about_network(network)
    if rows is not None:
        summary["altered"] = [network.topology.nodes[row].name for row in sorted(rows)]
        summary["heard"] = sum(any(t.heard for t in one.turns if t.node in rows) for one in episodes)
    whole = intervention == "none" and not told
    if whole and split == "test":
        summary |= local_shares(network.topology, episodes)
    return evaluation(task, episodes, summary, network.engine.codec if intervention == "none" else None)


def altered_rows(network: Network, intervention: str, nodes: Sequence[str]) -> frozenset[int]:
    """The rows of the nodes whose messages are altered; one may be named by its text alone.

    Raises ConfigError where no message is altered, or a node is not one that somebody reads.
    """
    if intervention == "none":
        raise ConfigError("nodes are those whose messages are altered: they need messages blank or shuffle")
    return frozenset(speaker_rows(network.topology, [nodes] if isinstance(nodes, str) else nodes))


def evaluation(
    task: Task, episodes: Sequence[Episode], summary: Mapping[str, Any], codec: Codec | None = None
) -> Evaluation:
    """Items and statistics of answers, whoever gave them: one episode a problem, with all its turns.

    ``summary`` is what else is to be said of them; ``codec`` reads their prompts, where these are kept.
    """
    problems = [episode.problem for episode in episodes]
    items = tuple(_item(task, episode) for episode in episodes)
    prompts = {} if codec is None else _prompts(codec, episodes)
    said = {**summary, **_identity(problems), **summarise(items), **_majority(task, problems)}
    said |= _endpoint(episodes)
    return Evaluation(items, said, prompts)


def _endpoint(episodes: Sequence[Episode]) -> dict[str, Any]:
    """What an endpoint said of its messages, where one wrote: how many, of which model and build, how ended.

    ``counted`` are those of whose tokens it gave a count; ``missing`` problems got no answer of it.
    """
    receipts = [turn.receipt for one in episodes for turn in one.turns if turn.receipt is not None]
    missing = sum(one.missing for one in episodes)
    if not receipts and not missing:
        return {}
    facts: dict[str, Any] = {
        "messages": len(receipts),
        "counted": sum(one.read is not None and one.wrote is not None for one in receipts),
        "missing": missing,
    }
    for key, name in (("models", "model"), ("fingerprints", "fingerprint"), ("endings", "finish")):
        facts[key] = dict(Counter(getattr(one, name) for one in receipts).most_common(10))
    return {"endpoint": facts}


def _prompts(codec: Codec, episodes: Sequence[Episode]) -> dict[str, tuple[str, ...]]:
    """What every node read, as text without control tokens."""
    return {
        one.problem.id: tuple(codec.decode(turn.prefix_ids + turn.suffix_ids) for turn in one.turns)
        for one in episodes
    }


def _identity(problems: Sequence[Problem]) -> dict[str, Any]:
    """What was asked: a digest of the questions and their gold answers in order."""
    asked = json.dumps([(problem.id, problem.question, problem.answer) for problem in problems])
    return {"data": {"digest": hashlib.sha256(asked.encode()).hexdigest()[:16]}}


def _item(task: Task, episode: Episode) -> Item:
    """An episode as a line of the per-item file."""
    problem, score = episode.problem, episode.score
    return Item(
        id=problem.id,
        question=problem.question,
        gold=problem.answer,
        answer=episode.answer,
        parsed=None if score is None else score.parsed,
        score=None if score is None else score.accuracy,
        messages=tuple(turn.text for turn in episode.turns),
        message_tokens=tuple(len(turn.ids) for turn in episode.turns),
        truncated=tuple(turn.truncated for turn in episode.turns),
        prompt_tokens=episode.prompt_tokens,
        new_tokens=episode.new_tokens,
        failure=episode.failure,
        first_option=_first_option(task, problem),
        reward=score.value if score is not None and score.rewards else None,
        rewards=dict(score.rewards) if score is not None and score.rewards else None,
        outputs=tuple(turn.output for turn in episode.turns) if episode.tool_calls else None,
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
        **_tool_calls(items),
        **_rewards(items),
    }


def _tool_calls(items: Sequence[Item]) -> dict[str, Any]:
    """Programs that were run for a question, where there were any."""
    calls = sum(output is not None for item in items for output in item.outputs or ())
    return {"tool_calls": calls / len(items)} if calls else {}


def _rewards(items: Sequence[Item]) -> dict[str, Any]:
    """Mean reward and mean of each reward function, where there are such; what failed has earned 0."""
    names = next((list(item.rewards) for item in items if item.rewards), [])
    known = [item for item in items if item.score is not None]
    if not names:
        return {}
    means = {name: sum((i.rewards or {}).get(name, 0.0) for i in known) / len(known) for name in names}
    return {"reward": sum(item.reward or 0.0 for item in known) / len(known), "rewards": means}


def _causes(failures: Sequence[str]) -> dict[str, int]:
    """The most frequent causes and how often; those that differ in a number alone count as the first."""
    kinds = [re.sub(r"[0-9]+", "0", failure) for failure in failures]
    return {failures[kinds.index(kind)]: count for kind, count in Counter(kinds).most_common(5)}


def _mean_at(items: Sequence[Item], node: int, name: str) -> float:
    """Mean of a per-node value over the items in which the node spoke."""
    values = [float(getattr(i, name)[node]) for i in items if len(i.messages) > node]
    return sum(values) / max(1, len(values))
