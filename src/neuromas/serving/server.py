"""The service on a socket, until Ctrl-C: what is being played is finished, what waits is refused."""

from __future__ import annotations

import math
import socket
from collections.abc import Callable
from functools import partial

import uvicorn

from neuromas.core.errors import ConfigError, shown
from neuromas.serving.app import Offer, Service, make_app
from neuromas.serving.heads import PatientProtocol
from neuromas.serving.playing import Player

_CONNECTIONS = 1024


def bind(host: str, port: int) -> socket.socket:
    """A socket of that address, which does not listen yet; port 0 is any free one. Raises ConfigError."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        bound = socket.socket(family, socket.SOCK_STREAM)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            bound.bind((host, port))
        except OSError:
            bound.close()
            raise
    except (OSError, UnicodeError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise ConfigError(f"cannot listen on {shown(host)} port {port}: {why}") from error
    return bound


class Running:
    """A server over one network. ``run`` returns after ``stop``, Ctrl-C or TERM."""

    def __init__(self, player: Player, offer: Offer, log: Callable[[str], None]) -> None:
        """``log`` gets lines that are safe to print."""
        self.service = Service(player, offer, log)
        config = uvicorn.Config(
            make_app(self.service, offer, log),
            log_config=None,
            access_log=False,
            loop="asyncio",
            http=partial(PatientProtocol, patience=offer.limits.patience),
            ws="none",
            limit_concurrency=_CONNECTIONS,
            timeout_graceful_shutdown=math.ceil(offer.limits.patience),
            server_header=False,
        )
        self._server = uvicorn.Server(config)
        plain = self._server.handle_exit

        def ending(number: int, frame: object) -> None:
            """The first signal ends the queue, too; a second one what is being played."""
            batcher = self.service.batcher
            if batcher.closing:
                batcher.close()
            batcher.closing = True
            plain(number, frame)

        self._server.handle_exit = ending

    @property
    def started(self) -> bool:
        """Whether it answers."""
        return bool(self._server.started)

    def stop(self) -> None:
        """End it, from any thread."""
        self.service.batcher.closing = True
        self._server.should_exit = True

    def run(self, bound: socket.socket) -> None:
        """Serve on this socket."""
        self._server.run(sockets=[bound])
