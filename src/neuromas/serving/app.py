"""The service's paths: ``/v1/chat/completions``, ``/v1/models``, ``/health``. Needs the extra ``serve``."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import Response, StreamingResponse
from starlette.exceptions import HTTPException

from neuromas.core.errors import one_line, unknown
from neuromas.serving.asking import REFUSE, read_ask
from neuromas.serving.batching import Batcher, Ended, Job
from neuromas.serving.gate import Access, Gate
from neuromas.serving.limits import Limits, Meter
from neuromas.serving.playing import Player
from neuromas.serving.refusals import Refused
from neuromas.serving.schema import read_chat
from neuromas.serving.streaming import Form, events

_LEFT = 499  # what logs call a request whose client has gone


@dataclass(frozen=True, slots=True)
class Offer:
    """What is served: the network's name, how earlier turns are read, who may ask, how much is taken."""

    name: str
    turns: str = REFUSE
    access: Access = field(default_factory=Access)
    limits: Limits = field(default_factory=Limits)


class Service:
    """The endpoints, over one network."""

    def __init__(self, player: Player, offer: Offer, log: Callable[[str], None]) -> None:
        """``log`` gets lines; what a request or a network wrote is not in them."""
        self._player, self._offer = player, offer
        self._meter = Meter(offer.limits.per_minute, offer.limits.at_once)
        self._fingerprint, self._created = player.fingerprint(), int(time.time())

        def fault(error: Exception) -> None:
            log(f"a rollout failed: {type(error).__name__}: {one_line(error)}")

        self.batcher = Batcher(player.play, offer.limits, fault)

    @asynccontextmanager
    async def lifespan(self, app: FastAPI) -> AsyncIterator[None]:
        """The queue is worked on as long as the server runs."""
        worker = asyncio.create_task(self.batcher.run())
        try:
            yield
        finally:
            self.batcher.close()
            worker.cancel()

    async def health(self, request: Request) -> dict[str, Any]:
        """Whether it takes requests, and how many are under way."""
        batcher = self.batcher
        status = "ending" if batcher.closing else "ok"
        return {"status": status, "waiting": batcher.waiting, "running": batcher.running}

    async def models(self, request: Request) -> dict[str, Any]:
        """The one network."""
        return {"object": "list", "data": [self._card()]}

    async def model(self, request: Request) -> dict[str, Any]:
        """The network by its name. Raises Refused (404)."""
        self._check_model(request.path_params["name"])
        return self._card()

    async def chat(self, request: Request) -> Response:
        """One question, whole or as a stream. Raises Refused."""
        wanted = read_chat(await request.body())
        self._check_model(wanted.model)
        ask = read_ask(wanted, self._player, self._offer.turns, self._offer.limits)
        topology = self._player.topology
        usage = wanted.stream_options is not None and wanted.stream_options.include_usage
        form = Form(
            self._offer.name, self._fingerprint, topology, ask.seed, wanted.neuromas.trace, usage=usage
        )
        job = Job(ask, self._player.draft(topology.sink, ask.stops), topology.sink, wanted.stream)
        holder = request.scope["state"]["holder"]
        self._meter.enter(holder, time.monotonic())
        try:
            self.batcher.submit(job)
        except Refused:
            self._meter.leave(holder)
            raise
        # its end is the end of the request, however that comes: the answer was sent or the client has gone
        _keep(asyncio.create_task(self._until_gone(request, job, holder)))
        first = await job.next()
        if first is None:
            return Response(status_code=_LEFT)
        if isinstance(first, Refused):
            raise first
        if isinstance(first, Ended) and not wanted.stream:
            return _json(form.whole(first))
        headers = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
        return StreamingResponse(events(form, job, first), media_type="text/event-stream", headers=headers)

    async def _until_gone(self, request: Request, job: Job, holder: str) -> None:
        """Wait for the end of the request, and give its place to others."""
        try:
            while (await request.receive())["type"] != "http.disconnect":
                pass
        finally:
            self.batcher.forget(job)
            self._meter.leave(holder)

    def _check_model(self, name: str) -> None:
        if name != self._offer.name:
            text = unknown("model", name, [self._offer.name])
            raise Refused(404, text, code="model_not_found", param="model")

    def _card(self) -> dict[str, Any]:
        card = {"id": self._offer.name, "object": "model", "created": self._created, "owned_by": "neuromas"}
        return {**card, "system_fingerprint": self._fingerprint, "nodes": len(self._player.topology.nodes)}


_TASKS: set[asyncio.Task[None]] = set()


def _keep(task: asyncio.Task[None]) -> None:
    """Hold a task until it is done: the event loop itself does not."""
    _TASKS.add(task)
    task.add_done_callback(_TASKS.discard)


def make_app(service: Service, offer: Offer, log: Callable[[str], None]) -> FastAPI:
    """The application, behind its gate. It offers no pages: nothing here is for a browser."""
    app = FastAPI(lifespan=service.lifespan, openapi_url=None, docs_url=None, redoc_url=None)
    app.add_api_route("/health", service.health, methods=["GET"], response_model=None)
    app.add_api_route("/v1/models", service.models, methods=["GET"], response_model=None)
    app.add_api_route("/v1/models/{name:path}", service.model, methods=["GET"], response_model=None)
    app.add_api_route("/v1/chat/completions", service.chat, methods=["POST"], response_model=None)
    app.add_exception_handler(Refused, _refused)
    app.add_exception_handler(HTTPException, _not_here)
    app.add_middleware(Gate, access=offer.access, limits=offer.limits, log=log)
    return app


async def _refused(request: Request, refused: Refused) -> Response:
    return _json(refused.body, refused.status, refused.headers)


async def _not_here(request: Request, error: HTTPException) -> Response:
    """A path or method that does not exist."""
    text = "there are POST /v1/chat/completions, GET /v1/models and GET /health"
    wrong = Refused(error.status_code, f"{error.detail}: {text}", code="not_found")
    return _json(wrong.body, wrong.status, error.headers)


def _json(data: dict[str, Any], status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """In ASCII, which also writes what is no character: half a surrogate pair that a client sent."""
    return Response(json.dumps(data), status, headers, "application/json")
