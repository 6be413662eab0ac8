"""Settings of the process that must be made before torch is loaded. Safe to repeat.

On shared CPUs OpenMP's spinning wait slows everything down. Left alone, glibc raises the size from which it
gives memory back, and batches of ever different shapes fragment the heap; large pages make giving back cheap.
oneDNN keeps a compiled product for each of the last 1024 shapes, twice over: half a gigabyte that is never
used again and pins the heap between it. A forward and backward pass needs about 25 shapes. A heap for every
thread that ever was would keep what each has freed; one for all makes the threads wait for it at every small
tensor. So there are as many as cores, up to eight.
"""

from __future__ import annotations

import ctypes
import os
import sys

_M_MMAP_THRESHOLD = -3
_ARENA_MAX = -8
_LARGE = 1 << 20
_MOST_HEAPS = 8


def prepare() -> None:
    """Passive OpenMP waiting, large pages, few heaps, large tensors given back — unless chosen otherwise."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "32")
    os.environ.setdefault("LRU_CACHE_CAPACITY", "32")  # torch's own, in front of oneDNN's
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    if sys.platform != "linux" or any(name.startswith("MALLOC_") for name in os.environ):
        return
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # not glibc
        return
    mallopt(_M_MMAP_THRESHOLD, _LARGE)
    mallopt(_ARENA_MAX, min(_MOST_HEAPS, len(os.sched_getaffinity(0))))
