"""Waiting requests joined into one rollout: the network plays all of them in step, in one thread."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass

from neuromas.core.episode import Episode, Turn
from neuromas.serving.draft import Draft
from neuromas.serving.limits import Limits
from neuromas.serving.playing import Ask
from neuromas.serving.refusals import Refused


@dataclass(frozen=True, slots=True)
class Said:
    """A node's whole message."""

    turn: Turn


@dataclass(frozen=True, slots=True)
class Piece:
    """The next characters of the answer."""

    text: str


@dataclass(frozen=True, slots=True)
class Ended:
    """The whole answer, its episode, and whether it ended of itself or at a stop text."""

    text: str
    episode: Episode
    stopped: bool


Event = Said | Piece | Ended | Refused


class Job:
    """One request from its place in the queue to its last event. A ``system.listening.Listener``.

    Events of its messages are told only where ``live``; the last event, Ended or Refused, always comes unless
    the job was left. Everything but ``gone``, ``token``, ``said`` and ``end`` belongs to the event loop.
    """

    def __init__(self, ask: Ask, draft: Draft, sink: int, live: bool) -> None:
        """``sink`` is the output node. Must be made in a running event loop."""
        self.ask, self.draft, self._sink, self._live = ask, draft, sink, live
        self._loop = asyncio.get_running_loop()
        self._events: asyncio.Queue[Event | None] = asyncio.Queue()
        self._heard: set[int] = set()  # nodes whose message was told
        self._gone = False

    @property
    def gone(self) -> bool:
        """Whether nobody waits any more."""
        return self._gone

    def begin(self) -> None:
        """It is played, from the first message."""
        self.draft.begin()

    def token(self, node: int, token: int) -> bool:
        """See ``Listener``: the answer's text is told as far as it is certain."""
        if node == self._sink:
            piece = self.draft.add(token)
            if piece and self._live:
                self._tell(Piece(piece))
        return not (self._gone or (node == self._sink and self.draft.stopped))

    def said(self, turn: Turn) -> None:
        """See ``Listener``."""
        if self._live and turn.node != self._sink and turn.node not in self._heard:
            self._heard.add(turn.node)
            self._tell(Said(turn))

    def end(self, played: Episode | Exception) -> None:
        """What came of it: its last event."""
        if isinstance(played, Refused):
            self._tell(played)
        elif isinstance(played, Exception):
            self._tell(Refused(500, "the network failed; the server's log says why", code="internal_error"))
        else:
            for event in self._last(played):
                self._tell(event)

    def _last(self, episode: Episode) -> list[Event]:
        if not episode.turns or episode.turns[-1].node != self._sink:
            return [_failed(episode)]
        turn = episode.turns[-1]
        rest = self.draft.finish(turn.text)
        if rest is None:
            return [Refused(500, "the answer was begun twice and came out otherwise", code="internal_error")]
        ended = Ended(self.draft.sent, episode, turn.ended or self.draft.stopped)
        return [Piece(rest), ended] if rest and self._live else [ended]

    async def next(self) -> Event | None:
        """The next event; None once it was left."""
        return await self._events.get()

    def leave(self) -> None:
        """Nobody waits any more: it is not played, or not played on."""
        self._gone = True
        self._events.put_nowait(None)

    def _tell(self, event: Event) -> None:
        try:
            self._loop.call_soon_threadsafe(self._events.put_nowait, event)
        except RuntimeError:  # the loop was closed while a rollout still ended: nobody is there to hear
            self._gone = True


def _failed(episode: Episode) -> Refused:
    """Why there is no answer."""
    cause = episode.failure or "no answer"
    if episode.missing:
        return Refused(503, f"no message could be had: {cause}", code="engine_failed", retry=5)
    long = "do not fit the model's context" in cause
    return Refused(400, cause, code="context_length_exceeded" if long else "no_answer", param="messages")


Play = Callable[[Sequence[tuple[Ask, Job]]], list[Episode]]


