"""Values between a program and its judge: what comes back is plain, whatever went in."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neuromas.sandbox.inside.values import MOST_ITEMS, pack, pack_iterator, unpack

_HASHABLE = st.none() | st.booleans() | st.integers() | st.text() | st.binary() | st.floats(allow_nan=False)
_PLAIN = st.recursive(
    _HASHABLE | st.complex_numbers(allow_nan=False),
    lambda inner: (
        st.lists(inner)
        | st.lists(inner).map(tuple)
        | st.sets(_HASHABLE)
        | st.frozensets(_HASHABLE)
        | st.dictionaries(_HASHABLE, inner)
    ),
    max_leaves=20,
)


def refuse(*about):
    raise TypeError(f"foreign: {about}")


def there_and_back(value):
    return unpack(json.loads(json.dumps(pack(value, refuse))), refuse)


@settings(max_examples=50)
@given(_PLAIN)
def test_plain_values_come_back_as_they_were(value):
    found = there_and_back(value)
    assert found == value
    assert type(found) is type(value)


def test_odd_values_come_back_too():
    for value in (10**6000, -(10**6000), range(2, 9, 3), float("inf"), "\udc80", int, bytearray(b"x")):
        assert there_and_back(value) == value


def test_a_value_that_equals_everything_arrives_as_what_it_is_underneath():
    class Lying(int):
        def __eq__(self, other):
            return True

        def __hash__(self):
            return 0

    found = there_and_back([Lying(7), {Lying(8): Lying(9)}])
    assert found == [7, {8: 9}]
    assert type(found[0]) is int


@pytest.mark.parametrize(
    "packed",
    [
        [],
        ["i"],
        ["i", "zz"],
        ["d", 3],
        ["s", ["l"]],
        [3],
        {"a": 1},
        7,
        ["y", "print"],
        ["y", "SystemExit.mro"],
    ],
)
def test_what_no_pack_has_written_is_refused(packed):
    with pytest.raises((TypeError, ValueError)):
        unpack(packed, refuse)


def test_an_iterator_is_its_items_and_bounded():
    assert list(unpack(pack_iterator(iter([1, "x"]), refuse), refuse)) == [1, "x"]
    with pytest.raises(TypeError, match=f"more than {MOST_ITEMS}"):
        pack_iterator(iter(range(MOST_ITEMS + 1)), refuse)
