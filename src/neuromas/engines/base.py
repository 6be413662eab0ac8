"""The contract of an engine: one batch of requests in, one batch of generations out.

An engine writes; it knows nothing of rewards and gradients. It is named by ``engine.name`` and built by a
function or class that is called with the configuration and the learner's model. It may share that model
(``local``) or hold the adapters elsewhere: then ``publish`` brings them there.
``neuromas.testing.check_engine`` holds any implementation against this contract.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from neuromas.core.episode import Receipt
from neuromas.core.errors import ModelError
from neuromas.prompts.codec import Codec

if TYPE_CHECKING:  # an engine needs no torch
    from neuromas.config import Config
    from neuromas.models.adapters import AdapterBank
    from neuromas.models.resident import ResidentModel


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
    """Sampled ids (end token included), their log-probabilities in nats, and whether an end token came.

    With a ``failure`` there is no message, for a cause that is the engine's: whoever asked leaves it out.
    ``receipt`` is what an endpoint says of the message.
    """

    ids: tuple[int, ...]
    logprobs: tuple[float, ...]
    ended: bool
    failure: str | None = None
    receipt: Receipt | None = None


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What an engine declares of itself; a declared fact is checked, one that is not is not relied on.

    ``logprobs``: every token comes with the log-probability it was drawn with; training needs them.
    ``exact``: that is the probability the learner's own model gives it, up to rounding.
    ``seeded``: equal requests are answered equally, whatever else is in the batch (but for near ties, which
    rounding may tip where the batch is another).
    ``adapters``: it writes with what is published; without it every node is a model that nobody trains here.
    ``several``: every process of a run may have one of its own (see ``models.ranks``).
    """

    logprobs: bool = False
    exact: bool = False
    seeded: bool = False
    adapters: bool = True
    several: bool = False


@runtime_checkable
class Engine(Protocol):
    """A model whose adapters the nodes write with, or anything that answers like one."""

    @property
    def capabilities(self) -> Capabilities:
        """What may be relied on."""
        ...

    @property
    def codec(self) -> Codec:
        """The tokenizer of this model."""
        ...

    @property
    def context(self) -> int:
        """Longest sequence the model can hold, prompt and message together."""
        ...

    def version(self, adapter: int) -> int:
        """The version of the adapter that messages are written with: that of the last ``publish``."""
        ...

    def publish(self, bank: AdapterBank) -> None:
        """Write with these adapters from now on: ``bank.parameters`` and ``bank.versions``, row by row.

        Called at the beginning and whenever an adapter, a version or the number of adapters may have
        changed. A version says how often an adapter was updated, not what is in it: after going back to an
        earlier state the same number may stand for other weights.
        """
        ...

    def generate(
        self, requests: Sequence[Request], temperature: float, ends: frozenset[int]
    ) -> list[Generation]:
        """Write all messages. ``temperature`` 0 is greedy, whose log-probabilities are 0.

        A message stops after a token in ``ends`` or after its ``max_new`` tokens. Log-probabilities are in
        nats, under the distribution that was drawn from (so after the temperature). Raises ModelError if
        prompt and message do not fit into the context.
        """
        ...


Told = Callable[[int, int], bool]  # (request's place in the batch, token) -> whether its message goes on


@runtime_checkable
class Streams(Protocol):
    """An engine that can tell every token when it is drawn."""

    def stream(
        self, requests: Sequence[Request], temperature: float, ends: frozenset[int], told: Told
    ) -> list[Generation]:
        """As ``Engine.generate``, the same tokens. ``told`` is called once a token, in a message's order.

        It may be called from several threads at once, for different requests. A message of which it says
        False has that token as its last, and has not ended unless that is an end token.
        """
        ...


@runtime_checkable
class Diagnosing(Protocol):
    """An engine that can say why what it writes and what is learned may differ."""

    def diagnose(self) -> str:
        """The cause, as far as it can be seen now, in words."""
        ...


def check_room(requests: Sequence[Request], context: int) -> None:
    """Raises ModelError if a request's prompt and message are longer than ``context`` tokens together."""
    for one in requests:
        needed = len(one.prefix) + len(one.suffix) + one.max_new
        if needed > context:
            raise ModelError(
                f"a prompt with {one.max_new} new tokens takes {needed} tokens, the model holds {context}"
            )


Build = Callable[["Config", "ResidentModel"], Engine]  # what a name of the registry stands for
