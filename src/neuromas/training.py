"""One training step on one screen: sample, score, credit, loss, step.

``Trainer`` holds what changes (adapters, optimisers, baselines); the loop around it, checkpoints and
logging live in ``session``.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from neuromas.config import TrainConfig
from neuromas.episode import Episode, Turn
from neuromas.errors import StaleSampleError
from neuromas.learning.credit import advantages, silent_groups, update_ema
from neuromas.learning.losses import Weights, clip_factor, gradient_norm
from neuromas.models.gradient import Objective, accumulate
from neuromas.models.parallel import alone
from neuromas.models.resident import ResidentPolicy
from neuromas.models.scorer import Message
from neuromas.network import Network
from neuromas.rollout import Sampling, rollout
from neuromas.seeds import derive
from neuromas.task import Problem, Task


@dataclass(slots=True)
class Trainer:
    """Everything a step changes. ``ema[node]`` is each node's running mean reward.

    ``rates[adapter]`` scales an adapter's learning rate (1 where it is not named; 0: frozen, at no cost).
    ``since`` is the step at which the warm-up began.
    """

    network: Network
    policy: ResidentPolicy
    settings: TrainConfig
    seed: int
    step: int = 0
    since: int = 0
    ema: dict[int, float] = field(default_factory=dict)
    rates: dict[int, float] = field(default_factory=dict)
    optimisers: list[torch.optim.AdamW] = field(default_factory=list)

    def __post_init__(self) -> None:
        if not self.optimisers:
            self.optimisers = [self.optimiser(p) for p in self.policy.bank.parameters]

    def optimiser(self, parameter: torch.nn.Parameter) -> torch.optim.AdamW:
        """One AdamW for one adapter."""
        return torch.optim.AdamW([parameter], lr=self.settings.lr, betas=(0.9, 0.95), weight_decay=0.0)

    def temperature(self) -> float:
        """Sampling temperature of the coming step: constant, or linear to ``final_temperature``."""
        first, last = self.settings.temperature, self.settings.final_temperature
        if last is None or self.settings.steps < 2:
            return first
        return first + (last - first) * min(1.0, self.step / (self.settings.steps - 1))


def train_step(
    trainer: Trainer, task: Task, problems: Sequence[Problem]
) -> tuple[dict[str, Any], list[Episode]]:
    """One joint update of all nodes. Returns what is logged, and the episodes it learned from."""
    clock = _Clock()
    settings = trainer.settings
    sampling = Sampling(trainer.temperature(), derive(trainer.seed, "step", trainer.step))
    episodes = rollout(trainer.network, task, problems, settings.samples, sampling)
    clock.lap("rollout")
    messages, weights = credit(trainer, episodes)
    learned = learn(trainer, messages, weights, sampling.temperature)
    clock.lap("learn")
    report = {
        "step": trainer.step,
        **_reward_report(trainer, episodes),
        **_message_report(trainer, episodes),
        **learned,
        "seconds": clock.laps,
    }
    trainer.step += 1
    return report, episodes


def credit(trainer: Trainer, episodes: Sequence[Episode]) -> tuple[list[tuple[Message, Turn]], Weights]:
    """Messages that carry gradient, and their weights by message key.

    Each node's reward is the shared terminal reward minus the price of its own message's length.
    Messages of zero advantage are left out when nothing else acts on them: their gradient is 0. So are
    messages of frozen adapters, and those that closed gates kept from everybody.
    """
    settings, samples = trainer.settings, trainer.settings.samples
    scored = sum(1 for episode in episodes if episode.score is not None)
    chosen: list[tuple[Message, Turn]] = []
    values: list[tuple[float, float]] = []
    for node in range(len(trainer.network.topology.nodes)):
        budget = trainer.network.budget(node)
        rewards = [_reward(episode, node, settings.length_price, budget) for episode in episodes]
        rewards_PG = [rewards[i : i + samples] for i in range(0, len(rewards), samples)]
        flat = [
            a for group in advantages(settings.baseline, rewards_PG, trainer.ema.get(node)) for a in group
        ]
        if settings.baseline == "ema":
            after = update_ema(trainer.ema.get(node), rewards_PG, settings.ema_decay)
            if after is not None:
                trainer.ema[node] = after
        for episode, advantage in zip(episodes, flat, strict=True):
            if episode.score is None or (advantage == 0.0 and settings.kl == 0.0 and settings.entropy == 0.0):
                continue
            turn = episode.turns[node]
            if not turn.heard or trainer.rates.get(turn.adapter) == 0.0:
                continue
            tokens = budget if settings.normalise == "constant" else len(turn.ids)
            key = len(values)
            chosen.append((Message(key, turn.adapter, turn.prefix_ids, turn.suffix_ids, turn.ids), turn))
            values.append((advantage, 1.0 / (scored * tokens)))
    table = torch.tensor(values, dtype=torch.float32).reshape(-1, 2)
    return chosen, Weights(table[:, 0], table[:, 1])


def learn(
    trainer: Trainer, messages: Sequence[tuple[Message, Turn]], weights: Weights, temperature: float
) -> dict[str, Any]:
    """Sum the gradients of bounded micro-batches and update every adapter that took part."""
    policy = trainer.policy
    for _, turn in messages:
        if turn.version != policy.version(turn.adapter) or turn.temperature != temperature:
            raise StaleSampleError(
                f"a message of adapter {turn.adapter} was drawn at version {turn.version}, temperature "
                f"{turn.temperature}; the adapter is at version {policy.version(turn.adapter)}"
            )
    settings = trainer.settings
    found = accumulate(
        policy,
        [message for message, _ in messages],
        weights,
        temperature,
        Objective(settings.entropy, settings.kl),
    )
    with alone():  # so that no update depends on the number of threads
        norms = _update(trainer)
    sampled = torch.tensor([math.fsum(turn.logprobs) for _, turn in messages])
    count = sum(len(turn.ids) for _, turn in messages)
    drift = float((found.logprobs - sampled).abs().sum()) / count if count else 0.0
    return {
        "loss": found.loss,
        "entropy": float(found.entropy.double().sum()) / count if count else None,
        "node_entropy": _by_node(trainer.network, found.entropy, [turn for _, turn in messages]),
        "gradient_norm": norms,
        "sampler_drift": drift,
        "learned_tokens": count,
        "forwarded_tokens": found.tokens,
        "learned_messages": len(messages),
    }


def _by_node(network: Network, entropy: Tensor, turns: Sequence[Turn]) -> list[float | None]:
    """Mean entropy in nats of each node's learned tokens; None for a node that learned from none."""
    sums, counts = [0.0] * len(network.assignment), [0] * len(network.assignment)
    for value, turn in zip(entropy.tolist(), turns, strict=True):
        sums[turn.node] += value
        counts[turn.node] += len(turn.ids)
    return [total / count if count else None for total, count in zip(sums, counts, strict=True)]


