"""Sends requests by ``openai``'s client: its retries (429, 5xx, time-outs, Retry-After), our pace and causes.

What cannot be had after all retries is a cause and no exception, unless nothing was answered at all yet.
"""

from __future__ import annotations

import asyncio
import threading
import weakref
from collections.abc import Coroutine, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from neuromas.core.errors import ConfigError, ModelError, cut, one_line
from neuromas.engines.endpoint.options import Options
from neuromas.engines.endpoint.reply import FILTERED, Reply, read_chat

if TYPE_CHECKING:
    import httpx2
    import openai

_LONGEST_WAIT = 120.0  # seconds between two attempts: the client obeys no longer Retry-After
_HOPELESS = (401, 403, 404)  # of the key, the address or the model's name: no other request fares better


class Client:
    """Requests to one endpoint, several at once, over connections that stay open until ``close``."""

    def __init__(self, options: Options, key: str) -> None:
        """``key`` is sent and appears nowhere else. Raises ConfigError where a library is missing."""
        self._options, self._key = options, key
        self._openai, limiter = _libraries()
        every = 60.0 / options.per_minute if options.per_minute else 0.0
        self._limiter = limiter(1, every) if every else None
        self._loop = asyncio.new_event_loop()
        self._senders: list[openai.AsyncOpenAI] = []  # one, once something was asked
        self._slots = asyncio.Semaphore(options.concurrency)
        self._answered, self._failed, self._hopeless = False, 0, ""
        thread = threading.Thread(target=self._loop.run_forever, name="neuromas-endpoint", daemon=True)
        thread.start()
        self.close = weakref.finalize(self, _stop, self._senders, self._loop, thread)

    def all(self, bodies: Sequence[Mapping[str, Any]]) -> list[Reply | str]:
        """A reply to every request (fields of a chat completion), or the cause why there is none.

        Raises ModelError with the cause where the endpoint answers nothing from the beginning.
        """
        return self._wait(self._gather(bodies)) if bodies else []

    def _wait(self, work: Coroutine[Any, Any, list[Reply | str]]) -> list[Reply | str]:
        """Do it in the client's thread: a notebook has a loop of its own in this one."""
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except BaseException:  # Ctrl-C, too: nothing goes on being sent and paid
            future.cancel()
            raise

    async def _gather(self, bodies: Sequence[Mapping[str, Any]]) -> list[Reply | str]:
        """All requests, as many at once as may be; the first that raises ends the others."""
        self._failed, self._hopeless = 0, ""
        least = min(self._options.concurrency, len(bodies))
        tasks = [asyncio.ensure_future(self._one(body, least)) for body in bodies]
        try:
            return await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()

    async def _one(self, body: Mapping[str, Any], least: int) -> Reply | str:
        """One request. Raises ModelError if ``least`` failed and none was answered, or none ever can be."""
        async with self._slots:
            if self._hopeless:  # another request was found to be so while this one waited
                return self._hopeless
            reply, hopeless = await self._attempt(body)
            if isinstance(reply, Reply):
                self._answered = True
                if reply.receipt.finish == FILTERED:
                    return "endpoint: its content filter stopped the message"
                return reply
            self._failed += 1
            cause = "endpoint: " + cut(self._masked(reply), 300)
            if not self._answered and (hopeless or self._failed >= least):
                many = f"the first {self._failed} requests" if self._failed > 1 else "the first request"
                self._hopeless = f"{many} to {self._options.url} failed; {cause}"
                raise ModelError(self._hopeless)
            return cause

    async def _attempt(self, body: Mapping[str, Any]) -> tuple[Reply | str, bool]:
        """The reply, or why there is none, and whether that is so for all requests."""
        library, options = self._openai, self._options
        most = (options.retries + 1) * (
            options.timeout + _LONGEST_WAIT
        )  # an answer that drips has an end, too
        try:
            async with asyncio.timeout(most):
                raw = await self._connected().chat.completions.with_raw_response.create(**body)
            reply = read_chat(raw.http_response.content)
        except library.APITimeoutError:
            return f"no answer within {options.timeout:g} s, {options.retries + 1} times", False
        except library.APIConnectionError as error:
            return _why(error), False
        except library.APIStatusError as error:
            return f"HTTP {error.status_code}: {_said(error)}", error.status_code in _HOPELESS
        except TimeoutError:
            return f"no whole answer within {most:g} s", False
        except (library.OpenAIError, ValueError, TypeError) as error:
            return one_line(error), False
        return self._masked_reply(reply), False

    def _connected(self) -> openai.AsyncOpenAI:
        """The library's client, made in its thread when it is first needed."""
        if not self._senders:
            library, options = self._openai, self._options
            hooks: dict[str, list[Any]] = {"request": [self._pace], "response": [_check]}
            sender = library.AsyncOpenAI(
                api_key=self._key or "none",
                base_url=options.url,
                timeout=options.timeout,
                max_retries=options.retries,
                # what the environment says of accounts is for one provider and no business of another
                default_headers={"OpenAI-Organization": library.Omit(), "OpenAI-Project": library.Omit()},
                http_client=library.DefaultAsyncHttpxClient(event_hooks=hooks),
            )
            self._senders.append(sender)
        return self._senders[0]

    async def _pace(self, request: httpx2.Request) -> None:
        """Wait for this attempt's turn; retries count, too."""
        if self._limiter is not None:
            await self._limiter.acquire()

    def _masked_reply(self, reply: Reply) -> Reply:
        """The reply without the key."""
        said, masked = reply.receipt, self._masked
        receipt = replace(
            said, model=masked(said.model), fingerprint=masked(said.fingerprint), finish=masked(said.finish)
        )
        return Reply(masked(reply.text), receipt)

    def _masked(self, text: str) -> str:
        """The text without the key, which an endpoint may echo."""
        return text.replace(self._key, "[key]") if self._key else text


async def _check(response: httpx2.Response) -> None:
    """An answer that is no chat completion counts as a broken connection: the library tries again."""
    from httpx2 import DecodingError

    if response.status_code == 200:
        try:
            read_chat(await response.aread())
        except ValueError as error:
            raise DecodingError(str(error), request=response.request) from None


def _why(error: BaseException) -> str:
    """Why nothing could be reached: the innermost cause says it."""
    while error.__cause__ is not None:
        error = error.__cause__
    return one_line(error)


def _said(error: Any) -> str:
    """What the endpoint says of its refusal."""
    body = error.body
    said = body.get("message") if isinstance(body, dict) else None
    return " ".join(said.split()) if isinstance(said, str) and said.strip() else one_line(error)


def _libraries() -> tuple[Any, Any]:
    """``openai`` and the limiter. Raises ConfigError naming the extra."""
    try:
        import openai
        from aiolimiter import AsyncLimiter
    except ImportError as error:
        raise ConfigError(
            f"engine 'openai' needs an extra: pip install 'neuromas[endpoint]' ({one_line(error)})"
        ) from None
    return openai, AsyncLimiter


def _stop(
    senders: Sequence[openai.AsyncOpenAI], loop: asyncio.AbstractEventLoop, thread: threading.Thread
) -> None:
    """Close the connections and end the client's thread."""
    for sender in senders:
        with suppress(Exception):  # nothing that goes wrong here matters to anybody
            asyncio.run_coroutine_threadsafe(sender.close(), loop).result(timeout=5)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(timeout=5)
    if not thread.is_alive():
        loop.close()
