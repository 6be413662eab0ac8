"""The page over HTTP on this machine alone, made anew when the files it reads have changed.

Only ``/`` is there, only to be read, and only for a browser that was sent here by this address: a page of
somebody else that has its own name resolve to 127.0.0.1 names another host, and one that asks across names
another origin.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from neuromas.core.errors import RunError, one_line
from neuromas.report.html.places import FILE
from neuromas.report.pages.runs import find_runs

LOOPBACK = "127.0.0.1"
PORT = 8377
LEAST = 1.0  # seconds between two looks at the files
_SPARE = 4.0  # times as long as the last page took to make: a page is a fifth of one core at most
_FOLDERS = ("", "evaluations", "checkpoints")
_HEADERS = {
    "Cache-Control": "no-store",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


def signature(paths: Sequence[Path]) -> tuple[Any, ...]:
    """What of the files tells whether a page of them is still right: names, sizes and times, no content."""
    found = []
    for path in paths:
        below = [] if (path / "config.json").is_file() else find_runs(path)  # of an experiment
        for folder in (run / name for run in (path, *below) for name in _FOLDERS):
            try:
                with os.scandir(folder) as entries:
                    found += [
                        (str(folder), one.name, one.stat().st_size, one.stat().st_mtime_ns)
                        for one in entries
                        if not one.name.startswith(".") and one.name != FILE
                    ]
            except OSError:
                continue
    return tuple(sorted(found))


@dataclass(slots=True)
class Kiosk:
    """The newest page. ``make`` builds one; at most one is built at a time."""

    paths: Sequence[Path]
    make: Callable[[], str]
    now: Callable[[], float] = time.monotonic
    text: bytes = b""
    tag: str = ""
    _seen: tuple[Any, ...] = ()
    _next: float = 0.0
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def newest(self) -> tuple[bytes, str]:
        """The page and its tag. Where one cannot be made, the last one; RunError if there is none."""
        async with self._lock:
            if self.now() >= self._next:
                await asyncio.to_thread(self._look)
        return self.text, self.tag

    def _look(self) -> None:
        """Make the page anew if a file has changed since it was made."""
        began = self.now()
        seen = signature(self.paths)
        if seen != self._seen or not self.text:
            try:
                self.text = self.make().encode("utf-8", "replace")
            except Exception as error:  # whatever a file being written does to it, the last page stays
                if not self.text:
                    raise RunError(one_line(error)) from error
            else:
                self._seen = seen
                self.tag = f'"{hashlib.sha256(self.text).hexdigest()[:32]}"'
        self._next = self.now() + max(LEAST, _SPARE * (self.now() - began))


def application(kiosk: Kiosk, port: int) -> Any:
    """The ASGI application: the page at ``/`` for this host and origin, and nothing else."""
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import PlainTextResponse, Response
    from starlette.routing import Route

    hosts = {f"{name}:{port}" for name in (LOOPBACK, "localhost")}

    async def index(request: Request) -> Response:
        hosted = request.headers.getlist("host")
        origins = request.headers.getlist("origin")
        if len(hosted) != 1 or hosted[0] not in hosts:
            return PlainTextResponse("this address is served to its own host alone\n", 403, _HEADERS)
        if any(origin not in {f"http://{host}" for host in hosts} for origin in origins):
            return PlainTextResponse("other origins may not ask\n", 403, _HEADERS)
        try:
            text, tag = await kiosk.newest()
        except RunError as error:
            return PlainTextResponse(f"{error}\n", 503, _HEADERS)
        headers = {**_HEADERS, "ETag": tag}
        if request.headers.get("if-none-match") == tag:
            return Response(status_code=304, headers=headers)
        return Response(text, headers=headers, media_type="text/html; charset=utf-8")

    return Starlette(routes=[Route("/", index, methods=["GET"])])


def bound(port: int) -> socket.socket:
    """A listening place on the loopback. Raises RunError if the port is taken."""
    place = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        place.bind((LOOPBACK, port))
        place.listen(16)
    except OSError as error:
        place.close()
        why = error.strerror or error
        raise RunError(f"--port {port}: {why}; choose another, or 0 for any that is free") from error
    return place


def serve(kiosk: Kiosk, place: socket.socket) -> None:
    """Serve until interrupted."""
    import uvicorn

    settings = uvicorn.Config(
        application(kiosk, place.getsockname()[1]),
        **{"log_level": "warning", "access_log": False, "lifespan": "off", "server_header": False},
        **{"limit_concurrency": 32, "timeout_keep_alive": 5, "timeout_graceful_shutdown": 1, "ws": "none"},
    )
    uvicorn.Server(settings).run(sockets=[place])
