"""Completions of token ids from servers that speak the OpenAI protocol with vLLM's additions.

The ``openai`` package does connections, repeated tries and time-outs; it is an optional extra and is
loaded when a client is made. Requests run side by side in one thread of their own, so that a caller may be
interrupted at once, and so that a notebook, which has a loop of its own, may call.
"""

from __future__ import annotations

import asyncio
import math
import os
import threading
import weakref
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from neuromas.core.errors import ConfigError, ModelError, one_line, shown
from neuromas.engines.base import Generation

if TYPE_CHECKING:
    from openai import AsyncOpenAI

T = TypeVar("T")
EXTRA = "pip install 'neuromas[endpoint]'"


@dataclass(frozen=True, slots=True)
class Access:
    """Where servers are and how patiently they are asked.

    ``concurrency`` requests are under way at a server at once; a request is tried ``retries`` times more
    where the connection or the server fails, each for ``timeout`` seconds. ``key_env`` names the
    environment variable that holds the key ("": none); the key is kept nowhere else.
    """

    urls: tuple[str, ...]
    concurrency: int = 64
    timeout: float = 600.0
    retries: int = 4
    key_env: str = ""


@dataclass(frozen=True, slots=True)
class Completion:
    """One message to be written by ``model``: the name of an adapter, or that of the served model."""

    model: str
    prompt: tuple[int, ...]
    max_new: int
    seed: int


@dataclass(frozen=True, slots=True)
class Drawing:
    """How a batch is drawn: at ``temperature`` (0: greedy), up to a token in ``ends``."""

    temperature: float
    ends: frozenset[int]


