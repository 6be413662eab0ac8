"""Pieces of an answer, joined, are the answer: whatever its tokens, stop texts and characters are."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from neuromas.prompts.codec import ByteCodec
from neuromas.serving.draft import Draft, cut_before

CODEC = ByteCodec()
END = frozenset({CODEC.END})
TEXTS = st.text(st.sampled_from("ab \n\té€😀�"), max_size=14)


def written(ids, stops=(), ended=False):
    """All pieces that a draft gives out, and the draft."""
    draft, pieces = Draft(CODEC.decode, END, stops), []
    for token in [*ids, *([CODEC.END] if ended else [])]:
        pieces.append(draft.add(token))
        if draft.stopped:
            break
    return pieces, draft


@settings(max_examples=60)
@given(TEXTS, st.lists(st.text("ab é", min_size=1, max_size=3), max_size=3), st.booleans())
def test_pieces_make_the_answer_and_nothing_is_taken_back(text, stops, ended):
    pieces, draft = written(CODEC.encode(text), tuple(stops), ended)
    rest = draft.finish(CODEC.decode(draft._ids))
    assert rest is not None
    assert "".join([*pieces, rest]) == cut_before(text, stops).strip() == draft.sent


@settings(max_examples=40)
@given(st.lists(st.integers(0, 255), max_size=12))
def test_bytes_that_are_no_text_come_out_as_they_are_decoded_whole(ids):
    pieces, draft = written(ids)
    rest = draft.finish(CODEC.decode(ids))
    assert rest is not None
    assert "".join([*pieces, rest]) == CODEC.decode(ids).strip()


def test_the_stop_text_that_is_complete_first_counts():
    assert cut_before("baa", ["a", "baa"]) == "b"
    assert cut_before("xba", ["a", "ba"]) == "x"
    assert cut_before("none", []) == cut_before("none", ["x"]) == "none"


def test_characters_are_told_when_they_are_whole_and_certain():
    pieces, draft = written(CODEC.encode(" a€ b "))
    assert pieces == ["", "a", "", "", "€", "", " b", ""]
    assert draft.finish(" a€ b ") == ""
    pieces, draft = written(CODEC.encode("xENDy"), ("END",))
    assert (pieces, draft.stopped) == (["x", "", "", ""], True)
    pieces, draft = written(CODEC.encode("xENy"), ("END",))
    assert (pieces, draft.stopped) == (["x", "", "", "ENy"], False)


def test_a_message_that_is_written_again_sends_only_what_is_new():
    draft = Draft(CODEC.decode, END)
    assert [draft.add(token) for token in b"ab"] == ["a", "b"]
    draft.begin()
    assert [draft.add(token) for token in b"abc"] == ["", "", "c"]
    assert draft.finish("abcd") == "d"
    assert draft.finish("other") is None
