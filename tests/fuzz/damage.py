"""What can be wrong with a value, a tree of values, or a file: strategies for hypothesis.

A tree is plain data (dicts, lists, numbers, texts). ``Raw`` stands for characters that are written into a
file as they are, for what Python itself would not write: numbers of 5,000 digits, dates, broken escapes.
"""

from __future__ import annotations

import copy
import json
import math
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st


class Raw(str):
    """Written without quotes."""

    __slots__ = ()


DIGITS = "9" * 5000
NUMBERS = [
    0,
    -1,
    1,
    2,
    3,
    2**31,
    2**53 + 1,
    2**63,
    2**64 + 1,
    10**30,
    -(10**30),
    Raw(DIGITS),
    Raw("1" * 4300),
]
REALS = [0.5, -0.5, 1e-320, 1e30, 1e39, 1e308, Raw("nan"), Raw("inf"), Raw("-inf"), Raw("NaN"), Raw("1e999")]
TEXTS = [
    "",
    " ",
    "x",
    "all",
    "2-1",
    "1/2",
    "2/1",
    "1/" + "9" * 400,
    "../../etc/passwd",
    "/dev/zero",
    "/dev/stdin",
    "~nosuchuser",
    "a" * 300,
    "b" * 3000,
    "a\nb",
    "\x1b[2J\x1b]0;x\x07",
    "\u202egnp",
    "e\u0301\U0001f600",
    "-" * 80,
    "'\"\\",
    "%s{}{0}",
    Raw(r'"a\u0000b"'),
    Raw(r'"\ud800"'),
    Raw(r'"\udcff\udcff"'),
    "a\0b",
    "\ud800",
]
OTHERS = [
    True,
    False,
    None,
    [],
    {},
    [[]],
    {"a": {"b": {}}},
    [1, "a", None, 2.5],
    Raw("2020-01-01"),
    Raw("07:30:00"),
]
DEEP = [Raw("[" * depth + "]" * depth) for depth in (30, 400, 3000)]
DEEP += [Raw('{"a":' * depth + "1" + "}" * depth) for depth in (30, 3000)]

nasty = st.one_of(
    st.sampled_from([*NUMBERS, *REALS]),
    st.sampled_from(TEXTS),
    st.sampled_from(OTHERS),
    st.sampled_from(DEEP),
    st.integers(),
    st.floats(),
    st.text(max_size=20),
    st.recursive(
        st.integers() | st.text(max_size=5), lambda inner: st.lists(inner, max_size=3), max_leaves=5
    ),
)
keys = st.sampled_from(
    ["a", "", "steps", "train", "question", "__class__", "\x1b[2J", "k" * 3000, "\u202e", "0"]
)


