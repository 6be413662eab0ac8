"""Blocks in every form, and that nothing in them acts in any."""

from __future__ import annotations

import csv
import io
import json
import re

import pytest

from neuromas.core.errors import ConfigError
from neuromas.report.blocks import Figure, Quote, Table, Text, difference, number, share
from neuromas.report.writers import (
    WRITERS,
    as_csv,
    as_json,
    as_latex,
    as_markdown,
    as_text,
    write_figures,
)
from neuromas.statistics import Interval

HOSTILE = '\x1b[2J\u202e=1+1\r\n```\n| a | <img src=x> $x$ \\end{tabular} % & # _ {} ~ ^ \u2028 "'
INTERVAL = {"low": 0.1, "high": 0.9}
TABLE = Table(
    ("who", "accuracy", "steps", "gain", "calls"),
    (
        ("a", share(0.5, INTERVAL), 3, difference(None), number(2.25)),
        ("b", share(None), None, difference(0.5, Interval(0.25, 0.75, 0.95, "t")), number(None)),
    ),
    "both",
)


def test_plain_text_has_a_blank_line_between_blocks_and_aligned_columns():
    blocks = [Text(("one", "two")), TABLE, Table(("x",), (("y",),), aside=True), Quote("a\nb", "said")]
    assert as_text(blocks).split("\n") == [
        *("one", "two", ""),
        "both",
        "who  accuracy             steps  gain                         calls",
        "a    50.0 % [10.0, 90.0]  3      –                            2.2",
        "b    –                    –      +50.0 points [+25.0, +75.0]  –",
        *("", "said", "    │ a", "    │ b"),
    ]


def test_csv_has_numbers_unrounded_and_an_interval_in_columns_of_its_own():
    rows = list(csv.reader(io.StringIO(as_csv([Text(("left out",)), TABLE]))))
    names = [
        "who",
        "accuracy",
        "accuracy low",
        "accuracy high",
        "steps",
        "gain",
        "gain low",
        "gain high",
        "calls",
    ]
    assert rows == [
        names,
        ["a", "0.5", "0.1", "0.9", "3", "", "", "", "2.25"],
        ["b", "", "", "", "", "0.5", "0.25", "0.75", ""],
    ]


def test_csv_takes_tables_of_the_same_columns_for_one():
    one, other = (Table(("a", "b"), ((title, 1),), title) for title in ("x", "y"))
    text = as_csv([one, Table(("c",), ((2,),)), other])
    assert text == "table,a,b\nx,x,1\ny,y,1\n\nc\n2\n"


def test_markdown_and_latex_have_text_to_the_left_and_numbers_to_the_right():
    assert as_markdown([TABLE]).split("\n")[2:5] == [
        "| who | accuracy | steps | gain | calls |",
        "| --- | --: | --: | --: | --: |",
        "| a | 50.0 % \\[10.0, 90.0\\] | 3 | – | 2.2 |",
    ]
    lines = as_latex([TABLE]).split("\n")
    assert lines[1] == r"\begin{tabular}{lrrrr}"
    assert lines[5] == r"a & 50.0 \% [10.0, 90.0] & 3 & -- & 2.2 \\"


def test_json_has_all_blocks_with_their_numbers():
    found = json.loads(as_json([TABLE, Text(("a",)), Quote("b", "c"), Figure("d", "<svg/>")]))
    assert [one["kind"] for one in found] == ["table", "text", "quote", "figure"]
    assert found[0]["rows"][0] == ["a", {"value": 0.5, "low": 0.1, "high": 0.9}, 3, None, 2.25]


@pytest.mark.parametrize("form", WRITERS)
def test_nothing_hidden_comes_through(form):
    blocks = [
        Text((HOSTILE,)),
        Text((HOSTILE, HOSTILE)),
        Quote(HOSTILE, HOSTILE),
        Table((HOSTILE, "b"), ((HOSTILE, 1),), HOSTILE),
        Figure("name", "<svg/>", HOSTILE),
    ]
    text = WRITERS[form](blocks)
    assert not set("\x1b\u202e\u2028\r") & set(text)
    if form == "markdown":
        outside = re.sub(r"^(`{3,})\n.*?\n\1$", "", text, flags=re.DOTALL | re.MULTILINE)
        assert not re.search(r"(?<!\\)[<`]", outside), "no markup and no fence is open"
        assert len(re.findall(r"(?<!\\)\|", outside)) == 9, "three rows of two cells"
    if form == "latex":
        body = "\n".join(line for line in text.split("\n") if not line.startswith("%"))
        assert body.count(r"\end{") == 1
        assert not re.search(r"(?<!\\)[%#_$]", body)


def test_a_spreadsheet_is_given_no_formula():
    rows = list(csv.reader(io.StringIO(as_csv([Table(("a", "b"), (("=HYPERLINK(1)", -1.5), ("@x", 2)))]))))
    assert rows[1:] == [["'=HYPERLINK(1)", "-1.5"], ["'@x", "2"]]


def test_rows_have_as_many_cells_as_there_are_columns():
    with pytest.raises(ValueError, match="row 2 has 1 cells for 2 columns"):
        Table(("a", "b"), ((1, 2), (1,)))


def test_figures_are_files_and_markdown_shows_them(tmp_path):
    blocks = [Figure("tree_1", "<svg/>", "a tree")]
    (file,) = write_figures(blocks, tmp_path / "new")
    assert file.read_text() == "<svg/>"
    assert "tree\\_1.svg" in as_markdown(blocks, "new")
    assert "svg" not in as_markdown(blocks)
    with pytest.raises(ConfigError, match="cannot be called"):
        write_figures([Figure("../out", "<svg/>")], tmp_path)
