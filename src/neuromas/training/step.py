"""One training step on one screen: sample, score, credit, loss, step.

``Trainer`` holds what changes (adapters, optimisers, the estimator's states); the loop around it, checkpoints
and logging live in ``session``.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from neuromas.config import TrainConfig
from neuromas.core.episode import Episode, EpisodeGroup, Turn, grouped
from neuromas.core.errors import DivergedError, StaleSampleError
from neuromas.core.seeds import derive
from neuromas.core.task import Problem, Task
from neuromas.engines.local.resident import ResidentPolicy
from neuromas.learner.gradient import Earlier, Objective, accumulate, logprobs
from neuromas.learner.scorer import Message
from neuromas.learning.credit import check_state, make_estimator, zero_variance_groups
from neuromas.learning.estimators.base import Advantages, Estimator
from neuromas.learning.losses import Weights, clip_factor, gradient_norm, sampled_kl
from neuromas.learning.schedule import factor
from neuromas.models.adapters import AdapterBank
from neuromas.models.parallel import alone
from neuromas.system.network import Network
from neuromas.system.rollout import Sampling, rollout

_MEASURED = 16  # messages of an adapter on which an update's KL is measured
_SHORTENED = 12  # times at most that an update is shortened before it is undone


@dataclass(slots=True)
class Trainer:
    """Everything a step changes. ``estimator_state[node]`` is what the estimator remembers of a node.

    ``rates[adapter]`` scales an adapter's learning rate (1 where it is not named; 0: frozen, at no cost).
    ``since`` is the step at which the stage, its warm-up and its schedule of ``span`` steps, began; ``lr``
    is its learning rate. ``anchor`` holds the adapters the stage inherited, where it is to stay near them.
    """

    network: Network
    policy: ResidentPolicy
    settings: TrainConfig
    seed: int
    step: int = 0
    since: int = 0
    span: int = 0
    lr: float = 0.0
    estimator: Estimator = field(init=False)
    estimator_state: dict[int, Any] = field(default_factory=dict)
    rates: dict[int, float] = field(default_factory=dict)
    anchor: AdapterBank | None = None
    optimisers: list[torch.optim.AdamW] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.lr, self.span = self.lr or self.settings.lr, self.span or self.settings.steps
        self.estimator = make_estimator(self.settings)
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

    def remember(self, kept: Mapping[Any, Any]) -> None:
        """Take over states of the estimator by node. Raises ValueError if it cannot go on from one."""
        for state in kept.values():
            check_state(self.estimator, state)
        self.estimator_state = {int(node): state for node, state in kept.items()}

    def rate(self, row: int) -> float:
        """Learning rate of an adapter at the coming step."""
        settings = self.settings
        scheduled = factor(settings.schedule, self.step - self.since, self.span, settings.warmup)
        return self.lr * scheduled * self.rates.get(row, 1.0)


def train_step(
    trainer: Trainer, task: Task, problems: Sequence[Problem]
) -> tuple[dict[str, Any], list[Episode]]:
    """One joint update of all nodes. Returns what is logged, and the episodes it learned from.

    ``problems`` are sampled in batches of ``train.problems``; there is one update for all of them.
    """
    clock = _Clock()
    episodes = _sample(trainer, task, problems)
    _check_finite(trainer, episodes)
    clock.lap("rollout")
    messages, weights = credit(trainer, episodes)
    learned = learn(trainer, messages, weights)
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


def _check_finite(trainer: Trainer, episodes: Sequence[Episode]) -> None:
    """Raises DivergedError if a distribution that was drawn from was none.

    A broken network that always fails gives no gradient that could tell.
    """
    for turn in (turn for episode in episodes for turn in episode.turns):
        if not all(map(math.isfinite, turn.logprobs)):
            raise _diverged(trainer, f"what adapter {turn.adapter} writes has no finite probability")


def _diverged(trainer: Trainer, what: str) -> DivergedError:
    settings = trainer.settings
    advice = f"lower train.lr = {settings.lr:g}" + ("" if settings.max_kl else " or set train.max_kl")
    return DivergedError(f"training diverged at step {trainer.step}: {what}; {advice}")


def _sample(trainer: Trainer, task: Task, problems: Sequence[Problem]) -> list[Episode]:
    """Episodes of all problems, batch after batch, so that memory is that of one batch."""
    settings, episodes = trainer.settings, list[Episode]()
    seed = derive(trainer.seed, "step", trainer.step)
    for first in range(0, len(problems), settings.problems):
        # a problem that is met in two batches is drawn anew
        sampling = Sampling(trainer.temperature(), derive(seed, "batch", first) if first else seed)
        batch = problems[first : first + settings.problems]
        episodes += rollout(trainer.network, task, batch, settings.samples, sampling)
    return episodes


def credit(trainer: Trainer, episodes: Sequence[Episode]) -> tuple[list[tuple[Message, Turn]], Weights]:
    """Messages that carry gradient, and their weights by message key.

    Each node's reward is the shared terminal reward, or its own, minus the penalty of its message's length.
    Messages of zero advantage are left out when nothing else acts on them: their gradient is 0. So are
    messages of frozen adapters, and those that closed gates kept from everybody.
    """
    settings = trainer.settings
    groups = grouped(episodes, settings.samples)
    pulled = bool(settings.entropy) or bool(_objective(trainer).pulls)
    scored = sum(1 for episode in episodes if episode.score is not None)
    chosen: list[tuple[Message, Turn]] = []
    values: list[tuple[float, float]] = []
    for node in range(len(trainer.network.topology.nodes)):
        budget = trainer.network.budget(node)
        flat = [a for group in _advantages(trainer, groups, node) for a in group]
        for episode, advantage in zip(episodes, flat, strict=True):
            if episode.score is None or (advantage == 0.0 and not pulled):
                continue
            turn = episode.turns[node] if len(episode.turns) > node else None
            if turn is None or not turn.heard or trainer.rates.get(turn.adapter) == 0.0:
                continue
            tokens = budget if settings.normalise == "constant" else len(turn.ids)
            key = len(values)
            chosen.append((Message(key, turn.adapter, turn.prefix_ids, turn.suffix_ids, turn.ids), turn))
            values.append((advantage, 1.0 / (scored * tokens)))
    table = torch.tensor(values, dtype=torch.float32).reshape(-1, 2)
    return chosen, Weights(table[:, 0], table[:, 1])


def _advantages(trainer: Trainer, groups: Sequence[EpisodeGroup], node: int) -> Advantages:
    """A node's advantages (P, G); the estimator's state of it moves on."""
    penalty, budget = trainer.settings.length_penalty, trainer.network.budget(node)
    rewards_PG = [
        [
            None if reward is None else reward - penalty * len(episode.turns[node].ids) / budget
            for episode, reward in zip(group.episodes, group.rewards(node), strict=True)
        ]
        for group in groups
    ]
    before = trainer.estimator_state.get(node, trainer.estimator.init())
    advantages_PG, after = trainer.estimator.advantages(rewards_PG, before)
    if after is None:
        trainer.estimator_state.pop(node, None)
    else:
        trainer.estimator_state[node] = after
    return advantages_PG


def learn(trainer: Trainer, messages: Sequence[tuple[Message, Turn]], weights: Weights) -> dict[str, Any]:
    """Sum the gradients of bounded micro-batches and update every adapter that took part.

    Further ``passes`` over the same messages are clipped as in PPO; the first is plain REINFORCE. In the end
    an adapter that moved too far is brought back.
    """
    policy, settings = trainer.policy, trainer.settings
    temperature = trainer.temperature()
    _check_fresh(policy, messages, temperature)
    said = [message for message, _ in messages]
    objective = _objective(trainer)
    before = [p.detach().clone() for p in policy.bank.parameters] if settings.max_kl else []
    found = accumulate(policy, said, weights, temperature, objective)
    with alone():  # so that no update depends on the number of threads
        norms = _update(trainer, trainer.rate)
    for _ in range(settings.passes - 1):
        earlier = Earlier(found.logprobs, settings.ratio_clip)
        accumulate(policy, said, weights, temperature, objective, earlier=earlier)
        with alone():
            _update(trainer, trainer.rate)
    moved = _hold_back(trainer, said, found.logprobs, before) if settings.max_kl else {}
    for row in {message.adapter for message in said if norms[message.adapter] > 0.0}:
        policy.bank.versions[row] += 1
    sampled = torch.tensor([p for _, turn in messages for p in turn.logprobs])
    count = len(sampled)
    return {
        "loss": found.loss,
        "entropy": float(found.entropy.double().sum()) / count if count else None,
        "node_entropy": _by_node(trainer.network, found.entropy, [turn for _, turn in messages]),
        "gradient_norm": norms,
        "kl": moved,
        "sampler_drift": float((found.logprobs - sampled).abs().sum()) / count if count else 0.0,
        "learned_tokens": count,
        "forwarded_tokens": found.tokens,
        "learned_messages": len(messages),
    }


def _objective(trainer: Trainer) -> Objective:
    """What acts on messages beside their advantage."""
    settings = trainer.settings
    return Objective(settings.entropy, settings.kl, settings.anchor, trainer.anchor)


def imitate(trainer: Trainer, messages: Sequence[tuple[Message, Turn]], weights: Weights) -> None:
    """One supervised step on given messages at the stage's learning rate: likelihood and nothing else."""
    policy = trainer.policy
    said = [message for message, _ in messages]
    accumulate(policy, said, weights, trainer.temperature(), Objective())
    with alone():
        norms = _update(trainer, lambda row: trainer.lr)
    for row in {message.adapter for message in said if norms[message.adapter] > 0.0}:
        policy.bank.versions[row] += 1


