"""The engine over chat completions: prompts become messages of a chat, a reply tokens of the ruler."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

from neuromas.engines.base import Capabilities, Generation, Request, check_room
from neuromas.engines.endpoint.codec import END, ChatCodec
from neuromas.engines.endpoint.frozen import Frozen
from neuromas.engines.endpoint.options import Options
from neuromas.engines.endpoint.reply import Reply
from neuromas.prompts.codec import Codec

if TYPE_CHECKING:
    from collections.abc import Mapping


_LONGEST = 100  # characters of a token; the rest of a text is beyond any limit


class Sender(Protocol):
    """What sends requests, see ``client.Client.all``."""

    def all(self, bodies: Sequence[Mapping[str, Any]]) -> list[Reply | str]:
        """A reply to each, or a cause."""
        ...


class ChatEngine(Frozen):
    """``Engine`` whose messages an endpoint's own model writes, whatever adapters there are.

    Prompts and messages are measured in tokens of ``codec``: limits hold by that ruler, and the endpoint is
    asked for as many of its own. Without log-probabilities nothing is trained over it; seeds are sent, and
    kept as far as the endpoint does.
    """

    capabilities = Capabilities(adapters=False)

    def __init__(self, codec: Codec, context: int, options: Options, sender: Sender) -> None:
        super().__init__()
        self.codec = ChatCodec(codec)
        self.context = context
        self.options = options
        self._sender = sender

    def generate(
        self, requests: Sequence[Request], temperature: float, ends: frozenset[int]
    ) -> list[Generation]:
        """One chat completion a request. Raises ModelError if none at all is answered from the beginning."""
        check_room(requests, self.context)
        replies = self._sender.all([self._body(one, temperature) for one in requests])
        return [self._read(*both, ends) for both in zip(requests, replies, strict=True)]

    def _body(self, request: Request, temperature: float) -> dict[str, Any]:
        """The fields of a chat completion."""
        options = self.options
        limit = "max_completion_tokens" if options.reasoning else "max_tokens"
        body: dict[str, Any] = {
            "model": options.model,
            "messages": self.codec.messages(request.prefix + request.suffix),
            limit: request.max_new + options.spare,
        }
        if not options.reasoning:
            body["temperature"] = temperature
        if options.seed:
            body["seed"] = request.seed % 2**31
        return body | ({"extra_body": dict(options.extra)} if options.extra else {})

    def _read(self, request: Request, reply: Reply | str, ends: frozenset[int]) -> Generation:
        """The text as tokens up to its end or its limit; a cause as no message.

        A text that leaves no room for its end token is cut and has not ended, as any message here.
        """
        if isinstance(reply, str):
            return Generation((), (), False, failure=reply)
        ids = self.codec.encode(reply.text[: _LONGEST * request.max_new].strip())
        stopped = reply.receipt.finish != "length" and END in ends
        ids = (*ids, END) if stopped else ids
        end = next((place for place, token in enumerate(ids) if token in ends), None)
        ids = ids[: request.max_new] if end is None else ids[: min(end + 1, request.max_new)]
        ended = bool(ids) and ids[-1] in ends
        return Generation(ids, (0.0,) * len(ids), ended, receipt=reply.receipt)
