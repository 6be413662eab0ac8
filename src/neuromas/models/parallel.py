"""Independent pieces of work side by side, each on its own cores.

With several threads inside every operation a small model gains little: the operations are short and the
threads wait for each other thousands of times. Whole pieces need to wait once. Torch releases the
interpreter's lock while it computes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, Protocol

import torch


class Mapper(Protocol):
    """``map``, the built-in one or that of a pool: results in the order of the pieces."""

    def __call__(self, work: Any, pieces: Iterable[Any], /) -> Iterator[Any]:
        """``work(piece)`` for every piece."""
        ...


def cores(device: torch.device) -> int:
    """Threads the user grants torch for work on this device; a GPU needs none beside the caller."""
    return torch.get_num_threads() if device.type == "cpu" else 1


@contextmanager
def parallel_map(device: torch.device, pieces: int, threads: int = 1) -> Iterator[Mapper]:
    """A ``map`` over so many pieces, as many at once as there are cores, each with ``threads`` to itself.

    The built-in ``map`` where there is nothing to share out. Workers start without the caller's grad mode
    and choice of adapters. When the block is left by an exception, the caller's or a worker's, pieces not
    yet begun are dropped; no thread outlives the block.
    """
    granted = torch.get_num_threads()
    if device.type != "cpu" or not pieces or granted == threads:
        yield map
        return
    workers = min(pieces, max(1, granted // threads))
    pool = ThreadPoolExecutor(workers, "neuromas", torch.set_num_threads, (threads,))
    try:
        yield pool.map
    finally:
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(granted)  # ours is as it was, but threads yet to come take the last one set


@contextmanager
def single_threaded() -> Iterator[None]:
    """Within the block this thread computes alone: kernels may round otherwise where threads meet."""
    granted = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(granted)
