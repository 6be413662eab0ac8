"""The options of an endpoint, checked before anything is sent. No value that could be a key is ever shown."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any
from urllib.parse import urlsplit

from neuromas.core.errors import ConfigError, shown, unknown

MODES = ("chat", "tokens")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,99}")
_OURS = ("messages", "model", "n", "stream", "seed", "temperature", "max_tokens", "max_completion_tokens")


@dataclass(frozen=True, slots=True)
class Options:
    """What is asked where, and how.

    ``mode`` is ``chat`` (texts, any endpoint) or ``tokens`` (prompts as ids, servers such as vLLM's).
    ``key_env`` names the environment variable that holds the key (empty: the endpoint wants none).
    ``timeout`` is in seconds and of one attempt, ``retries`` come on top of the first, ``concurrency`` is of
    requests under way at once, ``per_minute`` the most attempts a minute, evenly spaced (0: no limit).
    ``reasoning`` is for models that refuse ``temperature`` and name their limit ``max_completion_tokens``;
    ``spare`` tokens are added to that limit for what they think. ``seed`` sends the draw's seed.
    ``context`` and ``tokenizer`` are those of the ruler by which prompts and messages are measured here
    (0 and empty: the backbone's). ``extra`` are more fields of every request.
    """

    url: str = ""
    model: str = ""
    mode: str = "chat"
    key_env: str = ""
    timeout: float = 60.0
    retries: int = 4
    concurrency: int = 8
    per_minute: int = 0
    reasoning: bool = False
    spare: int = 0
    seed: bool = True
    context: int = 0
    tokenizer: str = ""
    extra: Mapping[str, Any] | None = None


DEFAULTS: Mapping[str, Any] = {one.name: one.default for one in fields(Options)} | {"extra": {}}

_BOUNDS = {  # least and most
    "timeout": (0.01, 3600.0),
    "retries": (0, 20),
    "concurrency": (1, 1000),
    "per_minute": (0, 1_000_000),
    "spare": (0, 1_000_000),
    "context": (0, 100_000_000),
}


def checked(given: Mapping[str, Any]) -> Options:
    """The options, each of the type of its default. Raises ConfigError for a value that cannot be."""
    options = Options(**given)
    if options.mode not in MODES:
        raise ConfigError(f"engine.options.mode: {unknown('mode', options.mode, MODES)}")
    _check_url(options.url)
    if not options.model.strip():
        raise ConfigError("engine.options.model is missing: the name by which the endpoint knows its model")
    if options.key_env and not _VARIABLE.fullmatch(options.key_env):
        raise ConfigError(
            "engine.options.key_env is not the name of an environment variable (its value is not shown, it "
            "might be a key); put the key into a variable and name that, such as 'OPENAI_API_KEY'"
        )
    for name, (least, most) in _BOUNDS.items():
        value = getattr(options, name)
        if not least <= value <= most:
            raise ConfigError(f"engine.options.{name} = {shown(value)} should be from {least} to {most}")
    for name in options.extra or {}:
        if name in _OURS:
            raise ConfigError(f"engine.options.extra: {shown(name)} is set for every request here")
    return options


def _check_url(url: str) -> None:
    """Raises ConfigError, never with what a key could hide in, for what is no plain HTTP address."""
    if not url:
        raise ConfigError(
            "engine.options.url is missing: the endpoint's base address, such as 'http://localhost:8000/v1'"
        )
    try:
        parts = urlsplit(url)
        plain = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        plain = False
    if not plain or any(ord(c) <= 32 or ord(c) == 127 for c in url):
        raise ConfigError("engine.options.url should be http://HOST[:PORT]/PATH or https://HOST[:PORT]/PATH")
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise ConfigError(
            "engine.options.url has a user, a query or a fragment, in which a key would be kept; "
            "give the plain address, and the key by engine.options.key_env"
        )


def key_of(options: Options) -> str:
    """The key from the environment; empty where none is named. Raises ConfigError without showing it."""
    if not options.key_env:
        return ""
    key = os.environ.get(options.key_env, "").strip()
    if not key:
        raise ConfigError(
            f"engine.options.key_env = {options.key_env!r}: there is no such variable in the environment, "
            "or it is empty"
        )
    if not key.isascii() or not key.isprintable() or " " in key:
        raise ConfigError(
            f"engine.options.key_env = {options.key_env!r}: what it holds cannot be a key (it is not shown)"
        )
    return key
