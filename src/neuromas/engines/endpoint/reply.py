"""What an endpoint answered, read with suspicion: every field may be missing or of any type."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from neuromas.core.episode import Receipt

FILTERED = "content_filter"


@dataclass(frozen=True, slots=True)
class Reply:
    """The text of one message, and what the endpoint says of it. A refusal's text is what the model said."""

    text: str
    receipt: Receipt


def read_chat(body: bytes) -> Reply:
    """The reply in a chat completion. Raises ValueError, saying what is wrong, for what is none."""
    try:
        data = json.loads(body)
    except (ValueError, RecursionError):
        raise ValueError("the answer is no JSON") from None
    choices = data.get("choices") if isinstance(data, dict) else None
    first = choices[0] if isinstance(choices, list) and choices else None
    message = first.get("message") if isinstance(first, dict) else None
    if not isinstance(first, dict) or not isinstance(message, dict):
        raise ValueError("the answer holds no message")
    text, finish = message.get("content"), _text(first.get("finish_reason"))
    if isinstance(text, list):  # some endpoints send parts
        text = "".join(_text(part.get("text")) for part in text if isinstance(part, dict))
    if text is None:
        text = message.get("refusal")
    if text is None and finish in ("length", FILTERED):  # all of the limit went into what is not shown
        text = ""
    if not isinstance(text, str):
        raise ValueError("the answer's message holds no text")
    return Reply(text, _receipt(data, finish))


def _receipt(data: dict[str, Any], finish: str) -> Receipt:
    """Model, fingerprint and tokens of an answer, as far as they are there."""
    usage = data.get("usage")
    usage = usage if isinstance(usage, dict) else {}
    return Receipt(
        model=_text(data.get("model")),
        fingerprint=_text(data.get("system_fingerprint")),
        read=_count(usage.get("prompt_tokens")),
        wrote=_count(usage.get("completion_tokens")),
        finish=finish,
    )


def _text(value: Any) -> str:
    """A short text; empty for what is none."""
    return value[:200].encode("utf-8", "replace").decode("utf-8") if isinstance(value, str) else ""


def _count(value: Any) -> int | None:
    """A number of tokens; None for what is none."""
    return value if type(value) is int and 0 <= value < 2**40 else None
