"""How much a service takes: of one request, of one key, and at once."""

from __future__ import annotations

from dataclasses import dataclass

from neuromas.serving.refusals import Refused


@dataclass(frozen=True, slots=True)
class Limits:
    """Sizes and numbers from which on requests are refused; 0 is none where that is said.

    ``body`` bytes, ``question`` characters, ``per_minute`` requests of a key (0: any number), ``at_once``
    requests of a key under way, ``waiting`` requests before the network, ``batch`` requests in one rollout,
    ``window`` seconds to wait for others, ``patience`` seconds for a client that sends or reads slowly.
    """

    body: int = 1 << 20
    question: int = 32_000
    per_minute: int = 0
    at_once: int = 128
    waiting: int = 256
    batch: int = 32
    window: float = 0.005
    patience: float = 30.0


class Meter:
    """Counts what every key asks. Times are seconds of one clock that never goes back."""

    def __init__(self, per_minute: int, at_once: int) -> None:
        """``per_minute`` 0 is any number. A key that was idle may spend a minute's requests at once."""
        self._per_minute, self._at_once = per_minute, at_once
        self._left: dict[str, tuple[float, float]] = {}  # requests left, and when that was so
        self._busy: dict[str, int] = {}

    def enter(self, key: str, now: float) -> None:
        """Count a request of this key as begun. Raises Refused (429)."""
        busy = self._busy.get(key, 0)
        if busy >= self._at_once:
            text = f"{busy} requests of this key are under way, and no more are taken at once"
            raise Refused(429, text, code="too_many_at_once", retry=1)
        if self._per_minute:
            self._spend(key, now)
        self._busy[key] = busy + 1

    def leave(self, key: str) -> None:
        """The request has ended, however it did."""
        self._busy[key] -= 1
        if not self._busy[key]:
            del self._busy[key]

    def _spend(self, key: str, now: float) -> None:
        pace = self._per_minute / 60
        left, since = self._left.get(key, (float(self._per_minute), now))
        left = min(self._per_minute, left + (now - since) * pace)
        if left < 1:
            text = f"more than {self._per_minute} requests a minute of this key"
            raise Refused(429, text, code="rate_limit_exceeded", retry=(1 - left) / pace)
        self._left[key] = (left - 1, now)
