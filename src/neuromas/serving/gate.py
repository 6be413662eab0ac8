"""What every request passes before it is read: host, origin, key, size, and patience with slow clients."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import time
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from neuromas.core.errors import one_line
from neuromas.report.terminal import visible
from neuromas.serving.limits import Limits
from neuromas.serving.refusals import Refused

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Asgi = Callable[[Message, Receive, Send], Awaitable[None]]

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
ANYWHERE = frozenset({"0.0.0.0", "::"})
# so many times what is allowed is read and thrown away: a client that still sends does not read an answer
_SWALLOW = 16
OPEN = frozenset({"/health"})  # paths that need no key


@dataclass(frozen=True, slots=True)
class Access:
    """Who may ask: the host names this service answers to (empty: any, where a key guards it), and keys."""

    hosts: frozenset[str] = LOOPBACK
    keys: tuple[str, ...] = ()

    def named(self, host: str) -> bool:
        """Whether a Host header names this service; another name is one that was made to resolve here."""
        return not self.hosts or _name(host) in self.hosts

    def own(self, origin: str) -> bool:
        """Whether an Origin header is a page of this very service, of which there is none but on its host."""
        try:
            parts = urlsplit(origin)
            return parts.scheme in {"http", "https"} and (parts.hostname or "") in (self.hosts or LOOPBACK)
        except ValueError:
            return False

    def holder(self, header: str) -> str | None:
        """The name under which a key is counted, "" where none is needed; None if the key is not one of ours.

        All keys are compared, and by hashes of one length: the time tells neither which nor how much of it.
        """
        if not self.keys:
            return ""
        scheme, _, given = header.partition(" ")
        shown = _hash(given.strip()) if scheme.lower() == "bearer" else b""
        held = None
        for key in self.keys:
            if hmac.compare_digest(_hash(key), shown):
                held = key
        return held


class Gate:
    """ASGI middleware. What it lets through has its whole body at hand, and ``state["holder"]``."""

    def __init__(self, app: Asgi, access: Access, limits: Limits, log: Callable[[str], None]) -> None:
        """``log`` gets one line a request, made visible, without question or answer."""
        self._app, self._access, self._limits, self._log = app, access, limits, log

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] == "http":
            await self._pass(scope, receive, send)
        # anything else, a websocket, is not answered: the server closes it

    async def _pass(self, scope: Message, receive: Receive, send: Send) -> None:
        begun, status = time.monotonic(), 0

        async def patient(message: Message) -> None:
            """Send to a client that may read slowly, but not for ever."""
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            async with asyncio.timeout(self._limits.patience):
                await send(message)

        told = ""
        try:
            scope.setdefault("state", {})["holder"] = self._check(scope)
            body = await self._body(scope, receive)
            await self._app(scope, _replayed(body, receive), patient)
        except Refused as refused:
            told = f" ({refused})"
            await _answer(refused, patient)
        except TimeoutError:  # of ours, while sending: the client is let go
            told = " (client reads too slowly)"
        except Exception as error:  # the boundary: whatever breaks is one line here and one error there
            told = f" ({type(error).__name__}: {one_line(error)})"
            if not status:
                broken = Refused(500, "the service failed; its log says why", code="internal_error")
                await _answer(broken, patient)
        took = time.monotonic() - begun
        line = f"{scope['method']} {scope['path'][:200]} {status or 'gone'} {took:.2f} s{told[:300]}"
        self._log(visible(line))

    def _check(self, scope: Message) -> str:
        """Who asks. Raises Refused (401, 403, 421)."""
        headers = _headers(scope)
        hosts = headers.get("host", [])
        if len(hosts) != 1 or not self._access.named(hosts[0]):
            text = "this service does not answer to that host name; ask it as localhost, or see --host"
            raise Refused(421, text, code="wrong_host")
        for origin in headers.get("origin", []):
            if not self._access.own(origin):
                raise Refused(403, "pages of other origins may not ask", code="wrong_origin")
        keys = headers.get("authorization", [""])
        holder = self._access.holder(keys[0]) if len(keys) == 1 else None
        if holder is None and scope["path"] not in OPEN:
            text = "no key, or not one that is known; send it as 'Authorization: Bearer KEY'"
            raise Refused(401, text, code="invalid_api_key")
        return holder or ""

    async def _body(self, scope: Message, receive: Receive) -> bytes:
        """The whole body. Raises Refused (413, 408)."""
        most = self._limits.body
        large = Refused(413, f"the body is larger than {most} bytes", code="body_too_large")
        stated = _headers(scope).get("content-length", ["0"])[0]
        plain = stated.isascii() and stated.isdecimal() and len(stated) < 18
        if not plain or int(stated) > _SWALLOW * most:
            raise large
        pieces: list[bytes] = []
        size = 0
        try:
            async with asyncio.timeout(self._limits.patience):
                more = True
                while more:
                    message = await receive()
                    if message["type"] != "http.request":
                        raise Refused(400, "the client left before its request was whole", code="left")
                    piece = message.get("body", b"")
                    size += len(piece)
                    if size > _SWALLOW * most:
                        raise large
                    if size <= most:
                        pieces.append(piece)
                    more = message.get("more_body", False)
        except TimeoutError:
            text = f"the body did not come within {self._limits.patience:g} seconds"
            raise Refused(408, text, code="too_slow") from None
        if size > most:
            raise large
        return b"".join(pieces)


def _replayed(body: bytes, receive: Receive) -> Receive:
    """``receive`` with the body as one message; what comes after it is that the client has gone."""
    given = False

    async def next_message() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return next_message


async def _answer(refused: Refused, send: Send) -> None:
    """An error, after which the connection is closed: of a body that was refused the rest may still come."""
    body = json.dumps(refused.body).encode()
    headers = {**refused.headers, "Content-Type": "application/json", "Content-Length": str(len(body))}
    if refused.status in {408, 413}:
        headers["Connection"] = "close"
    raw = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    try:
        await send({"type": "http.response.start", "status": refused.status, "headers": raw})
        await send({"type": "http.response.body", "body": body})
    except (OSError, TimeoutError):
        pass  # it has gone


def _headers(scope: Message) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    pairs: Sequence[tuple[bytes, bytes]] = scope["headers"]
    for name, value in pairs:
        found.setdefault(name.decode("latin-1").lower(), []).append(value.decode("latin-1"))
    return found


def _name(host: str) -> str:
    """The name in a Host header without its port; empty if it is none."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _hash(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
