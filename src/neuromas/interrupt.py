"""Ctrl-C while training: the step under way is finished first."""

from __future__ import annotations

import signal
from types import FrameType
from typing import Any


class Interrupt:
    """Ctrl-C ends the run after the current step; a second one ends it at once."""

    def __init__(self) -> None:
        self.asked = False
        self._before: Any = None

    def __enter__(self) -> Interrupt:
        try:
            self._before = signal.signal(signal.SIGINT, self._note)
        except ValueError:  # not the main thread: interruption is the caller's business
            self._before = None
        return self

    def __exit__(self, *_: object) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