def _check_fresh(
    policy: ResidentPolicy, messages: Sequence[tuple[Message, Turn]], temperature: float
) -> None:
    """Raises StaleSampleError if a message was drawn by an adapter that has changed since."""
    for _, turn in messages:
        if turn.version != policy.version(turn.adapter) or turn.temperature != temperature:
            raise StaleSampleError(
                f"a message of adapter {turn.adapter} was drawn at version {turn.version}, temperature "
                f"{turn.temperature}; the adapter is at version {policy.version(turn.adapter)}"
            )


def _hold_back(
    trainer: Trainer, said: Sequence[Message], spoken: Tensor, before: Sequence[Tensor]
) -> dict[str, float]:
    """Measure how far the update moved each adapter, in nats a token, and bring back what moved too far.

    Measured on some of the messages just learned from, as KL(before || after) of their sampled tokens. It
    grows with the square of a small step, so the step is shortened by the square root of what it is over;
    a large step has saturated it, so this is done until it fits. Returns what was measured first.
    """
    parameters, limit = trainer.policy.bank.parameters, trainer.settings.max_kl
    starts = torch.tensor([0, *(len(message.ids) for message in said)]).cumsum(0).tolist()
    chosen = [(said[i], spoken[starts[i] : starts[i + 1]]) for i in _spread(said)]
    moved: dict[str, float] = {}
    far = _distances(trainer.policy, chosen, trainer.temperature())
    for _ in range(_SHORTENED):
        moved = {str(row): kl for row, kl in far.items()} | moved
        over = {row: kl for row, kl in far.items() if not kl <= limit}
        with torch.no_grad():
            for row, kl in over.items():
                shorter = min(0.9, math.sqrt(limit / kl)) if math.isfinite(kl) else 0.0
                step = torch.lerp(before[row], parameters[row], shorter) if shorter else before[row]
                parameters[row].copy_(step)
        chosen = [one for one in chosen if math.isfinite(over.get(one[0].adapter, math.nan))]
        if not chosen:
            return moved
        far = _distances(trainer.policy, chosen, trainer.temperature())
    with torch.no_grad():
        for row in (row for row, kl in far.items() if not kl <= limit):
            parameters[row].copy_(before[row])
    return moved


