"""Prompts as messages of a chat, replies as tokens of the ruler, and the contract in both modes."""

from __future__ import annotations

import math
import random

import pytest
import torch

from neuromas.core.episode import Receipt
from neuromas.core.errors import ConfigError, ModelError
from neuromas.engines.base import Generation, Request
from neuromas.engines.endpoint.codec import END, REPLY, SYSTEM, USER, ChatCodec
from neuromas.engines.endpoint.engine import ChatEngine
from neuromas.engines.endpoint.options import DEFAULTS, checked
from neuromas.engines.endpoint.reply import Reply, read_chat
from neuromas.engines.endpoint.tokens import TokenEngine, servers_of
from neuromas.prompts.codec import ByteCodec, Codec, neutralise
from neuromas.testing import check_engine


class Marked(ByteCodec):
    """Bytes whose tokenizer knows control tokens."""

    control_tokens = ("<|im_end|>",)

    def encode(self, text):
        return super().encode(neutralise(text, self.control_tokens))


def options(**given):
    return checked({**DEFAULTS, "url": "http://h/v1", "model": "m", **given})


class Says:
    """A sender that gives these replies and notes what was sent."""

    def __init__(self, *replies):
        self.replies, self.bodies = replies, []

    def all(self, bodies):
        self.bodies += bodies
        return [self.replies[i % len(self.replies)] for i, _ in enumerate(bodies)]


def reply(text, finish="stop", **more):
    return Reply(text, Receipt(finish=finish, **more))


def written(said, max_new=8, ends=None, codec=None):
    """The message that a reply becomes."""
    engine = ChatEngine(codec or ByteCodec(), 999, options(), Says(said))
    given = engine.codec.end_ids if ends is None else ends
    (out,) = engine.generate([Request(0, (65,), (), max_new, 1)], 0.0, given)
    return out, engine.codec.decode(out.ids)


def test_the_codec_keeps_its_promises_and_tells_the_roles_apart():
    codec = ChatCodec(Marked())
    assert isinstance(codec, Codec)
    before, after = codec.chat("Be brief. <|im_end|>")
    assert (before[0], before[-1], after) == (SYSTEM, USER, (REPLY,))
    ids = before + codec.encode("Question: <|im_end|> -1 <user> é\n") + after
    assert codec.messages(ids) == [
        {"role": "system", "content": "Be brief. < |im_end|>"},
        {"role": "user", "content": "Question: < |im_end|> -1 <user> é"},
    ]
    assert codec.spell(ids).startswith("<system>Be brief.")
    assert codec.spell((END,)) == "<end>"
    assert codec.chat("") == ((USER,), (REPLY,))
    assert codec.messages(codec.encode("plain text")) == [{"role": "user", "content": "plain text"}]
    assert END in codec.line_end_ids
    assert ByteCodec.END not in codec.line_end_ids


def test_what_is_sent():
    says = Says(reply("4"))
    engine = ChatEngine(ByteCodec(), 999, options(extra={"top_p": 0.9}), says)
    before, after = engine.codec.chat("S")
    engine.generate([Request(0, (*before, 81), (63, *after), 7, 2**40 + 5)], 0.7, engine.codec.end_ids)
    assert says.bodies == [
        {
            "model": "m",
            "messages": [{"role": "system", "content": "S"}, {"role": "user", "content": "Q?"}],
            "max_tokens": 7,
            "temperature": 0.7,
            "seed": 5,
            "extra_body": {"top_p": 0.9},
        }
    ]


def test_reasoning_models_are_asked_as_they_want_it():
    says = Says(reply("4"))
    engine = ChatEngine(ByteCodec(), 999, options(reasoning=True, spare=100, seed=False), says)
    engine.generate([Request(0, (81,), (), 7, 1)], 0.7, engine.codec.end_ids)
    assert {*says.bodies[0]} == {"model", "messages", "max_completion_tokens"}
    assert says.bodies[0]["max_completion_tokens"] == 107


@pytest.mark.parametrize(
    ("said", "text", "count", "ended"),
    [
        (reply("four"), "four", 5, True),
        (reply("  four\n"), "four", 5, True),
        (reply("12345678"), "12345678", 8, False),  # no room for its end
        (reply("1234567"), "1234567", 8, True),
        (reply("1234567890"), "12345678", 8, False),
        (reply("four", "length"), "four", 4, False),
        (reply("", "length"), "", 0, False),  # the limit went into what is not shown
        (reply(""), "", 1, True),
        (reply("four", ""), "four", 5, True),
    ],
)
def test_a_reply_ends_by_itself_or_by_the_ruler(said, text, count, ended):
    out, read = written(said)
    assert (read, len(out.ids), out.ended) == (text, count, ended)
    assert out.logprobs == (0.0,) * count
    assert out.receipt == said.receipt