class Servers:
    """Servers of one model, all with the same adapters. Close it, or leave that to its end."""

    def __init__(self, access: Access) -> None:
        """Raises ConfigError if the package ``openai`` is missing or ``access`` cannot be used."""
        self.access = access
        self.urls = tuple(plain_url(url) for url in access.urls)
        if not self.urls:
            raise ConfigError("engine.options.urls is empty: name at least one server")
        clients = [_client(url, access) for url in self.urls]
        self._clients = clients
        self._thread = _Thread()
        self._end = weakref.finalize(self, _close, clients, self._thread)

    def close(self) -> None:
        """Close all connections; nothing can be asked afterwards."""
        self._end()

    def models(self) -> list[dict[str, dict[str, Any]]]:
        """Of each server, what it lists: adapters and served model by name. Raises ModelError."""

        async def one(place: int) -> dict[str, dict[str, Any]]:
            answer = await self._call(place, "get", "/models")
            rows = answer.get("data") if isinstance(answer, dict) else None
            if not isinstance(rows, list) or not all(isinstance(row, dict) and "id" in row for row in rows):
                raise ModelError(f"server {self.urls[place]} lists no models: {shown(answer)}")
            return {str(row["id"]): row for row in rows}

        return self._everywhere(one)

    def load(self, adapters: Mapping[str, str]) -> None:
        """Have every server read adapters, each a folder under a name. Raises ModelError."""

        async def one(place: int) -> None:
            for name, path in adapters.items():
                try:
                    body = {"lora_name": name, "lora_path": path}
                    await self._call(place, "post", "/load_lora_adapter", body)
                except RefusedError as error:
                    if "already" not in str(error):  # an answer was lost and the request repeated
                        raise

        self._everywhere(one)

    def unload(self, names: Sequence[str]) -> None:
        """Have every server forget adapters, where it still knows them. Raises ModelError."""

        async def one(place: int) -> None:
            for name in names:
                try:
                    await self._call(place, "post", "/unload_lora_adapter", {"lora_name": name})
                except RefusedError as error:
                    if error.status not in (400, 404):  # that is what is said of an unknown one
                        raise

        self._everywhere(one)

    def complete(
        self, asked: Sequence[Completion], how: Drawing, only: int | None = None
    ) -> list[Generation]:
        """All messages. Raises ModelError, naming the server, for the first that cannot be had.

        ``only``: the number of the one server to ask.
        """
        out = self.attempt(asked, how, only)
        for one in out:
            if isinstance(one, ModelError):
                raise one
        return [one for one in out if isinstance(one, Generation)]

    def attempt(
        self, asked: Sequence[Completion], how: Drawing, only: int | None = None
    ) -> list[Generation | ModelError]:
        """All messages, in the place of each that cannot be had the reason.

        Requests with one model and one beginning go to one server, which has read it already. Where the
        connection to a server fails for good, another is asked, and the lost one no more in this batch.
        """
        order = sorted(range(len(asked)), key=lambda i: (asked[i].model, asked[i].prompt, i))
        count = len(self.urls)
        turns = [[(place + turn) % count for turn in range(count)] for place in range(count)]
        routes = {
            i: turns[place * count // len(order)] if only is None else [only] for place, i in enumerate(order)
        }

        async def every() -> list[Generation | ModelError]:
            gates = [asyncio.Semaphore(self.access.concurrency) for _ in self.urls]
            ask = _Batch(self, how, gates, {}).one
            return list(await asyncio.gather(*(ask(one, routes[i]) for i, one in enumerate(asked))))

        return self._thread.run(every()) if asked else []

    def _everywhere(self, one: Any) -> list[Any]:
        """``one(place)`` for every server at once."""

        async def every() -> list[Any]:
            return list(await asyncio.gather(*(one(place) for place in range(len(self.urls)))))

        return self._thread.run(every())

    async def _call(self, place: int, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """The answer of one server as plain data. Raises ModelError: ``_LostError`` or ``RefusedError``."""
        import openai

        client, url = self._clients[place], self.urls[place]
        try:
            if method == "get":
                return await client.get(path, cast_to=object)
            return await client.post(path, cast_to=object, body=body)
        except openai.APITimeoutError as error:
            raise _FailedError(
                f"server {url} did not answer within {self.access.timeout:g} seconds ({path})"
            ) from error
        except openai.APIConnectionError as error:
            cause = one_line(error.__cause__ or error)[:200]
            raise _LostError(f"server {url} cannot be reached ({cause}); is it running?") from error
        except openai.APIStatusError as error:
            said = one_line(error)[:400]
            if error.status_code >= 500:
                raise _FailedError(f"server {url} fails at {path}: {said}") from error
            raise RefusedError(f"server {url} refuses {path}: {said}", error.status_code) from error
        except (openai.OpenAIError, ValueError) as error:
            raise ModelError(f"server {url} answers what cannot be read: {one_line(error)[:300]}") from error


class _FailedError(ModelError):
    """No answer of any use: another server may have one."""


class _LostError(_FailedError):
    """No connection: this server has no answer to any request."""


class RefusedError(ModelError):
    """The server understood and said no: another would say it, too."""

    def __init__(self, text: str, status: int) -> None:
        super().__init__(text)
        self.status = status


@dataclass(frozen=True, slots=True)
class _Batch:
    """The requests of one call: how they are drawn, each server's gate, and which servers are lost."""

    servers: Servers
    how: Drawing
    gates: list[asyncio.Semaphore]
    lost: dict[int, _LostError]

    async def one(self, asked: Completion, route: Sequence[int]) -> Generation | ModelError:
        """One message, of the first server of the ``route`` that has an answer."""
        failed = ModelError("no server was asked")
        for place in route:
            try:
                async with self.gates[place]:
                    if place in self.lost:
                        raise self.lost[place]
                    answer = await self.servers._call(place, "post", "/completions", body(asked, self.how))
                return read(answer, asked, self.how)
            except _FailedError as error:
                failed = error
                if isinstance(error, _LostError):
                    self.lost[place] = error
            except ModelError as error:
                where = self.servers.urls[place]
                return error if where in str(error) else ModelError(f"server {where}: {one_line(error)}")
        return failed


def body(asked: Completion, how: Drawing) -> dict[str, Any]:
    """The request of one completion.

    Every way to distort a distribution is switched off by name: a server fills what is silent with the
    model's own defaults. Only ``ends`` end a message.
    """
    return {
        "model": asked.model,
        "prompt": list(asked.prompt),
        "max_tokens": asked.max_new,
        "temperature": how.temperature,
        "seed": asked.seed,
        "n": 1,
        "top_p": 1.0,
        "top_k": 0,
        "min_p": 0.0,
        "repetition_penalty": 1.0,
        "presence_penalty": 0.0,
        "frequency_penalty": 0.0,
        "logprobs": 0,
        "return_token_ids": True,
        "return_tokens_as_token_ids": True,
        "stop_token_ids": sorted(how.ends),
        "ignore_eos": True,
    }


def read(answer: Any, asked: Completion, how: Drawing) -> Generation:
    """The message of an answer. Raises ModelError if it is not what was asked for."""
    try:
        choice = answer["choices"][0]
        ids, prompt = tuple(choice["token_ids"]), choice.get("prompt_token_ids")
        logprobs = [float(p) for p in choice["logprobs"]["token_logprobs"]]
        model, reason = answer.get("model", asked.model), choice.get("finish_reason")
    except (TypeError, KeyError, IndexError, ValueError, AttributeError):
        raise ModelError(
            "an answer without token ids and log-probabilities (a vLLM that knows return_token_ids is "
            f"needed): {shown(answer)}"
        ) from None
    if model != asked.model:
        raise ModelError(f"{asked.model!r} was asked, and {shown(model)} answers")
    if prompt is not None and tuple(prompt) != asked.prompt:
        raise ModelError(f"a prompt of {len(asked.prompt)} tokens was read as another of {len(prompt)}")
    if not all(type(token) is int and token >= 0 for token in ids) or len(ids) != len(logprobs):
        raise ModelError(f"{len(ids)} tokens with {len(logprobs)} log-probabilities: {shown(choice)}")
    ended = bool(ids) and ids[-1] in how.ends
    if not 1 <= len(ids) <= asked.max_new or not (ended or len(ids) == asked.max_new):
        raise ModelError(
            f"a message of {len(ids)} tokens stopped at neither an end token nor its limit of "
            f"{asked.max_new} (finish_reason {shown(reason)})"
        )
    if any(token in how.ends for token in ids[:-1]):
        raise ModelError("a message goes on after its end token")
    if how.temperature == 0.0:
        return Generation(ids, (0.0,) * len(ids), ended)
    if not all(-math.inf < p <= 1e-3 for p in logprobs):
        raise ModelError(f"log-probabilities {shown(logprobs)}")
    return Generation(ids, tuple(min(0.0, p) for p in logprobs), ended)


def plain_url(url: object) -> str:
    """A server's address without the ``/v1`` that the protocol adds. Raises ConfigError."""
    text = url.rstrip("/").removesuffix("/v1") if isinstance(url, str) else ""
    try:
        parts = urlsplit(text)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        good = False
    if not good or parts.query or parts.fragment:
        raise ConfigError(
            f"engine.options: {shown(url)} is no server's address; one is 'http://127.0.0.1:8000'"
        )
    if parts.username or parts.password:
        raise ConfigError("engine.options: an address holds no password; name key_env instead")
    return text


def _client(url: str, access: Access) -> AsyncOpenAI:
    """The package's client of one server. Raises ConfigError."""
    try:
        from openai import AsyncOpenAI
    except ImportError:
        raise ConfigError(f"asking a server needs the package openai: {EXTRA}") from None
    key = os.environ.get(access.key_env, "") if access.key_env else "none"
    if not key:
        raise ConfigError(
            f"engine.options.key_env = {shown(access.key_env)}: there is no such environment variable, or "
            "it is empty"
        )
    return AsyncOpenAI(api_key=key, base_url=f"{url}/v1", timeout=access.timeout, max_retries=access.retries)


class _Thread:
    """A thread with a loop in which requests run side by side."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="neuromas-servers", daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """The work's result; if the caller is interrupted, so is the work."""
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def stop(self) -> None:
        """End the loop and its thread."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout=5)
        if not self._thread.is_alive():
            self._loop.close()


def _close(clients: Sequence[AsyncOpenAI], thread: _Thread) -> None:
    """Close connections and end the thread."""

    async def every() -> None:
        await asyncio.gather(*(client.close() for client in clients), return_exceptions=True)

    thread.run(every())
    thread.stop()
