"""An engine that writes equal requests once, for evaluations of one network that differ in few messages.

With one node blanked after another nearly everything is asked again. A run's own evaluations do without:
what else is in a batch may tip a near tie by rounding, and theirs can be repeated bit by bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from neuromas.engines.base import Capabilities, Engine, Generation, Request
from neuromas.prompts.codec import Codec

if TYPE_CHECKING:
    from neuromas.models.adapters import AdapterBank

_Asked = tuple[Request, float, frozenset[int]]


class Remembering:
    """Another engine, whose answers are kept until something else is published.

    Only where it declares to answer equal requests equally (``Capabilities.seeded``); otherwise, and after a
    failure, it is asked again. Tokens are not told one by one. Kept is all that was asked: hold on to it no
    longer than the evaluations take.
    """

    def __init__(self, engine: Engine) -> None:
        """``engine`` writes what is not known yet."""
        self.engine = engine
        self._known: dict[_Asked, Generation] = {}

    @property
    def capabilities(self) -> Capabilities:
        """Those of the engine."""
        return self.engine.capabilities

    @property
    def codec(self) -> Codec:
        """That of the engine."""
        return self.engine.codec

    @property
    def context(self) -> int:
        """That of the engine."""
        return self.engine.context

    def version(self, adapter: int) -> int:
        """See ``Engine.version``."""
        return self.engine.version(adapter)

    def publish(self, bank: AdapterBank) -> None:
        """See ``Engine.publish``. What was written with other adapters is forgotten."""
        self._known.clear()
        self.engine.publish(bank)

    def generate(
        self, requests: Sequence[Request], temperature: float, ends: frozenset[int]
    ) -> list[Generation]:
        """See ``Engine.generate``. Only what is not known goes to the engine, in one batch."""
        if not self.capabilities.seeded:
            return self.engine.generate(requests, temperature, ends)
        asked = [(request, temperature, ends) for request in requests]
        new = [one for one in dict.fromkeys(asked) if one not in self._known]
        written = self.engine.generate([one[0] for one in new], temperature, ends) if new else []
        found = dict(zip(new, written, strict=True))
        self._known |= {one: said for one, said in found.items() if said.failure is None}
        return [found[one] if one in found else self._known[one] for one in asked]