def _distances(
    policy: ResidentPolicy, chosen: Sequence[tuple[Message, Tensor]], temperature: float
) -> dict[int, float]:
    """Estimated KL in nats a token of every adapter, by messages and their log-probabilities before."""
    messages = [replace(message, key=key) for key, (message, _) in enumerate(chosen)]
    old = torch.cat([torch.zeros(0), *(spoken for _, spoken in chosen)])
    each = sampled_kl(old, logprobs(policy, messages, temperature)).double()
    rows = torch.tensor([message.adapter for message in messages for _ in message.ids])
    return {row: float(each[rows == row].mean()) for row in sorted({m.adapter for m in messages})}


def _spread(said: Sequence[Message]) -> list[int]:
    """Places of at most ``_MEASURED`` messages of each adapter, spread evenly over the batch."""
    places: dict[int, list[int]] = {}
    for i, message in enumerate(said):
        places.setdefault(message.adapter, []).append(i)
    return sorted(i for own in places.values() for i in own[:: math.ceil(len(own) / _MEASURED)])


def _by_node(network: Network, entropy: Tensor, turns: Sequence[Turn]) -> list[float | None]:
    """Mean entropy in nats of each node's learned tokens; None for a node that learned from none."""
    sums, counts = [0.0] * len(network.assignment), [0] * len(network.assignment)
    for value, turn in zip(entropy.tolist(), turns, strict=True):
        sums[turn.node] += value
        counts[turn.node] += len(turn.ids)
    return [total / count if count else None for total, count in zip(sums, counts, strict=True)]


