"""Answers in OpenAI's form: one object, or server-sent events while the network writes."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from neuromas.core.episode import Episode
from neuromas.serving.batching import Ended, Event, Job, Piece, Said
from neuromas.serving.playing import told
from neuromas.serving.refusals import Refused
from neuromas.topology.graph import Topology


@dataclass(frozen=True, slots=True)
class Form:
    """What all objects of one answer share. ``trace`` and ``usage`` say what is told beside the text."""

    model: str
    fingerprint: str
    topology: Topology
    seed: int
    trace: bool = False
    usage: bool = False
    id: str = field(default_factory=lambda: f"chatcmpl-{secrets.token_hex(12)}")
    created: int = field(default_factory=lambda: int(time.time()))

    def whole(self, ended: Ended) -> dict[str, Any]:
        """The answer as one object."""
        message = {"role": "assistant", "content": ended.text, "refusal": None}
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": _reason(ended)}
        found = {**self._head("chat.completion"), "choices": [choice], "usage": usage(ended.episode)}
        if self.trace:
            messages = [told(self.topology, turn) for turn in ended.episode.turns]
            found["neuromas"] = {"seed": self.seed, "messages": messages}
        return found

    def chunk(self, delta: dict[str, Any], reason: str | None = None, **more: Any) -> bytes:
        """One event of a stream."""
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}
        empty = {"usage": None} if self.usage else {}
        return _event({**self._head("chat.completion.chunk"), "choices": [choice], **empty, **more})

    def last(self, ended: Ended) -> bytes:
        """The events after the text."""
        more = {}
        if self.trace:  # the others' messages went ahead
            more = {"neuromas": {"seed": self.seed, "message": told(self.topology, ended.episode.turns[-1])}}
        events = self.chunk({}, _reason(ended), **more)
        if self.usage:
            head = self._head("chat.completion.chunk")
            events += _event({**head, "choices": [], "usage": usage(ended.episode)})
        return events + b"data: [DONE]\n\n"

    def _head(self, kind: str) -> dict[str, Any]:
        return {
            "id": self.id,
            "object": kind,
            "created": self.created,
            "model": self.model,
            "system_fingerprint": self.fingerprint,
        }


def usage(episode: Episode) -> dict[str, Any]:
    """Tokens of all nodes: each prompt counted as if read afresh; what others wrote as reasoning tokens."""
    read, wrote = episode.prompt_tokens, episode.new_tokens
    hidden = wrote - episode.turns[-1].tokens_written
    return {
        "prompt_tokens": read,
        "completion_tokens": wrote,
        "total_tokens": read + wrote,
        "completion_tokens_details": {"reasoning_tokens": hidden},
    }


async def events(form: Form, job: Job, first: Event) -> AsyncIterator[bytes]:
    """The stream of a job whose first event is there; ends early where nobody reads it any more."""
    yield form.chunk({"role": "assistant", "content": ""})
    event: Event | None = first
    while event is not None:
        if isinstance(event, Refused):
            yield _event(event.body)
            return
        if isinstance(event, Ended):
            yield form.last(event)
            return
        if isinstance(event, Piece):
            yield form.chunk({"content": event.text})
        elif isinstance(event, Said) and form.trace:
            yield form.chunk({}, neuromas={"message": told(form.topology, event.turn)})
        event = await job.next()


def _reason(ended: Ended) -> str:
    return "stop" if ended.stopped else "length"


def _event(data: dict[str, Any]) -> bytes:
    # in ASCII: no character of an answer can end a line of the stream
    return b"data: " + json.dumps(data).encode("ascii") + b"\n\n"