def _update(trainer: Trainer) -> list[float]:
    """Clip and step every adapter on its own; returns gradient norms before clipping."""
    settings, bank = trainer.settings, trainer.policy.bank
    warm = min(1.0, (trainer.step - trainer.since + 1) / settings.warmup) if settings.warmup else 1.0
    norms = []
    for row, (parameter, optimiser) in enumerate(zip(bank.parameters, trainer.optimisers, strict=True)):
        norm = gradient_norm(parameter.grad)
        norms.append(norm)
        if parameter.grad is not None and math.isfinite(norm) and norm > 0.0:
            parameter.grad.mul_(clip_factor(norm, settings.clip))
            optimiser.param_groups[0]["lr"] = settings.lr * warm * trainer.rates.get(row, 1.0)
            optimiser.step()
            bank.versions[row] += 1
        parameter.grad = None
    return norms


def _reward(episode: Episode, node: int, price: float, budget: int) -> float | None:
    """The node's reward: the shared score minus the price of its own message's length."""
    if episode.score is None:
        return None
    return episode.score.value - price * len(episode.turns[node].ids) / budget


def _reward_report(trainer: Trainer, episodes: Sequence[Episode]) -> dict[str, Any]:
    """Mean reward, failures, parse failures and the share of problems without any signal."""
    known = [e.score for e in episodes if e.score is not None]
    samples = trainer.settings.samples
    values = [None if e.score is None else e.score.value for e in episodes]
    groups = [values[i : i + samples] for i in range(0, len(values), samples)]
    return {
        "reward": math.fsum(s.value for s in known) / len(known) if known else None,
        "parse_failures": sum(1 for s in known if s.parsed is None) / len(known) if known else None,
        "failed_episodes": len(episodes) - len(known),
        "silent_groups": silent_groups(groups) / len(groups),
        "temperature": trainer.temperature(),
    }


def _message_report(trainer: Trainer, episodes: Sequence[Episode]) -> dict[str, Any]:
    """Per node: mean message length in tokens and share truncated; and the tokens of the step."""
    nodes = range(len(trainer.network.topology.nodes))
    spoken = [[e.turns[node] for e in episodes if len(e.turns) > node] for node in nodes]
    return {
        "message_tokens": [sum(len(t.ids) for t in turns) / max(1, len(turns)) for turns in spoken],
        "truncated": [sum(t.truncated for t in turns) / max(1, len(turns)) for turns in spoken],
        "cut_inputs": [sum(t.cut_inputs for t in turns) for turns in spoken],
        "prompt_tokens": sum(e.prompt_tokens for e in episodes),
        "new_tokens": sum(e.new_tokens for e in episodes),
        "calls": sum(len(e.turns) for e in episodes),
    }


class _Clock:
    """Seconds of each phase of a step."""

    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, name: str) -> None:
        """Name the time since the last lap."""
        now = time.perf_counter()
        self.laps[name] = round(now - self._last, 4)
        self._last = now
