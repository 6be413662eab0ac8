"""Text to tokens and back, with one promise: untrusted text never becomes a control token.

``Codec.encode`` is for text from questions, messages and prompt files; only a chat template's own is trusted.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from neuromas.core.errors import shown

if TYPE_CHECKING:
    from neuromas.prompts.chat import ChatTemplate


@runtime_checkable
class Codec(Protocol):
    """What prompts and samplers need of a tokenizer."""

    @property
    def control_tokens(self) -> tuple[str, ...]:
        """Texts of all tokens that are more than text: turn marks, tool marks and the like."""
        ...

    @property
    def end_ids(self) -> frozenset[int]:
        """Tokens that end a chat turn."""
        ...

    @property
    def line_end_ids(self) -> frozenset[int]:
        """Tokens that end a turn or whose text contains a line break."""
        ...

    @property
    def start_ids(self) -> tuple[int, ...]:
        """Tokens every prompt of this model starts with (a begin-of-text mark), often none."""
        ...

    def holding(self, text: str) -> frozenset[int]:
        """Tokens whose text contains this one; control tokens are none of them."""
        ...

    def encode(self, text: str) -> tuple[int, ...]:
        """Tokens of untrusted text: no control token among them, whatever the text says."""
        ...

    def decode(self, ids: Sequence[int]) -> str:
        """Text of sampled tokens, control tokens left out."""
        ...

    def spell(self, ids: Sequence[int]) -> str:
        """Text of any ids with control tokens written out: for people to look at."""
        ...

    def chat(self, system: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Tokens before and after the user's text in a one-turn chat under this untrusted system text.

        Raises ValueError where there is no chat template that can be used.
        """
        ...


def neutralise(text: str, control_tokens: Sequence[str]) -> str:
    """Break every control token inside untrusted text by a space after its first character."""
    # every break parts two characters that are not spaces, so breaking comes to an end
    breakable = {t for t in control_tokens if len(t) > 1 and not (t[0].isspace() or t[1].isspace())}
    if not breakable:
        return text
    ordered = sorted(breakable, key=len, reverse=True)
    pattern = re.compile("|".join(re.escape(token) for token in ordered))
    while pattern.search(text):
        text = pattern.sub(lambda found: found[0][0] + " " + found[0][1:], text)
    return text


def _whole(text: str) -> str:
    """The text without halves of surrogate pairs."""
    return text.encode("utf-8", errors="replace").decode("utf-8")


