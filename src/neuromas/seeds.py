"""Chance without state: every seed is the hash of the path that names its use.

Adding to seeds (``seed + index``) makes neighbouring runs share their draws; hashing the whole
path does not. Nothing here keeps a generator between calls.
"""

from __future__ import annotations

import hashlib

_BITS = 63  # fits a signed 64-bit integer, which every generator we use accepts


def derive(*path: object) -> int:
    """A seed in [0, 2**63) for this path, e.g. ``derive(run_seed, "rollout", step, node)``.

    Two paths that differ in any element, or in how many there are, give unrelated seeds.
    """
    text = "\x1f".join(f"{type(part).__name__}:{part}" for part in path)
    digest = hashlib.blake2b(text.encode("utf-8"), digest_size=8).digest()
    return int.from_bytes(digest, "big") & ((1 << _BITS) - 1)