def test_a_plain_message_ends_with_its_line():
    codec = ChatCodec(ByteCodec())
    out, text = written(reply("\n12\nbecause"), ends=codec.line_end_ids)
    assert (text, out.ended) == ("12\n", True)


def test_hostile_text_stays_text():
    out, text = written(reply("<|im_end|> a\u2028b", "stop"), 40, codec=Marked())
    assert text == "< |im_end|> a\u2028b"
    assert min(out.ids[:-1]) >= 0
    long, _ = written(reply("x" * 10_000_000), 4)
    assert len(long.ids) == 4


def test_a_cause_is_no_message():
    out, _ = written("endpoint: HTTP 500: oh")
    assert out == Generation((), (), False, failure="endpoint: HTTP 500: oh")


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"{", "no JSON"),
        (b"\xff", "no JSON"),
        (b"[]", "no message"),
        (b'{"choices": [{"message": "x"}]}', "no message"),
        (b'{"choices": [{"message": {"content": null}, "finish_reason": "stop"}]}', "no text"),
    ],
)
def test_what_is_no_reply_is_said(body, says):
    with pytest.raises(ValueError, match=says):
        read_chat(body)


@pytest.mark.parametrize(
    ("message", "text"),
    [
        ('{"content": null, "refusal": "I must not."}', "I must not."),
        ('{"content": [{"type": "text", "text": "a"}, 3, {"text": "b"}]}', "ab"),
        ('{"content": "\\ud800"}', "\ud800"),
    ],
)
def test_odd_replies_are_read(message, text):
    raw = f'{{"choices": [{{"message": {message}}}], "usage": {{"prompt_tokens": -1}}, "model": 5}}'
    assert read_chat(raw.encode()) == Reply(text, Receipt())
    written(read_chat(raw.encode()))


class Endless:
    """Writes to the limit, what the prompt's length says."""

    def all(self, bodies):
        texts = ["abcdefgh"[len(one["messages"][-1]["content"]) % 8] for one in bodies]
        return [reply(t * one["max_tokens"], "length") for t, one in zip(texts, bodies, strict=True)]


def test_the_chat_engine_keeps_the_contract():
    torch.set_num_threads(1)
    check_engine(
        lambda config, model: ChatEngine(model.backbone.codec, model.backbone.context, options(), Endless())
    )


class Uniform:
    """Completes with one of four letters, each as likely, and knows it."""

    def attempt(self, asked, how):
        return [self.one(one, how) for one in asked]

    def one(self, asked, how):
        seed = asked.seed if how.temperature else len(asked.prompt)
        draw, ids = random.Random(f"{seed} {asked.prompt}"), ()
        while len(ids) < asked.max_new and not (ids and ids[-1] in how.ends):
            ids += (draw.choice((65, 66, 67, 10)),)
        said = math.log(0.25) if how.temperature else 0.0
        return Generation(ids, (said,) * len(ids), ids[-1] in how.ends)


def test_the_token_engine_keeps_the_contract():
    torch.set_num_threads(1)
    check_engine(
        lambda config, model: TokenEngine(model.backbone.codec, model.backbone.context, "m", Uniform())
    )


class Fails:
    """Fails where the prompt is longer than a token."""

    def attempt(self, asked, how):
        bad = ModelError("server said key-123\nno")
        return [bad if len(one.prompt) > 1 else Uniform().one(one, how) for one in asked]


def test_tokens_that_cannot_be_had_are_causes_without_the_key():
    engine = TokenEngine(ByteCodec(), 99, "m", Fails(), "key-123")
    good, bad = Request(0, (65,), (), 3, 1), Request(0, (65, 66), (), 3, 1)
    with pytest.raises(ModelError, match="the first 1 requests failed; endpoint: server said"):
        engine.generate([bad], 1.0, frozenset())
    first, second = engine.generate([good, bad], 1.0, frozenset())
    assert first.receipt == Receipt("m", "", 1, 3, "length")
    assert second == Generation((), (), False, failure="endpoint: server said [key] no")
    assert engine.generate([bad], 1.0, frozenset()) == [second]


@pytest.mark.parametrize("given", [{"per_minute": 3}, {"reasoning": True}, {"seed": False}, {"spare": 1}])
def test_options_of_chats_have_no_effect_on_tokens(given):
    with pytest.raises(ConfigError, match="has no effect with mode = 'tokens'"):
        servers_of(options(mode="tokens", **given))
