"""Settings of the process that must be made before torch is loaded. Safe to repeat.

On shared CPUs OpenMP's spinning wait slows everything down. Left alone, glibc raises the size from which it
gives memory back, and batches of ever different shapes fragment the heap; large pages make giving back cheap.
"""

from __future__ import annotations

import ctypes
import os
import sys

_M_MMAP_THRESHOLD = -3
_LARGE = 1 << 20


def prepare() -> None:
    """Passive OpenMP waiting, large pages, large tensors given back — unless the user has chosen."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    if sys.platform != "linux" or any(name.startswith("MALLOC_") for name in os.environ):
        return
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # not glibc
        return
    mallopt(_M_MMAP_THRESHOLD, _LARGE)
