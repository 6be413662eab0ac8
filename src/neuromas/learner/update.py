"""What learns: resident adapters with an optimiser each, and one update of them held within bounds.

An update is given messages, the weight of each and a learning rate; where these come from is the business
of training.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from neuromas.config import TrainConfig
from neuromas.core.episode import Turn
from neuromas.core.errors import DivergedError, StaleSampleError
from neuromas.learner.gradient import Earlier, Learned, Objective, accumulate, logprobs
from neuromas.learner.scorer import Message
from neuromas.learning.losses import Weights, clip_factor, gradient_norm, sampled_kl
from neuromas.models.adapters import AdapterBank
from neuromas.models.parallel import single_threaded
from neuromas.models.resident import ResidentModel

_MEASURED = 16  # messages of an adapter on which an update's KL is measured
_SHORTENED = 12  # times at most that an update is shortened before it is undone


@dataclass(frozen=True, slots=True)
class Update:
    """What one update learned from and did.

    ``norms[adapter]`` is the norm of its gradient before clipping, ``kl`` how far each adapter moved in
    nats a token before it was brought back (empty if that is not limited).
    """

    learned: Learned
    norms: list[float]
    kl: dict[str, float]


@dataclass(slots=True)
class Learner:
    """The adapters of one model and what changes them.

    ``lr_scale[adapter]`` scales an adapter's learning rate (1 where it is not named; 0: frozen, at no cost).
    ``anchor`` holds the adapters a stage inherited, where it is to stay near them.
    """

    model: ResidentModel
    settings: TrainConfig
    lr_scale: dict[int, float] = field(default_factory=dict)
    anchor: AdapterBank | None = None
    optimisers: list[torch.optim.AdamW] = field(default_factory=list)

    def __post_init__(self) -> None:
        if not self.optimisers:
            self.optimisers = [self.optimiser(p) for p in self.model.bank.parameters]

    def optimiser(self, parameter: torch.nn.Parameter) -> torch.optim.AdamW:
        """One AdamW for one adapter."""
        return torch.optim.AdamW([parameter], lr=self.settings.lr, betas=(0.9, 0.95), weight_decay=0.0)

    @property
    def objective(self) -> Objective:
        """What acts on messages beside their advantage."""
        settings = self.settings
        return Objective(settings.entropy, settings.kl, settings.anchor, self.anchor)

    def update(
        self,
        messages: Sequence[tuple[Message, Turn]],
        weights: Weights,
        temperature: float,
        lr: float,
        lessons: tuple[Sequence[Message], Weights] | None = None,
        *,
        whole: bool = False,
    ) -> Update:
        """Sum the gradients of bounded micro-batches and step every adapter that took part.

        The likelihood of ``lessons`` is part of the first gradient and of no report: steps of their own would
        be as large where there is nothing left to learn, because Adam divides by the gradient's size.
        ``lr`` is the learning rate of an adapter whose scale is 1. Further ``train.passes`` over the same
        messages are clipped as in PPO (arXiv:1707.06347), by the ratio of each token or of the ``whole``
        message; the first is plain REINFORCE. In the end an adapter
        that moved too far is brought back. Raises StaleSampleError before anything has changed, DivergedError
        before a step with a gradient that is not finite.
        """
        bank, settings = self.model.bank, self.settings
        _check_fresh(bank, messages, temperature)
        written = [message for message, _ in messages]
        before = [p.detach().clone() for p in bank.parameters] if settings.max_kl else []
        objective = self.objective

        def rate(row: int) -> float:
            return lr * self.lr_scale.get(row, 1.0)

        learned = accumulate(self.model, written, weights, temperature, objective)
        if lessons:
            accumulate(self.model, *lessons, temperature, Objective(), onto=True)
        norms = self._step(rate)
        for _ in range(settings.passes - 1):
            earlier = Earlier(learned.logprobs, settings.ratio_clip, whole)
            accumulate(self.model, written, weights, temperature, objective, earlier=earlier)
            self._step(rate)
        moved = self._hold_back(written, learned.logprobs, before, temperature) if settings.max_kl else {}
        self._count([*written, *(lessons[0] if lessons else ())], norms)
        return Update(learned, norms, moved)

    def imitate(self, messages: Sequence[Message], weights: Weights, temperature: float, lr: float) -> None:
        """One supervised step on given messages, at ``lr`` for all: likelihood and nothing else."""
        accumulate(self.model, messages, weights, temperature, Objective())
        self._count(messages, self._step(lambda row: lr))

    def _count(self, messages: Sequence[Message], norms: Sequence[float]) -> None:
        """Another version of every adapter that was stepped."""
        for row in {message.adapter for message in messages if norms[message.adapter] > 0.0}:
            self.model.bank.versions[row] += 1

    def _step(self, rate: Callable[[int], float]) -> list[float]:
        """Clip and step every adapter on its own; returns gradient norms before clipping.

        Raises DivergedError, before anything is changed, if a gradient is not finite.
        """
        bank = self.model.bank
        with single_threaded():  # so that no update depends on the number of threads
            norms = [gradient_norm(parameter.grad) for parameter in bank.parameters]
            for row, norm in enumerate(norms):
                if not math.isfinite(norm):
                    raise DivergedError(f"the gradient of adapter {row} is not finite")
            for row, (parameter, optimiser) in enumerate(zip(bank.parameters, self.optimisers, strict=True)):
                if parameter.grad is not None and norms[row] > 0.0:
                    parameter.grad.mul_(clip_factor(norms[row], self.settings.clip))
                    optimiser.param_groups[0]["lr"] = rate(row)
                    optimiser.step()
                parameter.grad = None
        return norms

    def _hold_back(
        self, messages: Sequence[Message], old: Tensor, before: Sequence[Tensor], temperature: float
    ) -> dict[str, float]:
        """Measure how far the update moved each adapter, in nats a token, and bring back what moved too far.

        Measured on some of the messages just learned from, as KL(before || after) of their sampled tokens. It
        grows with the square of a small step, so the step is shortened by the square root of what it is over;
        a large step has saturated it, so this is done until it fits. Returns what was measured first.
        """
        parameters, limit = self.model.bank.parameters, self.settings.max_kl
        starts = torch.tensor([0, *(len(message.ids) for message in messages)]).cumsum(0).tolist()
        chosen = [(messages[i], old[starts[i] : starts[i + 1]]) for i in _spread(messages)]
        moved: dict[str, float] = {}
        far = _distances(self.model, chosen, temperature)
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
            far = _distances(self.model, chosen, temperature)
        with torch.no_grad():
            for row in (row for row, kl in far.items() if not kl <= limit):
                parameters[row].copy_(before[row])
        return moved


def _check_fresh(bank: AdapterBank, messages: Sequence[tuple[Message, Turn]], temperature: float) -> None:
    """Raises StaleSampleError if a message was drawn by an adapter that has changed since."""
    for _, turn in messages:
        if turn.version != bank.versions[turn.adapter] or turn.temperature != temperature:
            raise StaleSampleError(
                f"a message of adapter {turn.adapter} was drawn at version {turn.version}, temperature "
                f"{turn.temperature}; the adapter is at version {bank.versions[turn.adapter]}"
            )


def _distances(
    model: ResidentModel, chosen: Sequence[tuple[Message, Tensor]], temperature: float
) -> dict[int, float]:
    """Estimated KL in nats a token of every adapter, by messages and their log-probabilities before."""
    messages = [replace(message, key=key) for key, (message, _) in enumerate(chosen)]
    old = torch.cat([torch.zeros(0), *(before for _, before in chosen)])
    each = sampled_kl(old, logprobs(model, messages, temperature)).double()
    rows = torch.tensor([message.adapter for message in messages for _ in message.ids])
    return {row: float(each[rows == row].mean()) for row in sorted({m.adapter for m in messages})}


def _spread(messages: Sequence[Message]) -> list[int]:
    """Places of at most ``_MEASURED`` messages of each adapter, spread evenly over the batch."""
    places: dict[int, list[int]] = {}
    for i, message in enumerate(messages):
        places.setdefault(message.adapter, []).append(i)
    return sorted(i for own in places.values() for i in own[:: math.ceil(len(own) / _MEASURED)])
