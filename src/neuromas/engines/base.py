"""What a rollout asks of a model: one batch of requests in, one batch of generations out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from neuromas.prompts.codec import Codec


@dataclass(frozen=True, slots=True)
class Request:
    """One message to be written.

    The prompt is ``prefix + suffix``; requests with equal adapter and prefix share one prefill.
    ``seed`` alone decides the draw, whatever else is in the batch.
    """

    adapter: int
    prefix: tuple[int, ...]
    suffix: tuple[int, ...]
    max_new: int
    seed: int


@dataclass(frozen=True, slots=True)
class Generation:
    """Sampled ids (end token included), their log-probabilities, and whether an end token came."""

    ids: tuple[int, ...]
    logprobs: tuple[float, ...]
    ended: bool


@runtime_checkable
class Policy(Protocol):
    """A model with resident adapters, or anything that answers like one."""

    @property
    def codec(self) -> Codec:
        """The tokenizer of this model."""
        ...

    @property
    def context(self) -> int:
        """Longest sequence the model can hold, prompt and message together."""
        ...

    def version(self, adapter: int) -> int:
        """Number of updates the adapter has had."""
        ...

    def generate(
        self, requests: Sequence[Request], temperature: float, ends: frozenset[int]
    ) -> list[Generation]:
        """Write all messages. ``temperature`` 0 is greedy, whose log-probabilities are 0.

        A message stops after a token in ``ends`` or after its ``max_new`` tokens.
        """
        ...
