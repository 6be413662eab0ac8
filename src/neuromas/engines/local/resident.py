"""The real policy: a loaded backbone with its resident adapters."""

from __future__ import annotations

from collections.abc import Sequence

from neuromas.engines.base import Generation, Request
from neuromas.engines.local.sampler import generate
from neuromas.models.adapters import AdapterBank, LoraSpec
from neuromas.models.backbone import Backbone
from neuromas.prompts.codec import Codec


class ResidentPolicy:
    """``Policy`` over one frozen backbone in memory and ``count`` adapters beside it."""

    def __init__(self, backbone: Backbone, lora: LoraSpec, count: int, seed: int) -> None:
        """Wraps the backbone's target layers in place: one backbone serves one policy."""
        self.backbone = backbone
        self.bank = AdapterBank(backbone.model, lora, count, seed)

    @property
    def codec(self) -> Codec:
        """The backbone's tokenizer."""
        return self.backbone.codec

    @property
    def context(self) -> int:
        """The backbone's longest sequence."""
        return self.backbone.context

    def version(self, adapter: int) -> int:
        """Updates this adapter has had."""
        return self.bank.versions[adapter]

    def generate(
        self, requests: Sequence[Request], temperature: float, ends: frozenset[int]
    ) -> list[Generation]:
        """See ``Policy.generate``."""
        return generate(self.backbone, self.bank, requests, temperature, ends) if requests else []
