"""Seeds: stable for ever, and unrelated for every two different paths."""

from __future__ import annotations

import hashlib
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuromas.core.seeds import derive

words = st.text(st.characters(codec="utf-8"), max_size=8)
elements = st.one_of(st.integers(), words, st.booleans(), st.floats(allow_nan=False), st.none())
paths = st.lists(elements, max_size=5).map(tuple)


def typed(path):
    """The path with what Python's equality hides: 1 == 1.0 == True."""
    return tuple((type(part), repr(part)) for part in path)


# Made by: .venv/bin/python -c "from neuromas.core.seeds import derive
# for path in [(), (0,), (0, 'rollout', 1, 2), (42, 'data', 'train', 7), ('a', None, True, 1.5)]:
#     print(path, derive(*path))"
@pytest.mark.parametrize(
    ("path", "seed"),
    [
        ((), 7252660547403494068),
        ((0,), 7080756432543100524),
        ((0, "rollout", 1, 2), 7568119874870696726),
        ((42, "data", "train", 7), 1025767531908829021),
        (("a", None, True, 1.5), 5508717391290322965),
    ],
)
def test_golden_values_never_change(path, seed):
    assert derive(*path) == seed


def test_one_value_by_hand():
    # derive(7, "a") hashes "int:7" and "str:a", each behind its length as 8 bytes; 63 bits kept.
    framed = bytes([0] * 7 + [5]) + b"int:7" + bytes([0] * 7 + [5]) + b"str:a"
    digest = hashlib.blake2b(framed, digest_size=8).digest()
    assert derive(7, "a") == int.from_bytes(digest, "big") % 2**63


def test_neighbouring_paths_do_not_collide():
    # 5·20·10·40 = 40 000 seeds of 63 bits: by the birthday bound a chance collision has odds of 1e-10.
    paths = list(product(range(5), range(20), range(10), range(40)))
    assert len({derive(seed, "rollout", *rest) for seed, *rest in paths}) == len(paths)


def test_runs_with_neighbouring_seeds_share_nothing():
    # The trap of seed + index: runs 42 and 43 would share 999 of 1000 items.
    assert not {derive(42, "item", i) for i in range(1000)} & {derive(43, "item", i) for i in range(1000)}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ((1,), ("1",)),
        ((1,), (1.0,)),
        ((1,), (True,)),
        ((0,), (False,)),
        ((None,), ("None",)),
        ((1, 2), (12,)),
        ((1, 2), (2, 1)),
        (("ab", "c"), ("a", "bc")),
        (("a",), ("a", "")),
        ((), ("",)),
    ],
)
def test_type_order_and_number_of_elements_matter(one, other):
    assert derive(*one) != derive(*other)


@given(paths, paths)
def test_different_paths_differ_and_equal_paths_agree(one, other):
    assert (derive(*one) == derive(*other)) == (typed(one) == typed(other))


@given(paths)
def test_every_seed_fits_a_signed_64_bit_integer(path):
    assert 0 <= derive(*path) < 2**63


def test_a_text_cannot_imitate_a_longer_path():
    assert derive("a\x1fstr:b") != derive("a", "b")


def test_only_plain_values_are_accepted():
    with pytest.raises(TypeError, match="plain values"):
        derive(0, object())  # type: ignore[arg-type]
