"""``key=value`` pairs from the command line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from neuromas.config import read_value
from neuromas.errors import ConfigError


def read_pairs(pairs: Sequence[str]) -> dict[str, Any]:
    """Values are TOML (numbers, true, lists), or plain text where they are not."""
    found: dict[str, Any] = {}
    for pair in pairs:
        key, given, raw = pair.partition("=")
        if not given or not key.strip():
            raise ConfigError(f"{pair[:200]!r} is not option=value")
        found[key.strip()] = read_value(raw)
    return found
