"""``key=value`` pairs from the command line."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from typing import Any

from neuromas.errors import ConfigError


def read_pairs(pairs: Sequence[str]) -> dict[str, Any]:
    """Values are TOML (numbers, true, lists), or plain text where they are not."""
    found: dict[str, Any] = {}
    for pair in pairs:
        key, given, raw = pair.partition("=")
        if not given or not key.strip():
            raise ConfigError(f"{pair!r} is not option=value")
        try:
            found[key.strip()] = tomllib.loads(f"value = {raw.strip()}")["value"]
        except tomllib.TOMLDecodeError:
            found[key.strip()] = raw.strip()
    return found
