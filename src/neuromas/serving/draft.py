"""The output node's text while it is being written: what of it is certain to stay."""

from __future__ import annotations

from collections.abc import Callable, Sequence

Decode = Callable[[Sequence[int]], str]
_BROKEN = "�"  # what decoding gives for a character of which bytes are missing


class Draft:
    """Tokens in, text out. The pieces given out make up the answer: stripped, and cut before a stop text.

    Held back is what may still change or go: a character that is not whole, white space that may be the
    last, and the beginning of a stop text.
    """

    def __init__(self, decode: Decode, ends: frozenset[int], stops: tuple[str, ...] = ()) -> None:
        """``ends`` are the node's end tokens, which are not told as text."""
        self._decode, self._ends, self._stops = decode, ends, stops
        self.sent = ""
        self.begin()

    def begin(self) -> None:
        """The message is written from its first token; what was sent stays sent."""
        self._ids: list[int] = []
        self._from, self._known = 0, 0  # tokens before _from are settled; up to _known they are in the text
        self._text = ""
        self.stopped = False

    def add(self, token: int) -> str:
        """The text that is certain only with this token. ``stopped`` says whether a stop text came."""
        if token in self._ends or self.stopped:
            return ""
        self._ids.append(token)
        # a few tokens back, as a tokenizer may join what it decodes to what stands before
        before = self._decode(self._ids[self._from : self._known])
        now = self._decode(self._ids[self._from :])
        if now.endswith(_BROKEN) or len(now) <= len(before):
            return ""
        self._text += now[len(before) :]
        self._from, self._known = self._known, len(self._ids)
        kept = cut_before(self._text, self._stops)
        self.stopped = len(kept) < len(self._text)
        if not self.stopped:
            kept = kept[: len(kept) - _begun(kept, self._stops)]
        return self._send(kept.strip())

    def finish(self, text: str) -> str | None:
        """What is left to send of the whole message ``text``; None if what was sent is no part of it."""
        kept = cut_before(text, self._stops)
        self.stopped = self.stopped or len(kept) < len(text)
        answer = kept.strip()
        return self._send(answer) if answer.startswith(self.sent) else None

    def _send(self, text: str) -> str:
        if not text.startswith(self.sent):
            return ""
        piece, self.sent = text[len(self.sent) :], text
        return piece


def cut_before(text: str, stops: Sequence[str]) -> str:
    """The text before the stop text that is complete first; where two are, before the longer one."""
    found = [(text.find(stop), len(stop)) for stop in stops]
    ended = [(place + size, place) for place, size in found if place >= 0]
    return text[: min(ended)[1]] if ended else text


def _begun(text: str, stops: Sequence[str]) -> int:
    """How many characters at the end may be the beginning of a stop text."""
    return max(
        (size for stop in stops for size in range(1, len(stop)) if text.endswith(stop[:size])), default=0
    )
