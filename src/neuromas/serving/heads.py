"""HTTP connections on which the head of a request must come in time; uvicorn waits for it without end."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol


class PatientProtocol(H11Protocol):  # type: ignore[misc]
    """Closes a connection whose next head is not there so many seconds after it could begin."""

    def __init__(self, *args: Any, patience: float, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._patience = patience
        self._late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:
        """A head may begin."""
        super().connection_made(transport)
        self._watch()

    def data_received(self, data: bytes) -> None:
        """A head may have ended."""
        super().data_received(data)
        self._watch()

    def on_response_complete(self) -> None:
        """Another head may begin."""
        super().on_response_complete()
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is waited for."""
        self._forget()
        super().connection_lost(exc)

    def _watch(self) -> None:
        """The clock runs as long as a head is due, whatever pieces of it come."""
        due = self.cycle is None or self.cycle.response_complete
        if not due:
            self._forget()
        elif self._late is None:
            self._late = self.loop.call_later(self._patience, self.transport.close)

    def _forget(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None
