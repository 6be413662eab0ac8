"""The engine over completions of token ids: prompts as they are built here, of a model that nobody trains."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from neuromas.core.episode import Receipt
from neuromas.core.errors import ConfigError, ModelError, one_line
from neuromas.engines.base import Capabilities, Generation, Request, check_room
from neuromas.engines.endpoint.frozen import Frozen
from neuromas.engines.endpoint.options import DEFAULTS, Options
from neuromas.engines.served.client import Access, Completion, Drawing, Servers
from neuromas.prompts.codec import Codec

_OF_CHATS = ("per_minute", "reasoning", "spare", "seed", "extra")


class Completing(Protocol):
    """What completes prompts, see ``served.client.Servers.attempt``."""

    def attempt(self, asked: Sequence[Completion], how: Drawing) -> list[Generation | ModelError]:
        """A message for each, or why there is none."""
        ...


class TokenEngine(Frozen):
    """``Engine`` whose messages a served model writes as it is: no adapter of ours is in it.

    Its tokens are those of ``codec``, which must be the served model's own. Messages come with the
    log-probabilities they were drawn with.
    """

    capabilities = Capabilities(logprobs=True, adapters=False)

    def __init__(self, codec: Codec, context: int, model: str, servers: Completing, key: str = "") -> None:
        """``key`` is what no cause may show."""
        super().__init__()
        self.codec = codec
        self.context = context
        self._model, self._servers, self._key = model, servers, key
        self._answered = False

    def generate(
        self, requests: Sequence[Request], temperature: float, ends: frozenset[int]
    ) -> list[Generation]:
        """One completion a request. Raises ModelError if none at all is answered from the beginning."""
        check_room(requests, self.context)
        asked = [
            Completion(self._model, one.prefix + one.suffix, one.max_new, one.seed % 2**31)
            for one in requests
        ]
        found = [
            self._read(*both)
            for both in zip(asked, self._servers.attempt(asked, Drawing(temperature, ends)), strict=True)
        ]
        self._answered = self._answered or any(one.failure is None for one in found)
        if found and not self._answered:
            raise ModelError(f"the first {len(found)} requests failed; {found[0].failure}")
        return found

    def _read(self, asked: Completion, out: Generation | ModelError) -> Generation:
        """The message with its receipt; a cause as no message."""
        if isinstance(out, ModelError):
            cause = one_line(out)
            cause = cause.replace(self._key, "[key]") if self._key else cause
            return Generation((), (), False, failure=f"endpoint: {cause[:300]}")
        finish = "stop" if out.ended else "length"
        receipt = Receipt(model=asked.model, read=len(asked.prompt), wrote=len(out.ids), finish=finish)
        return Generation(out.ids, out.logprobs, out.ended, receipt=receipt)


def servers_of(options: Options) -> Servers:
    """The client of completions. Raises ConfigError for options that only chats have."""
    for name in _OF_CHATS:
        if getattr(options, name) != DEFAULTS[name]:
            raise ConfigError(f"engine.options.{name} has no effect with mode = 'tokens' (valid: left out)")
    return Servers(
        Access(
            urls=(options.url,),
            concurrency=options.concurrency,
            timeout=options.timeout,
            retries=options.retries,
            key_env=options.key_env,
        )
    )
