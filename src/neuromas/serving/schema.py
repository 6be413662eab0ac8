"""A request of OpenAI's chat completions, read strictly: every field is honoured or refused by name."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, NoReturn

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from neuromas.core.errors import shown
from neuromas.serving.refusals import invalid

# fields that mean nothing here, and the values with which they ask for nothing
NEUTRAL: Mapping[str, Sequence[Any]] = {
    "n": (1,),
    "top_p": (1,),
    "frequency_penalty": (0,),
    "presence_penalty": (0,),
    "logprobs": (False,),
    "top_logprobs": (0,),
    "logit_bias": ({},),
    "tools": ([],),
    "tool_choice": ("none",),
    "functions": ([],),
    "parallel_tool_calls": (True, False),
    "response_format": ({"type": "text"},),
    "modalities": (["text"],),
    "store": (False,),
    "metadata": ({},),
    "service_tier": ("auto", "default"),
}
_STOP = Annotated[str, Field(min_length=1, max_length=256)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Part(_Strict):
    """A piece of a message's text."""

    type: Literal["text"]
    text: str


class Message(_Strict):
    """One turn of the conversation."""

    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[Part]

    @property
    def pieces(self) -> tuple[str, ...]:
        """Its text, or the texts of its parts."""
        return (self.content,) if isinstance(self.content, str) else tuple(p.text for p in self.content)


class StreamOptions(_Strict):
    """What a stream holds beside the text."""

    include_usage: bool = False


class Extension(_Strict):
    """What is asked of us and of no other service."""

    trace: bool = False


class ChatRequest(_Strict):
    """What can be asked for."""

    model: str
    messages: list[Message] = Field(min_length=1)
    temperature: float = Field(default=0.0, ge=0.0, le=2.0, allow_inf_nan=False)
    seed: int | None = Field(default=None, ge=-(2**63), lt=2**63)
    max_tokens: int | None = Field(default=None, ge=1)
    max_completion_tokens: int | None = Field(default=None, ge=1)
    stop: _STOP | Annotated[list[_STOP], Field(max_length=4)] = Field(default_factory=list)
    stream: bool = False
    stream_options: StreamOptions | None = None
    user: str | None = None  # names a person; nothing depends on it
    neuromas: Extension = Extension()

    @property
    def stops(self) -> tuple[str, ...]:
        """The texts before which the answer is cut."""
        return (self.stop,) if isinstance(self.stop, str) else tuple(self.stop)

    @property
    def most(self) -> int | None:
        """Most tokens of the answer."""
        return self.max_tokens if self.max_completion_tokens is None else self.max_completion_tokens


def read_chat(body: bytes) -> ChatRequest:
    """The request in a body. Raises Refused (400) naming the field and what can be asked."""
    data = _without_nulls(_object(body))
    for field, harmless in NEUTRAL.items():
        if field in data and not any(type(data[field]) in _alike(v) and data[field] == v for v in harmless):
            wanted = " or ".join(json.dumps(value) for value in harmless)
            told = f"{field} = {_shown(data[field])} is not supported here: leave it out, or {wanted}"
            raise invalid(told, field, "unsupported_value")
        data.pop(field, None)
    try:
        read = ChatRequest.model_validate(data)
    except ValidationError as error:
        _refuse(error)
    both = (read.max_tokens, read.max_completion_tokens)
    if None not in both and both[0] != both[1]:
        raise invalid(f"max_tokens = {both[0]} and max_completion_tokens = {both[1]}: give one", "max_tokens")
    if read.stream_options is not None and not read.stream:
        raise invalid("stream_options is for stream = true", "stream_options")
    return read


def _alike(value: Any) -> tuple[type, ...]:
    """Types as which JSON may hold this value: 1 and 1.0 are one number, 1 and true are not one value."""
    return (int, float) if type(value) is int else (type(value),)


def _object(body: bytes) -> dict[str, Any]:
    """The body as a JSON object."""
    try:
        data = json.loads(body, parse_constant=_no_number)
    except UnicodeDecodeError as error:
        raise invalid(f"the body is not UTF-8: {error.reason}", code="invalid_json") from error
    except (ValueError, RecursionError) as error:
        why = "nested too deep" if isinstance(error, RecursionError) else str(error)[:200]
        raise invalid(f"the body is not JSON: {why}", code="invalid_json") from error
    if not isinstance(data, dict):
        raise invalid("the body is not a JSON object", code="invalid_json")
    return data


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON")


def _without_nulls(data: dict[str, Any]) -> dict[str, Any]:
    """Without fields that are null, also of messages: to clients they are fields that were not given."""
    kept = {key: value for key, value in data.items() if value is not None}
    if isinstance(kept.get("messages"), list):
        kept["messages"] = [
            {key: value for key, value in one.items() if value is not None} if isinstance(one, dict) else one
            for one in kept["messages"]
        ]
    return kept


def _refuse(error: ValidationError) -> NoReturn:
    """The first thing that is wrong, as one line. Raises Refused."""
    # where a value may be of two types, what is wrong with it as the one it has says more
    found = error.errors(include_url=False, include_context=False)
    first = max(found, key=lambda one: (len(one["loc"]), not one["type"].endswith("_type")))
    # a union's own places, such as list[Part], are no places of the request
    where = first["loc"] or ("a field's name",)  # a name that is no text has no place
    place = ".".join(str(one) for one in where if not (isinstance(one, str) and _is_type(one)))
    field = str(where[0])
    if first["type"] == "extra_forbidden":
        known = ", ".join(ChatRequest.model_fields) if len(where) == 1 else "see docs/serving.md"
        said = f"{_cut(place)} is not supported here (supported: {known})"
        raise invalid(said, _cut(field), "unsupported_parameter") from error
    if first["type"] == "missing":
        raise invalid(f"{_cut(place)} is missing", _cut(field), "missing_required_parameter") from error
    given = _shown(first.get("input"))
    raise invalid(f"{_cut(place)} = {given}: {first['msg']}", _cut(field), "invalid_value") from error


def _is_type(place: str) -> bool:
    return place in {"str", "constrained-str"} or place.startswith(("list[", "function-"))


def _cut(text: str) -> str:
    return text if len(text) <= 100 else f"{text[:100]}…"


def _shown(value: Any) -> str:
    return shown(value, 60)
