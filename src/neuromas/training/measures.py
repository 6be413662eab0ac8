"""What a step logs of its episodes and of its update, as plain numbers."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

import torch

from neuromas.core.episode import Episode, Turn, grouped
from neuromas.core.task import Score
from neuromas.learner.update import Update
from neuromas.learning.credit import zero_variance_groups


def reward_report(episodes: Sequence[Episode], samples: int, temperature: float) -> dict[str, Any]:
    """Mean reward, failures, parse failures and the share of problems without any signal.

    Every ``samples`` episodes in a row are those of one problem.
    """
    known = [e.score for e in episodes if e.score is not None]
    scores_PG = [group.scores for group in grouped(episodes, samples)]
    return {
        "reward": math.fsum(s.value for s in known) / len(known) if known else None,
        "parse_failures": sum(1 for s in known if s.parsed is None) / len(known) if known else None,
        "failed_episodes": sum(1 for e in episodes if e.failure is not None),
        "favourite": _favourite([s.parsed for s in known]),
        "silent_groups": zero_variance_groups(scores_PG) / len(scores_PG),  # the log's word since 0.1.0
        "temperature": temperature,
        **_parts_report(known),
    }


def _parts_report(scores: Sequence[Score]) -> dict[str, Any]:
    """Where reward functions make the reward: the mean of each, and of what the task itself says.

    An episode that failed has earned 0 of each. Without gold answers ``accuracy`` is None.
    """
    names = next(([name for name, _ in score.rewards] for score in scores if score.rewards), [])
    if not names:
        return {}
    means = {name: math.fsum(dict(s.rewards).get(name, 0.0) for s in scores) / len(scores) for name in names}
    gold = any(score.correct is not None for score in scores)
    return {
        "rewards": means,
        "accuracy": math.fsum(s.accuracy for s in scores) / len(scores) if gold else None,
    }


def _favourite(parsed: Sequence[str | None]) -> dict[str, Any] | None:
    """The most frequent answer and its share of all answers; None if none could be read."""
    counts = Counter(answer for answer in parsed if answer is not None).most_common(1)
    return {"answer": counts[0][0][:100], "share": counts[0][1] / len(parsed)} if counts else None


def message_report(written: Sequence[Turn], nodes: int) -> dict[str, Any]:
    """Per node: mean message length in tokens and share truncated; and the calls and tokens of the step.

    ``written`` has every message that was sampled once.
    """
    spoken = [[turn for turn in written if turn.node == node] for node in range(nodes)]
    return {
        "message_tokens": [sum(len(t.ids) for t in turns) / max(1, len(turns)) for turns in spoken],
        "truncated": [sum(t.truncated for t in turns) / max(1, len(turns)) for turns in spoken],
        "cut_inputs": [sum(t.cut_inputs for t in turns) for turns in spoken],
        "prompt_tokens": sum(len(turn.prefix_ids) + len(turn.suffix_ids) for turn in written),
        "new_tokens": sum(len(turn.ids) for turn in written),
        "calls": len(written),
    }


def learned_report(update: Update, turns: Sequence[Turn], nodes: int) -> dict[str, Any]:
    """Loss, entropy in nats a token, gradients, and how far sampler and learner are apart in nats a token."""
    learned = update.learned
    sampled = torch.tensor([p for turn in turns for p in turn.logprobs])
    count = len(sampled)
    return {
        "loss": learned.loss,
        "entropy": float(learned.entropy.double().sum()) / count if count else None,
        "node_entropy": _node_entropy(learned.entropy.tolist(), turns, nodes),
        "gradient_norm": update.norms,
        "kl": update.kl,
        "sampler_drift": float((learned.logprobs - sampled).abs().sum()) / count if count else 0.0,
        "learned_tokens": count,
        "forwarded_tokens": learned.tokens,
        "learned_messages": len(turns),
    }


def _node_entropy(entropy: Sequence[float], turns: Sequence[Turn], nodes: int) -> list[float | None]:
    """Mean entropy in nats of each node's learned tokens; None for a node that learned from none."""
    sums, counts = [0.0] * nodes, [0] * nodes
    for value, turn in zip(entropy, turns, strict=True):
        sums[turn.node] += value
        counts[turn.node] += len(turn.ids)
    return [total / count if count else None for total, count in zip(sums, counts, strict=True)]


class Clock:
    """Seconds of each phase of a step."""

    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, name: str) -> None:
        """Name the time since the last lap."""
        now = time.perf_counter()
        self.laps[name] = round(now - self._last, 4)
        self._last = now
