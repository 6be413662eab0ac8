"""Messages stay one line of bounded length, whatever value they name."""

from __future__ import annotations

import pytest

from neuromas.core.errors import LONGEST, cut, one_line, plain, shown, unknown
from neuromas.core.seeds import derive


def nested(depth: int) -> list:
    value: list = []
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("a", "'a'"),
        ("x" * 101, f"'{'x' * 100}'… (101 characters)"),
        (list(range(100)), str(list(range(100)))[:100] + "…"),
        (2.5, "2.5"),
    ],
)
def test_a_value_is_shown_whatever_it_is(value, text):
    assert shown(value) == text


def test_what_python_does_not_write_is_named_by_its_type():
    assert shown(10**5000) == "<int too large to write>"
    assert shown([10**5000]) == "<list too large to write>"


def test_what_is_nested_too_deep_is_named_by_its_type():
    assert shown(nested(100_000)) == "<list nested too deep to write>"


def test_plain_is_the_text_itself():
    assert (plain("a"), plain(3), plain(10**5000)) == ("a", "3", "<int too large to write>")


def test_long_messages_keep_both_ends():
    text = cut("a" * 5000 + "z" * 600)
    assert len(text) == LONGEST
    assert text.startswith("aaa")
    assert text.endswith("zzz")
    assert len(one_line(ValueError("x\ny " * 5000))) <= LONGEST
    assert one_line(ValueError()) == "ValueError"


def test_unknown_values_are_answered_in_time_and_in_one_line():
    said = unknown("key", "steps" * 100_000, ["train.steps"] * 50)
    assert len(said) < 1000
    assert "did you mean 'max'?" in unknown("task", "maxx", ["max"])
    assert unknown("task", 10**5000, ["max"]) == "unknown task <int too large to write> (valid: max)"


def test_half_a_surrogate_pair_is_a_value_of_a_seed_path():
    assert derive("\ud800") != derive("\udc00")
    assert derive("ä") == derive("ä")