def _update(trainer: Trainer, rate: Callable[[int], float]) -> list[float]:
    """Clip and step every adapter on its own; returns gradient norms before clipping.

    Raises DivergedError, before anything is changed, if a gradient is not finite.
    """
    settings, bank = trainer.settings, trainer.policy.bank
    norms = [gradient_norm(parameter.grad) for parameter in bank.parameters]
    for row, norm in enumerate(norms):
        if not math.isfinite(norm):
            raise _diverged(trainer, f"the gradient of adapter {row} is not finite")
    for row, (parameter, optimiser) in enumerate(zip(bank.parameters, trainer.optimisers, strict=True)):
        if parameter.grad is not None and norms[row] > 0.0:
            parameter.grad.mul_(clip_factor(norms[row], settings.clip))
            optimiser.param_groups[0]["lr"] = rate(row)
            optimiser.step()
        parameter.grad = None
    return norms


def _reward_report(trainer: Trainer, episodes: Sequence[Episode]) -> dict[str, Any]:
    """Mean reward, failures, parse failures and the share of problems without any signal."""
    known = [e.score for e in episodes if e.score is not None]
    scores_PG = [group.scores for group in grouped(episodes, trainer.settings.samples)]
    return {
        "reward": math.fsum(s.value for s in known) / len(known) if known else None,
        "parse_failures": sum(1 for s in known if s.parsed is None) / len(known) if known else None,
        "failed_episodes": sum(1 for e in episodes if e.failure is not None),
        "favourite": _favourite([s.parsed for s in known]),
        "silent_groups": zero_variance_groups(scores_PG) / len(scores_PG),  # the log's word since 0.1.0
        "temperature": trainer.temperature(),
    }


def _favourite(parsed: Sequence[str | None]) -> dict[str, Any] | None:
    """The most frequent answer and its share of all answers; None if none could be read."""
    counts = Counter(answer for answer in parsed if answer is not None).most_common(1)
    return {"answer": counts[0][0][:100], "share": counts[0][1] / len(parsed)} if counts else None


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