class Batcher:
    """The queue before the network. All methods belong to one event loop."""

    def __init__(self, play: Play, limits: Limits, log: Callable[[Exception], None]) -> None:
        """``play`` is called in one thread, never twice at once; ``log`` hears there what it raises."""
        self._play, self._limits, self._log = play, limits, log
        self._waiting: deque[Job] = deque()
        self._running: list[Job] = []
        self._thread = ThreadPoolExecutor(1, "neuromas-serve")
        self._wake = asyncio.Event()
        self._full = asyncio.Event()
        self._pace = 1.0  # seconds of the last rollout
        self.closing = False
        self.rollouts = 0

    @property
    def waiting(self) -> int:
        """Requests that are not yet played."""
        return len(self._waiting)

    @property
    def running(self) -> int:
        """Requests that are being played and that somebody waits for."""
        return sum(not job.gone for job in self._running)

    def submit(self, job: Job) -> None:
        """Put a job last. Raises Refused (503) where the queue is full or the service ends."""
        if self.closing:
            raise _ending()
        if len(self._waiting) >= self._limits.waiting:
            ahead = self._pace * (1 + len(self._waiting) // self._limits.batch)
            text = f"{len(self._waiting)} requests wait already, and no more are taken"
            raise Refused(503, text, code="queue_full", retry=ahead)
        self._waiting.append(job)
        self._wake.set()
        if len(self._waiting) >= self._limits.batch:
            self._full.set()

    def forget(self, job: Job) -> None:
        """Its client has gone: the place in the queue is free at once, and what is sampled is dropped."""
        job.leave()
        if job in self._waiting:
            self._waiting.remove(job)

    async def run(self) -> None:
        """Play what waits until the service ends; then what still waits is refused."""
        while not self.closing:
            await self._wake.wait()
            self._wake.clear()
            while self._waiting and not self.closing:
                await self._gather()
                await self._round()
        self.stop()

    async def _gather(self) -> None:
        """Wait a moment for others to come along, such as those who were just answered and ask again."""
        self._full.clear()
        if self._limits.window and 0 < len(self._waiting) < self._limits.batch:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._full.wait(), self._limits.window)

    async def _round(self) -> None:
        """One rollout."""
        loop = asyncio.get_running_loop()
        self._running, begun = self._take(), loop.time()
        if not self._running:  # all left, or the service ended, while others were waited for
            return
        try:
            await loop.run_in_executor(self._thread, self._safely, self._running)
        finally:
            self._pace, self._running = loop.time() - begun, []
            self.rollouts += 1

    def _take(self) -> list[Job]:
        """The first in the queue, and after it those with its temperature: an engine has one a batch."""
        if not self._waiting:
            return []
        first = self._waiting[0].ask.temperature
        taken: list[Job] = []
        kept: deque[Job] = deque()
        for job in self._waiting:
            fits = job.ask.temperature == first and len(taken) < self._limits.batch
            (taken if fits else kept).append(job)
        self._waiting = kept
        return taken

    def _safely(self, jobs: Sequence[Job]) -> None:
        """Play jobs together or, where that fails, one by one: a request must not take others with it."""
        for job in jobs:
            job.begin()
        try:
            episodes = self._play([(job.ask, job) for job in jobs])
        except Exception as error:
            self._log(error)
            if len(jobs) == 1:
                jobs[0].end(error)
                return
            for job in jobs:
                if not job.gone:
                    self._safely([job])
            return
        for job, episode in zip(jobs, episodes, strict=True):
            job.end(episode)

    def stop(self) -> None:
        """Take nothing more: what waits is refused, what is being played is finished."""
        self.closing = True
        for job in self._waiting:
            job.end(_ending())
        self._waiting.clear()
        self._wake.set()

    def close(self) -> None:
        """The same, and what is being played ends with its next token."""
        self.stop()
        for job in self._running:
            job.leave()
        self._thread.shutdown(wait=False, cancel_futures=True)


def _ending() -> Refused:
    return Refused(503, "the service is ending", code="shutting_down", retry=5)
