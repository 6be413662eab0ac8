"""A GGUF file read once and in large pieces, while transformers converts it.

Transformers opens the file anew for the configuration, the tokenizer and the weights, and asks for the map
of names once a module; gguf's reader makes several views for every word of the vocabulary and unpacks 16
rows at a time. The values are the same, bit by bit, in less than half the time.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import lru_cache
from typing import Any
from unittest.mock import patch

import gguf
import numpy as np

_ROWS = 64  # joined into one; gguf unpacks 16 of those at once
_dequantize = gguf.dequantize


class QuickReader(gguf.GGUFReader):  # type: ignore[misc]
    """A reader whose parts are made at once from the file's bytes."""

    def _get(self, offset: int, dtype: Any, count: Any = 1, override_order: Any = None) -> Any:
        if self.byte_order != "I" or offset + int(count) * np.dtype(dtype).itemsize > len(self.data):
            return super()._get(offset, dtype, count, override_order)  # foreign byte order, or a torn file
        return np.frombuffer(self.data, dtype, int(count), offset)


def unpack(data: Any, kind: Any) -> Any:
    """``gguf.dequantize`` with longer rows: no block crosses a row, so where rows end changes no value."""
    if data.ndim != 2 or kind in (gguf.GGMLQuantizationType.F32, gguf.GGMLQuantizationType.F16):
        return _dequantize(data, kind)
    joined = math.gcd(len(data), _ROWS)
    return _dequantize(data.reshape(-1, joined * data.shape[1]), kind).reshape(len(data), -1)


@contextmanager
def read_once() -> Iterator[None]:
    """In this block, gguf gives every caller the same reader of a file and the same map of names."""
    readers = lru_cache(QuickReader)
    replaced = {
        "GGUFReader": lambda path, mode="r": readers(os.fspath(path), mode),
        "dequantize": unpack,
        "get_tensor_name_map": lru_cache(gguf.get_tensor_name_map),
    }
    with ExitStack() as stack:
        for name, part in replaced.items():
            stack.enter_context(patch.object(gguf, name, part))
        yield
