"""A tokenizer whose chat template is nobody's: the roles of a chat are marks that only the sender reads.

The endpoint has a chat template of its own, so ours must not be in the text. Prompts are built as for any
tokenizer; their marks are negative ids, which no text can become, and tell the system text from the user's.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from neuromas.prompts.codec import Codec

SYSTEM, USER, REPLY, END = -1, -2, -3, -4
_NAMES = {SYSTEM: "<system>", USER: "<user>", REPLY: "<reply>", END: "<end>"}


class ChatCodec:
    """``Codec`` with the tokens of ``base`` as the ruler, and a frame that ``messages`` takes apart again."""

    end_ids = frozenset({END})
    start_ids: tuple[int, ...] = ()

    def __init__(self, base: Codec) -> None:
        self._base = base
        self.control_tokens = base.control_tokens
        self.line_end_ids = base.line_end_ids - base.end_ids | self.end_ids

    def holding(self, text: str) -> frozenset[int]:
        """See ``Codec``."""
        return self._base.holding(text)

    def encode(self, text: str) -> tuple[int, ...]:
        """See ``Codec``."""
        return self._base.encode(text)

    def decode(self, ids: Sequence[int]) -> str:
        """See ``Codec``."""
        return self._base.decode([i for i in ids if i >= 0])

    def spell(self, ids: Sequence[int]) -> str:
        """See ``Codec``; the marks as ``<system>`` and the like."""
        pieces = groupby(ids, key=lambda i: _NAMES.get(i, ""))
        return "".join(name or self._base.spell(list(run)) for name, run in pieces)

    def chat(self, system: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """The marks around both texts; without a system text the user's alone."""
        before = (SYSTEM, *self.encode(system)) if system.strip() else ()
        return (*before, USER), (REPLY,)

    def messages(self, ids: Sequence[int]) -> list[dict[str, str]]:
        """The prompt as the messages of a chat; one that has no marks (plain style) is the user's."""
        system: list[int] = []
        user: list[int] = []
        current = USER
        for i in ids:
            if i in (SYSTEM, USER, REPLY):
                current = i
            else:
                (system if current == SYSTEM else user).append(i)
        told, asked = self.decode(system).strip(), self.decode(user).strip()
        head = [{"role": "system", "content": told}] if told else []
        return [*head, {"role": "user", "content": asked}]
