"""An engine without a model: it recites a script, for tests and for networks that are to say a known thing.

It needs no torch and no files. As a configuration's engine it writes ``engine.options.text`` everywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from neuromas.engines.base import Capabilities, Generation, Request, check_room
from neuromas.engines.build import read_options
from neuromas.prompts.codec import ByteCodec

if TYPE_CHECKING:
    from neuromas.config import Config
    from neuromas.models.adapters import AdapterBank
    from neuromas.models.resident import ResidentModel

Script = Callable[[str, int], str]


@dataclass(frozen=True, slots=True)
class Call:
    """One batch a scripted engine was asked for, and the text of every prompt in it."""

    requests: tuple[Request, ...]
    prompts: tuple[str, ...]
    temperature: float
    ends: frozenset[int]


class ScriptedEngine:
    """``Engine`` whose messages are ``script(prompt text, adapter)``; one token a byte.

    ``calls`` records every batch; ``versions`` may be set by hand (an adapter not named is at 0).
    Its log-probabilities are those of certain events, 0: a learner's model gives other ones.
    """

    capabilities = Capabilities(logprobs=True, exact=False, seeded=True, several=True)

    def __init__(self, script: Script, context: int = 1 << 16) -> None:
        """``context`` is the longest sequence, in bytes, that it claims to hold."""
        self.codec = ByteCodec()
        self.context = context
        self.versions: dict[int, int] = {}
        self.calls: list[Call] = []
        self._script = script

    def version(self, adapter: int) -> int:
        """The version set in ``versions``, else 0."""
        return self.versions.get(adapter, 0)

    def publish(self, bank: AdapterBank) -> None:
        """Note the versions; what the adapters hold changes no script."""
        self.versions = dict(enumerate(bank.versions))

    def generate(
        self, requests: Sequence[Request], temperature: float, ends: frozenset[int]
    ) -> list[Generation]:
        """Recite. A text that leaves no room for its end token is cut and has not ended."""
        check_room(requests, self.context)
        prompts = tuple(self.codec.decode(r.prefix + r.suffix) for r in requests)
        self.calls.append(Call(tuple(requests), prompts, temperature, ends))
        return [
            self._recite(self._script(prompt, request.adapter), request.max_new, ends)
            for prompt, request in zip(prompts, requests, strict=True)
        ]

    def _recite(self, text: str, limit: int, ends: frozenset[int]) -> Generation:
        """The bytes of a text up to the first end token, with log-probabilities of certain events."""
        ids = self.codec.encode(text)
        first = next((place for place, token in enumerate(ids) if token in ends), None)
        if first is not None:
            ids = ids[: first + 1]
        elif ends:
            ids = (*ids, self.codec.END if self.codec.END in ends else min(ends))
        else:  # nothing can end it: on with spaces
            ids = (*ids, *(32 for _ in range(limit - len(ids))))
        kept = ids[:limit]
        return Generation(kept, (0.0,) * len(kept), bool(kept) and kept[-1] in ends)


def build(config: Config, model: ResidentModel) -> ScriptedEngine:
    """The engine ``scripted``: every node writes ``engine.options.text`` (default "1")."""
    text = str(read_options(config, {"text": "1"})["text"])
    return ScriptedEngine(lambda prompt, adapter: text, model.backbone.context)
