"""Requests to end that arrive as signals: the work in hand is done first."""

from __future__ import annotations

import signal
from types import FrameType
from typing import Any


class Interrupt:
    """Ctrl-C or TERM ends the run after the current step; a second one ends it at once."""

    _KINDS = (signal.SIGINT, signal.SIGTERM)

    def __init__(self) -> None:
        self.asked = False
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Interrupt:
        try:
            for kind in self._KINDS:
                self._before[kind] = signal.signal(kind, self._note)
        except ValueError:  # not the main thread: interruption is the caller's business
            pass
        return self

    def __exit__(self, *_: object) -> None:
        for kind, handler in self._before.items():
            signal.signal(kind, signal.SIG_DFL if handler is None else handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
