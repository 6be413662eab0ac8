"""Plain values as JSON: what is read back are built-in types and nothing that a program made.

So a value that claims to be equal to everything arrives as what it is underneath. Whole numbers are written
in base 16, which has no limit of digits, floats exactly.
"""

from __future__ import annotations

import builtins
from collections.abc import Callable
from typing import Any

MOST_ITEMS = 100_000  # of an iterator
_OUT: dict[type, Callable[[Any], Any]] = {
    float: lambda value: ["f", float.hex(value)],
    complex: lambda value: ["c", float.hex(value.real), float.hex(value.imag)],
    bytes: lambda value: ["b", bytes.hex(value)],
    bytearray: lambda value: ["B", bytearray.hex(value)],
    range: lambda value: ["r", hex(value.start), hex(value.stop), hex(value.step)],
}
_MANY: dict[type, str] = {tuple: "t", list: "l", set: "s", frozenset: "z"}
_IN: dict[str, Callable[..., Any]] = {
    "i": lambda digits: int(digits, 16),
    "f": float.fromhex,
    "c": lambda real, imag: complex(float.fromhex(real), float.fromhex(imag)),
    "b": bytes.fromhex,
    "B": bytearray.fromhex,
    "r": lambda *ends: range(*(int(end, 16) for end in ends)),
}


def _type(name: str) -> type:
    """Python's own type of that name. Raises ValueError for any other."""
    found = getattr(builtins, name, None)
    if not isinstance(found, type):
        raise ValueError("no type of Python's own")
    return found


_IN["y"] = _type
_BACK: dict[str, Callable[[Any], Any]] = {"t": tuple, "l": list, "s": set, "z": frozenset, "n": iter}


def pack(value: Any, foreign: Callable[[Any], Any]) -> Any:
    """The value as JSON knows it; ``foreign`` packs what is no plain value, or raises TypeError."""
    if value is None or value is True or value is False:
        return value
    if isinstance(value, str):
        return str.__str__(value) + ""
    if isinstance(value, int):
        return ["i", hex(int.__index__(value))]
    for kind, out in _OUT.items():
        if isinstance(value, kind):
            return out(value)
    for kind, mark in _MANY.items():
        if isinstance(value, kind):
            return [mark, *(pack(item, foreign) for item in kind.__iter__(value))]  # type: ignore[attr-defined]
    if isinstance(value, type) and value in vars(builtins).values():
        return ["y", value.__name__]
    if isinstance(value, dict):
        return ["d", *([pack(k, foreign), pack(v, foreign)] for k, v in dict.items(value))]
    return foreign(value)


def unpack(packed: Any, foreign: Callable[[str, Any], Any]) -> Any:
    """The value that was packed. Raises ValueError or TypeError for what no ``pack`` has written."""
    if packed is None or isinstance(packed, (bool, str)):
        return packed
    if not isinstance(packed, list) or not packed or not isinstance(packed[0], str):
        raise ValueError("no packed value")
    mark, *rest = packed
    if mark in _IN:
        return _IN[mark](*rest)
    if mark in _BACK:
        return _BACK[mark]([unpack(item, foreign) for item in rest])
    if mark == "d":
        return {unpack(key, foreign): unpack(value, foreign) for key, value in rest}
    return foreign(mark, rest[0])


def pack_iterator(value: Any, foreign: Callable[[Any], Any]) -> Any:
    """What an iterator yields, packed. Raises TypeError where it yields too much."""
    items: list[Any] = []
    for item in value:
        if len(items) == MOST_ITEMS:
            raise TypeError(f"an iterator of more than {MOST_ITEMS} items")
        items.append(pack(item, foreign))
    return ["n", *items]
