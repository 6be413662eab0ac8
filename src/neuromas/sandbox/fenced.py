"""Programs in what a model wrote: blocks between fences of three backticks."""

from __future__ import annotations

import re

_FENCE = re.compile(r"```(?:[ \t]*(?:python3?|py)\b)?[ \t]*\r?\n?(.*?)(```|\Z)", re.DOTALL | re.IGNORECASE)
_MOST = 100_000  # characters that are looked at


def blocks(text: str, unfinished: bool = False) -> list[str]:
    """The texts of all blocks in their order; with ``unfinished`` also one that is never closed.

    The word ``python`` behind a fence is no part of a block, and a block may stand on one line.
    """
    found = [match for match in _FENCE.finditer(text[:_MOST]) if match[2] or unfinished]
    return [match[1] for match in found if match[1].strip()]
