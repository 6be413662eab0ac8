"""The short tables of the result pages, from results made up here."""

from __future__ import annotations

from pathlib import Path

import pytest

from neuromas.report.comparing import compare_points, correct

ROOT = Path(__file__).parents[2]
ABOUT = {"level": "depth = 2", "depth": 2, "asked": "", "votes": None, "interval": None, "shape": "2-1"}
ABOUT |= {"method": "network", "calls_a_question": 3.0, "spent": {"calls": 5}}


def arm(name, *seeds):
    told = [{"seed": n, "accuracy": sum(one) / len(one), "scores": one} for n, one in enumerate(seeds)]
    mean = sum(one["accuracy"] for one in told) / len(told) if told else None
    return {"task": "sums", "arm": name, "stage": 1, "system": name, "seeds": told, "accuracy": mean, **ABOUT}


@pytest.fixture
def tables(monkeypatch):
    """The module, found as the scripts of benchmarks/ find it."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    from parts import short_tables

    return short_tables


@pytest.fixture
def kept():
    """A result file."""
    points = [arm("a", [0, 0, 1], [0, 1, 1], [0, 0, 0]), arm("b", [1, 1, 1], [1, 1, 1]), arm("c")]
    points += [arm("d", *[[0, 0]] * 3), arm("e", *[[1, 1]] * 3)]
    pairs = [("a", "b"), ("a", "c"), ("d", "e")]
    lines = [{"task": "sums", "first": [x, 1], "second": [y, 1], "why": f"{x}{y}"} for x, y in pairs]
    compared = correct([compare_points(points, line) for line in lines])
    cheats = [{"task": "sums", "depth": 2, "items": 3, "constant": 0.125, "half": None}]
    return {"points": points, "comparisons": compared, "cheats": cheats}


def test_a_comparison_is_of_the_seeds_that_both_have(tables, kept):
    rows = tables.compared(kept).splitlines()[2:]
    assert len(rows) == 2, "what waits has no row"
    assert rows[0].startswith("| sums | ab | `b:1` 100.0 | `a:1` 50.0 | +50.0 [")
    assert rows[0].endswith("| 2 | not tested |")
    assert rows[1].endswith("| 3 | not tested |"), "of equal differences there is no test"


def test_a_system_without_seeds_has_no_row_and_cheats_close_the_table(tables, kept):
    rows = tables.by_depth(kept).splitlines()
    assert rows[0] == "| sums | depth 2 |"
    assert rows[2:4] == ["| a | 33.3 (3) |", "| b | 100.0 (2) |"]
    assert rows[-2:] == ["| *best constant answer* | 12.5 |", "| *answer of the first half* | – |"]


def test_rivals_have_a_column_a_task(tables, kept):
    rows = tables.rivals(kept).splitlines()
    assert rows[0] == "| arm | shape or method | way | calls a question | sums |"
    assert rows[2] == "| `a` | 2-1 | trained | 3.0 | 33.3 (3) |"
    assert not any("`c`" in row for row in rows)


def test_the_commonest_answers_are_over_all_seeds_that_kept_them(tables):
    seeds = [{"items": 4, "labels": {"7": 3, "a|b": 1}}, {"items": 4, "labels": {"7": 1, "8": 3}}]
    assert tables._commonest([*seeds, {"items": 4}], 2) == "7 50, 8 38"
    assert tables._commonest(seeds[:1], 2) == "7 75, a\\|b 25"
    assert tables._commonest([{"items": 4}], 2) == "–"
    assert tables.said("<b>x</b>\n`y` [z](u)") == r"&lt;b&gt;x&lt;/b&gt; \`y\` \[z\](u)"
