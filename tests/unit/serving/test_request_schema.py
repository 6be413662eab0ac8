"""Every field of a request is honoured or refused by name."""

from __future__ import annotations

import json

import pytest

from neuromas.serving.asking import question_of, read_ask
from neuromas.serving.limits import Limits
from neuromas.serving.refusals import Refused
from neuromas.serving.schema import NEUTRAL, read_chat

USER = {"role": "user", "content": "What?"}


def body(**more):
    return json.dumps({"model": "m", "messages": [USER], **more}).encode()


@pytest.mark.parametrize(
    ("more", "param", "says"),
    [
        ({"n": 2}, "n", "n = 2 is not supported here: leave it out, or 1"),
        ({"n": True}, "n", "n = True is not supported"),
        ({"tools": [{"type": "function"}]}, "tools", "not supported here: leave it out, or []"),
        ({"logprobs": True}, "logprobs", "leave it out, or false"),
        ({"logprobs": 0}, "logprobs", "leave it out, or false"),
        ({"response_format": {"type": "json_object"}}, "response_format", 'or {"type": "text"}'),
        ({"top_p": 0.9}, "top_p", "leave it out, or 1"),
        ({"frequency_penalty": 0.5}, "frequency_penalty", "leave it out, or 0"),
        ({"metadata": {"a": "b"}}, "metadata", "leave it out, or {}"),
        ({"reasoning_effort": "low"}, "reasoning_effort", "not supported here (supported: model, messages"),
        ({"neuromas": {"traces": True}}, "neuromas", "neuromas.traces is not supported here"),
        ({"temperature": 2.5}, "temperature", "temperature = 2.5: Input should be less than or equal to 2"),
        ({"temperature": "0"}, "temperature", "temperature = '0': Input should be a valid number"),
        ({"seed": 1.5}, "seed", "seed = 1.5: Input should be a valid integer"),
        ({"seed": 2**63}, "seed", "less than"),
        ({"seed": True}, "seed", "valid integer"),
        ({"max_tokens": 0}, "max_tokens", "greater than or equal to 1"),
        ({"max_tokens": 1, "max_completion_tokens": 2}, "max_tokens", "give one"),
        ({"stop": ""}, "stop", "stop = ''"),
        ({"stop": list("abcde")}, "stop", "at most 4"),
        ({"stream": "yes"}, "stream", "valid boolean"),
        ({"stream_options": {"include_usage": True}}, "stream_options", "is for stream = true"),
        ({"messages": []}, "messages", "at least 1"),
        ({"messages": "hi"}, "messages", "valid list"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages", "messages.0.role = 'tool'"),
        ({"messages": [{"role": "user"}]}, "messages", "messages.0.content is missing"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]},
            "messages",
            "messages.0.content.0.type = 'image_url': Input should be 'text'",
        ),
        ({"messages": [{**USER, "name": "ann"}]}, "messages", "messages.0.name is not supported here"),
    ],
)
def test_what_cannot_be_done_is_refused_by_name(more, param, says):
    with pytest.raises(Refused) as refused:
        read_chat(body(**more))
    error = refused.value.body["error"]
    assert (refused.value.status, error["param"]) == (400, param)
    assert says in error["message"]


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"\xff\xfe\x00", "not"),
        (b"[]", "not a JSON object"),
        (b'{"temperature": NaN}', "NaN is no number of JSON"),
        (b"[" * 100_000, "nested too deep"),
        (b'{"seed": ' + b"9" * 5000 + b"}", "not JSON"),
        (b'{"messages": [{"role": "user", "content": "x"}]}', "model is missing"),
    ],
)
def test_bodies_that_are_no_request(raw, says):
    with pytest.raises(Refused, match=says) as refused:
        read_chat(raw)
    assert refused.value.status == 400


def test_fields_that_ask_for_nothing_are_no_fault():
    for field, harmless in NEUTRAL.items():
        for value in (*harmless, None):
            read_chat(body(**{field: value}))
    read = read_chat(body(top_p=1.0, user="ann", stop=None, seed=None, max_completion_tokens=5, stop_=None))
    assert (read.most, read.stops, read.temperature, read.seed) == (5, (), 0.0, None)
    echoed = {"role": "user", "content": "x", "refusal": None, "tool_calls": None}
    assert read_chat(body(messages=[echoed])).messages[0].pieces == ("x",)


def turns(*pairs):
    return read_chat(body(messages=[{"role": role, "content": text} for role, text in pairs])).messages


def test_the_last_message_is_the_question_and_earlier_ones_are_refused_or_joined():
    talk = turns(("system", "Be\nkind."), ("user", "one"), ("assistant", "1"), ("user", "two | a | b"))
    with pytest.raises(Refused, match=r"earlier messages \(system, user, assistant\)"):
        question_of(talk, "refuse")
    assert question_of(talk, "join") == ("system: Be kind.\nuser: one\nassistant: 1\ntwo | a | b",)
    with pytest.raises(Refused, match="'assistant'; it must be the user's"):
        question_of(turns(("user", "one"), ("assistant", "1")), "join")
    pieces = [{"type": "text", "text": "a|b"}, {"type": "text", "text": "c"}]
    read = read_chat(body(messages=[{"role": "user", "content": pieces}]))
    assert question_of(read.messages, "refuse") == ("a|b", "c")


def test_an_ask_has_its_seed_and_its_bounds(player):
    limits = Limits(question=10)
    ask = read_ask(read_chat(body(max_tokens=3, stop="x")), player, "refuse", limits)
    assert (ask.seed, ask.most, ask.stops, ask.problem.question) == (0, 3, ("x",), "What?")
    drawn = [read_ask(read_chat(body(temperature=1)), player, "refuse", limits).seed for _ in range(2)]
    assert drawn[0] != drawn[1]
    assert read_ask(read_chat(body(temperature=1, seed=-5)), player, "refuse", limits).seed == -5
    for content, status in (("x" * 11, 413), (" \n", 400), ([], 400)):
        read = read_chat(body(messages=[{"role": "user", "content": content}]))
        with pytest.raises(Refused) as refused:
            read_ask(read, player, "refuse", limits)
        assert refused.value.status == status


def test_hostile_names_of_fields_are_shown_and_not_acted_on():
    with pytest.raises(Refused) as refused:
        read_chat(json.dumps({"model": "m", "messages": [USER], "\x1b[2J\u202e": 1}).encode())
    error = refused.value.body["error"]
    assert error["param"] == "\\x1b[2J\\u202e"
    assert "\x1b" not in error["message"]
    with pytest.raises(Refused, match="a field's name"):
        read_chat(body(**{"\ud800": 1}))