def places(tree: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Paths of all values below the root."""
    below = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    return [p for key, value in below for p in ((*path, key), *places(value, (*path, key)))]


@st.composite
def mutated(draw: st.DrawFn, tree: Any, most: int = 2) -> Any:
    """The tree after one or more changes."""
    tree = copy.deepcopy(tree)
    for _ in range(draw(st.integers(1, most))):
        found = places(tree)
        if not found:
            return draw(nasty)
        path = draw(st.sampled_from(found))
        parent = tree
        for key in path[:-1]:
            parent = parent[key]
        change(draw, parent, path[-1])
    return tree


def change(draw: st.DrawFn, parent: Any, key: Any) -> None:
    """One value is replaced, left out, doubled, renamed, wrapped, or gets a neighbour."""
    what = draw(
        st.sampled_from(["replace"] * 5 + ["leave out", "double", "rename", "wrap", "beside", "as text"])
    )
    value = parent[key]
    if what == "replace":
        parent[key] = draw(nasty)
    elif what == "leave out":
        del parent[key]
    elif what == "double":
        if isinstance(parent, list):
            parent.extend([value] * draw(st.sampled_from([1, 1, 300])))
        else:
            parent[Raw(json.dumps(key)) if isinstance(key, str) else "twice"] = value  # the same key again
    elif what == "rename":
        if isinstance(parent, dict):
            parent[draw(keys | st.just(str(key)[:-1] + "z"))] = parent.pop(key)
    elif what == "wrap":
        parent[key] = draw(st.sampled_from([[value], {"value": value}, [value, value]]))
    elif what == "beside":
        if isinstance(parent, dict):
            parent[draw(keys)] = draw(nasty)
        else:
            parent.insert(0, draw(nasty))
    else:
        parent[key] = value if isinstance(value, Raw) else str(value)


def as_json(value: Any) -> str:
    """JSON, with what is raw as it is."""
    if isinstance(value, Raw):
        return str(value)
    if isinstance(value, dict):
        return "{" + ", ".join(f"{as_json(_key(k))}: {as_json(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(as_json(part) for part in value) + "]"
    return json.dumps(value)


def as_toml(table: Any) -> str:
    """TOML with everything below a top key inline."""
    if not isinstance(table, dict):
        return as_inline(table)
    return "\n".join(f"{_toml_key(key)} = {as_inline(value)}" for key, value in table.items()) + "\n"


def as_inline(value: Any) -> str:
    """A value in TOML; null, which it has not, as it would be in JSON."""
    if isinstance(value, dict) and not isinstance(value, Raw):
        return "{" + ", ".join(f"{_toml_key(key)} = {as_inline(part)}" for key, part in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(as_inline(part) for part in value) + "]"
    if isinstance(value, float) and math.isnan(value):
        return "nan"
    if isinstance(value, float) and abs(value) == float("inf"):
        return "inf"
    if isinstance(value, str) and not isinstance(value, Raw):
        return json.dumps(value, ensure_ascii=not value.isprintable())
    return as_json(value)


def _key(key: Any) -> Any:
    return key if isinstance(key, str) else str(key)


def _toml_key(key: Any) -> str:
    return str(key) if isinstance(key, Raw) else json.dumps(str(key))


@dataclass(frozen=True, slots=True)
class Entry:
    """What lies under a name: bytes, or a pipe, a folder, a link to ``target``, or nothing."""

    content: bytes = b""
    kind: str = "file"
    target: str = ""


@st.composite
def entries(draw: st.DrawFn, text: str) -> Entry:
    """A file of this text, most often whole, else damaged or something else in its place."""
    content = text.encode("utf-8", "surrogatepass")
    what = draw(st.sampled_from(["whole"] * 12 + DAMAGES))
    if what == "cut" and content:
        return Entry(content[: draw(st.integers(0, len(content) - 1))])
    if what == "flip" and content:
        place = draw(st.integers(0, len(content) - 1))
        return Entry(content[:place] + bytes([draw(st.integers(0, 255))]) + content[place + 1 :])
    if what in ("utf-16", "utf-8-sig", "utf-32"):
        return Entry(text.encode(what, "replace"))
    if what == "latin":
        return Entry(content + b"\n\xe9\xff")
    if what == "nul":
        return Entry(content + b"\0\0")
    if what == "twice":
        return Entry(content + b"\n" + content)
    if what == "noise":
        return Entry(draw(st.binary(max_size=60)))
    if what == "breaks":
        return Entry(
            content.replace(b"\n", draw(st.sampled_from([b"\r", b"\r\n", b"\x0b", b"\xe2\x80\xa8"])))
        )
    if what in ("pipe", "folder"):
        return Entry(kind=what)
    if what in ("loop", "zero", "outside"):
        return Entry(kind="link", target={"loop": "", "zero": "/dev/zero", "outside": "/etc/hostname"}[what])
    return Entry() if what == "empty" else Entry(content)


DAMAGES = ["cut", "flip", "utf-16", "utf-8-sig", "utf-32", "latin", "nul", "twice", "noise", "breaks"]
DAMAGES += ["pipe", "folder", "loop", "zero", "outside", "empty"]
