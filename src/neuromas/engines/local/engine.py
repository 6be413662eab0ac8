"""The engine that shares the learner's own model: what is learned is written with at once."""

from __future__ import annotations

from collections.abc import Sequence

from neuromas.engines.base import Capabilities, Generation, Request, Told, check_room
from neuromas.engines.local.sampler import generate
from neuromas.models.adapters import AdapterBank
from neuromas.models.resident import ResidentModel
from neuromas.prompts.codec import Codec


class LocalEngine:
    """``Engine`` over a model in this process."""

    capabilities = Capabilities(logprobs=True, exact=True, seeded=True, several=True)

    def __init__(self, model: ResidentModel) -> None:
        """``model`` is read, never changed."""
        self.model = model

    @property
    def codec(self) -> Codec:
        """The backbone's tokenizer."""
        return self.model.backbone.codec

    @property
    def context(self) -> int:
        """The backbone's longest sequence."""
        return self.model.backbone.context

    def version(self, adapter: int) -> int:
        """Updates this adapter has had."""
        return self.model.bank.versions[adapter]

    def publish(self, bank: AdapterBank) -> None:
        """Nothing: the learner's adapters are those it writes with."""

    def generate(
        self, requests: Sequence[Request], temperature: float, ends: frozenset[int]
    ) -> list[Generation]:
        """See ``Engine.generate``."""
        return self._write(requests, temperature, ends, None)

    def stream(
        self, requests: Sequence[Request], temperature: float, ends: frozenset[int], told: Told
    ) -> list[Generation]:
        """See ``Streams.stream``."""
        return self._write(requests, temperature, ends, told)

    def _write(
        self, requests: Sequence[Request], temperature: float, ends: frozenset[int], told: Told | None
    ) -> list[Generation]:
        check_room(requests, self.context)
        model = self.model
        return (
            generate(model.backbone, model.bank, requests, temperature, ends, told=told) if requests else []
        )
