"""Chance without state: every seed is the hash of the path that names its use.

Adding to seeds (``seed + index``) makes neighbouring runs share their draws; hashing the whole
path does not. Nothing here keeps a generator between calls.
"""

from __future__ import annotations

import hashlib

_BITS = 63  # fits a signed 64-bit integer, which every generator we use accepts


def derive(*path: str | int | float | bool | None) -> int:
    """A seed in [0, 2**63) for this path, e.g. ``derive(run_seed, "rollout", step, node)``.

    Two paths that differ in any element, in a type, or in how many there are, give unrelated seeds.
    Only plain values are accepted: their text is the same in every process. Raises TypeError.
    """
    for part in path:
        if type(part) not in (str, int, float, bool, type(None)):
            raise TypeError(f"a seed path holds plain values, not {type(part).__name__} {part!r}")
    # "surrogatepass": data may hold half a surrogate pair, and it is a value like any other
    parts = [f"{type(part).__name__}:{part}".encode("utf-8", "surrogatepass") for part in path]
    # each part is preceded by its length, so that no text can imitate a longer path
    framed = b"".join(len(part).to_bytes(8, "big") + part for part in parts)
    digest = hashlib.blake2b(framed, digest_size=8).digest()
    return int.from_bytes(digest, "big") & ((1 << _BITS) - 1)
