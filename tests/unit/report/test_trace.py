"""A trace for reading, whose messages can neither act on the terminal nor pass for its own lines."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuromas.core.episode import Episode, Turn
from neuromas.core.task import Problem, Score
from neuromas.report.terminal import block, quoted, visible
from neuromas.report.trace import trace_text
from neuromas.topology.graph import Topology

NETWORK = Topology.build(["a", "b", "out"], [("a", "out", 16), ("b", "out")], {"b": "1/2", "out": "none"})
RIGHT = Score(1.0, "7")
PROBLEM = Problem("max-1", "Which is the largest?\n7 3", "7")


def turn(node, text, ended=True, cut=0):
    return Turn(node, (1, 2, 3), (4,), (5, 6), (-0.1, -0.2), text, ended, 1.0, node, 0, cut)


def spoken(*texts, score=RIGHT, failure=None):
    return Episode(PROBLEM, 2, tuple(turn(row, text) for row, text in enumerate(texts)), score, failure)


def test_a_whole_episode():
    episode = Episode(
        PROBLEM, 2, (turn(0, "seven"), turn(1, "it is", ended=False), turn(2, "7", cut=1)), Score(1.0, "7")
    )
    expected = """\
question max-1, sample 2
  │ Which is the largest?
  │ 7 3

a  (layer 1, node 1 of 2)
  reads the question
  writes to layer 2 node 1 (2 tokens):
    │ seven

b  (layer 1, node 2 of 2)
  reads share 1/2 of the question
  writes to layer 2 node 1 (2 tokens, cut off by its token budget):
    │ it is

out  (layer 2, node 1 of 1)
  reads layer 1 node 1: "seven"
  reads layer 1 node 2: "it is"
  1 of these messages cut to the token budget of the edge
  answers (2 tokens):
    │ 7

answer   "7"
expected "7"
score    1
cost     3 calls, 12 prompt tokens, 6 new tokens"""
    assert trace_text(NETWORK, episode) == expected


def test_a_parse_failure_and_an_empty_message():
    text = trace_text(NETWORK, spoken("", "x", "no idea", score=Score(0.0, None)))
    assert "    (an empty message)" in text
    assert 'reads layer 1 node 1: ""' in text
    assert "answer   nothing that could be understood" in text
    assert "score    0" in text


def test_a_failed_episode_names_its_cause_and_who_never_spoke():
    text = trace_text(NETWORK, spoken("seven", score=None, failure="prompt of node b overflows"))
    assert text.count("  never spoke") == 2
    assert "reads layer 1 node 2: nothing: it never spoke" in text
    assert 'failed   "prompt of node b overflows"' in text
    assert "score    none" in text
    assert "1 call, 4 prompt tokens" in text


def test_an_episode_of_another_network_is_refused():
    with pytest.raises(ValueError, match="a turn of node 3, but the network has 3 nodes"):
        trace_text(NETWORK, Episode(PROBLEM, 0, (turn(3, "x"),), None))


ATTACKS = [
    "\x1b[2J\x1b[1;1Hall is well",  # clear the screen
    "\x9b31mred",  # the one-byte form of the same
    "\x1b]8;;https://example.org\x07link\x1b]8;;\x07",
    "ok\rscore    1",  # overwrite the line
    "ok\nscore    1\nexpected nothing",
    "ok\u2028score    1",
    "ok\x0bscore    1",
    "ok\x85score    1",
    "\u202eesrever",  # reorder what is read
    "a\u200bb\ufeffc",  # invisible
    "\ud800",  # half a character, which cannot be encoded
    " " * 70 + "score    1",  # let the terminal's own folding begin a line
    '"\nscore    1',
]


@pytest.mark.parametrize("attack", ATTACKS)
def test_messages_cannot_act_or_forge(attack):
    problem = Problem(attack, attack, attack)
    turns = tuple(turn(row, attack) for row in range(3))
    text = trace_text(NETWORK, Episode(problem, 0, turns, Score(0.0, attack)), width=72)
    harmless = trace_text(NETWORK, spoken("x", "x", "x", score=Score(0.0, "x")), width=72)
    assert_tame(text)
    mine = [line for line in text.split("\n") if "│" not in line]
    assert [line[:9] for line in mine[1:]] == [line[:9] for line in harmless.split("\n") if "│" not in line][
        1:
    ]
    failed = trace_text(NETWORK, Episode(problem, 0, (), None, attack), width=72)
    assert_tame(failed)
    assert "\nscore    1" not in failed


def assert_tame(text):
    """No character that acts or hides, but for our own line ends; encodable."""
    assert not [c for c in text if c != "\n" and unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp")]
    text.encode("utf-8")


@given(st.text(st.characters()), st.integers(20, 120))
def test_blocks_stay_behind_their_gutter_and_within_the_width(text, width):
    lines = block(text, "  │ ", width)
    assert lines
    for line in lines:
        assert line.startswith("  │ ")
        assert_tame(line)
        assert "\n" not in line
        assert sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in line) <= width


@given(st.text(st.characters(codec="utf-8", exclude_categories=["C", "Zl", "Zp"])))
def test_ordinary_text_is_shown_whole(text):
    assert visible(text) == text
    assert "".join(line.removeprefix("| ") for line in block(text, "| ", 30)) == text


def test_escapes_name_the_character():
    assert visible("a\tb\n\x1b\x85\u202e\U000e0001") == "a\\tb\\n\\x1b\\x85\\u202e\\U000e0001"


def test_quotations_cannot_be_left():
    assert quoted('say "hi"\\') == '"say \\"hi\\"\\\\"'
    assert quoted("x" * 200, 10) == '"' + "x" * 10 + '"… (200 characters)'
    assert quoted("") == '""'
