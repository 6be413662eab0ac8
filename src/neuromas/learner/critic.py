"""A critic: a small network that reads hidden states of the frozen backbone and says what they are worth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn

from neuromas.core.errors import DivergedError
from neuromas.learning.losses import clip_factor
from neuromas.learning.values import value_loss
from neuromas.models.parallel import single_threaded

_ADAM = ("step", "exp_avg", "exp_avg_sq")


@dataclass(frozen=True, slots=True)
class Fitting:
    """How a critic learns: its AdamW's rate, updates from a batch, loss (``value_loss``), gradient norm.

    ``hidden`` are the widths of its layers.
    """

    lr: float = 5e-4
    passes: int = 1
    huber: float = 0.0
    clip: float = 0.0
    norm: float = 0.5
    hidden: tuple[int, ...] = (1024, 512)
    activation: Literal["relu", "tanh"] = "relu"


class Critic:
    """V(h) = MLP(layer-norm(h)) in fp32 on the CPU, with an AdamW of its own.

    Its last layer begins at 0, so that an untrained critic says 0 and takes nothing from a reward. States are
    brought to mean 0 and variance 1 each, because those of a backbone may be large.
    """

    def __init__(self, size: int, fitting: Fitting, seed: int) -> None:
        """``size`` is d, that of a state."""
        self.fitting = fitting
        widths = (size, *fitting.hidden)
        bend = {"relu": nn.ReLU, "tanh": nn.Tanh}[fitting.activation]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            layers = [layer for a, b in pairwise(widths) for layer in (nn.Linear(a, b), bend())]
            last = nn.Linear(widths[-1], 1)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.net = nn.Sequential(nn.LayerNorm(size, elementwise_affine=False), *layers, last)
        self.optimiser = torch.optim.AdamW(
            self.net.parameters(), lr=fitting.lr, weight_decay=0.0, foreach=False
        )

    @property
    def parameters(self) -> int:
        """How many numbers it learns."""
        return sum(parameter.numel() for parameter in self.net.parameters())

    def values(self, states: Tensor) -> Tensor:
        """Values (N,) of states (N, d); no gradient."""
        with torch.no_grad(), single_threaded():
            return self._ask(states)

    def _ask(self, states: Tensor) -> Tensor:
        found: Tensor = self.net(states)
        return found[:, 0]

    def fit(self, states: Tensor, targets: Tensor) -> float:
        """Steps towards targets (N,) of states (N, d); the loss before the first. Raises DivergedError."""
        fitting, first = self.fitting, 0.0
        with single_threaded():  # so that no update depends on the number of threads
            before = self.values(states)
            for number in range(fitting.passes):
                loss = value_loss(self._ask(states), before, targets, fitting.huber, fitting.clip)
                first = first if number else float(loss.detach())
                self.optimiser.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                self._step()
        return first

    def _step(self) -> None:
        gradients = [p.grad for p in self.net.parameters() if p.grad is not None]
        norm = float(torch.linalg.vector_norm(torch.cat([g.reshape(-1) for g in gradients])))
        if not norm < float("inf"):
            raise DivergedError("the gradient of the critic is not finite")
        for gradient in gradients:
            gradient.mul_(clip_factor(norm, self.fitting.norm))
        self.optimiser.step()

    def tensors(self) -> dict[str, Tensor]:
        """Parameters and the optimiser's moments, copied, by name."""
        kept = {f"net.{name}": value.clone() for name, value in self.net.state_dict().items()}
        for number, state in self.optimiser.state_dict()["state"].items():
            kept |= {f"adam.{number}.{name}": state[name].clone() for name in _ADAM}
        return kept

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Go on from ``tensors()``. Raises ValueError where names or shapes are not those of this critic."""
        wanted = {f"net.{name}": value.shape for name, value in self.net.state_dict().items()}
        parameters: Sequence[nn.Parameter] = list(self.net.parameters())
        if any(name.startswith("adam.") for name in tensors):
            for number, parameter in enumerate(parameters):
                shapes = (torch.Size(()), parameter.shape, parameter.shape)
                wanted |= {f"adam.{number}.{name}": s for name, s in zip(_ADAM, shapes, strict=True)}
        found = {name: tensor.shape for name, tensor in tensors.items()}
        if found != wanted:
            name = next(n for n in sorted({*found, *wanted}) if found.get(n) != wanted.get(n))
            raise ValueError(f"critic: {name} is {found.get(name)}, expected {wanted.get(name)}")
        self.net.load_state_dict({n[len("net.") :]: t for n, t in tensors.items() if n.startswith("net.")})
        moments = {
            number: {name: tensors[f"adam.{number}.{name}"].clone() for name in _ADAM}
            for number in range(len(parameters))
            if f"adam.{number}.step" in tensors
        }
        self.optimiser.load_state_dict({**self.optimiser.state_dict(), "state": moments})