class ByteCodec:
    """One token a byte, 0–255, and one end token, 256. Needs no files; for tests."""

    VOCABULARY = 257
    END = 256
    control_tokens: tuple[str, ...] = ()
    end_ids = frozenset({END})
    line_end_ids = frozenset({END, 10, 13})
    start_ids: tuple[int, ...] = ()

    def holding(self, text: str) -> frozenset[int]:
        """The byte of a text of one byte, else none."""
        found = text.encode("utf-8")
        return frozenset(found if len(found) == 1 else b"")

    def encode(self, text: str) -> tuple[int, ...]:
        """UTF-8 bytes of the text."""
        return tuple(text.encode("utf-8", errors="replace"))

    def decode(self, ids: Sequence[int]) -> str:
        """Text of the bytes; the end token is left out, invalid bytes are replaced."""
        return bytes(i for i in ids if 0 <= i < 256).decode("utf-8", errors="replace")

    def spell(self, ids: Sequence[int]) -> str:
        """The same with the end token as ``<end>``."""
        raw = b"".join(b"<end>" if i == self.END else bytes([i]) for i in ids)
        return raw.decode("utf-8", errors="replace")

    def chat(self, system: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """A plain frame of two lines: bytes have no control tokens to frame a turn with."""
        return self.encode(f"{system}\nUser: "), self.encode("\nReply:")


class TokenizerCodec:
    """A Hugging Face fast tokenizer behind the ``Codec`` protocol."""

    def __init__(self, tokenizer: Any, end_ids: Sequence[int], start_ids: Sequence[int] = ()) -> None:
        """``end_ids`` come from the model's configuration; a pad token equal to them does no harm."""
        self._tokenizer = tokenizer
        added = tokenizer.get_added_vocab()
        # runs of blanks are text, also in the spelling of SentencePiece (Gemma adds both as tokens)
        blank = {token for token in added if not token.strip(" \t\r\n\u2581")}
        self.control_tokens: tuple[str, ...] = tuple(sorted({*added, *tokenizer.all_special_tokens} - blank))
        self._control_ids = frozenset(tokenizer.convert_tokens_to_ids(list(self.control_tokens)))
        self.start_ids: tuple[int, ...] = tuple(start_ids)
        self.end_ids: frozenset[int] = frozenset(end_ids)
        self._found: dict[str, frozenset[int]] = {}
        self.line_end_ids: frozenset[int] = self.end_ids | self._with("\n") | self._with("\r")
        self._frames: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = {}

    @cached_property
    def _texts(self) -> list[str]:
        """The text of every token."""
        every = [[i] for i in range(len(self._tokenizer))]
        return list(self._tokenizer.batch_decode(every, skip_special_tokens=False))

    def _with(self, text: str) -> frozenset[int]:
        """Tokens whose text contains this one."""
        if text not in self._found:
            self._found[text] = frozenset(i for i, own in enumerate(self._texts) if text in own)
        return self._found[text]

    @property
    def largest(self) -> int:
        """The largest token there is."""
        return int(max(self._tokenizer.get_vocab().values(), default=0))

    def spell(self, ids: Sequence[int]) -> str:
        """See ``Codec``."""
        return str(
            self._tokenizer.decode(list(ids), skip_special_tokens=False, clean_up_tokenization_spaces=False)
        )

    def holding(self, text: str) -> frozenset[int]:
        """See ``Codec``."""
        return self._with(text) - self._control_ids

    def encode(self, text: str) -> tuple[int, ...]:
        """Tokens of neutralised text; a control token that survives even so is left out."""
        clean = neutralise(_whole(text), self.control_tokens)
        ids = tuple(self._tokenizer.encode(clean, add_special_tokens=False))
        if self._control_ids.isdisjoint(ids):
            return ids
        return tuple(i for i in ids if i not in self._control_ids)

    def decode(self, ids: Sequence[int]) -> str:
        """Text of the ids, control tokens left out, spaces as sampled."""
        kept = [i for i in ids if i not in self._control_ids and i not in self.end_ids]
        return str(self._tokenizer.decode(kept, clean_up_tokenization_spaces=False))

    @cached_property
    def _template(self) -> ChatTemplate:
        """The tokenizer's chat template. Raises ValueError where it has none."""
        from neuromas.prompts.chat import ChatTemplate  # its parser is not needed for plain prompts

        return ChatTemplate(self._tokenizer.get_chat_template(), self._tokenizer.apply_chat_template)

    def chat(self, system: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """The model's own chat template, thinking switched off, cut where the user's text goes.

        Where it has no system role, the system text stands before the user's.
        """
        if system not in self._frames:
            frame = self._framed(neutralise(_whole(system), self.control_tokens))
            # what a system text says adds no control token to those of the template
            if system and self._marks(frame) != self._marks(self._framed("x")):
                raise ValueError(f"the system text {shown(system)} holds what is a control token here")
            if len(self._frames) > 4096:  # answer formats and positions: a network has few
                self._frames.clear()
            self._frames[system] = frame
        return self._frames[system]

    def _framed(self, system: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
        before, after = self._template.frame(system)
        return self._trusted(before), self._trusted(after)

    def _marks(self, frame: tuple[tuple[int, ...], tuple[int, ...]]) -> list[int]:
        """The control tokens of a frame."""
        return [i for piece in frame for i in piece if i in self._control_ids]

    def _trusted(self, text: str) -> tuple[int, ...]:
        """Tokens of our own template text, in which control tokens mean what they say."""
        return tuple(self._tokenizer.encode(text, add_special_tokens=False))
