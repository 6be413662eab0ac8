"""The service as others meet it: OpenAI's own client, raw requests, and clients that leave."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest
from servers import MODEL, Held, make_player, question, serving

from neuromas.serving.gate import LOOPBACK, Access
from neuromas.serving.limits import Limits
from neuromas.serving.playing import Ask

HEAD = b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n"
KEY = "a-key-of-some-length"


@pytest.fixture(scope="module")
def openai():
    return pytest.importorskip("openai")


@pytest.fixture
def client(openai, server):
    with openai.OpenAI(base_url=server.url, api_key="none", max_retries=0) as made:
        yield made


def messages(text="What is 1 + 1?"):
    return [{"role": "user", "content": text}]


class Nobody:
    """A listener that hears all and says nothing."""

    gone = False

    def token(self, node, token):
        return True

    def said(self, turn):
        pass


def alone(player, text, temperature=0.0, seed=0):
    """The answer that the network gives to one question by itself."""
    ask = Ask(player.problem([text]), temperature, seed)
    return player.play([(ask, Nobody())])[0].answer.strip()


def test_one_answer_with_its_cost_and_the_messages_behind_it(client, player):
    answer = client.chat.completions.create(
        model=MODEL, messages=messages(), extra_body={"neuromas": {"trace": True}}
    )
    assert answer.choices[0].message.content == alone(player, "What is 1 + 1?")
    assert answer.choices[0].finish_reason == "length"
    said = answer.neuromas["messages"]
    assert [(one["node"], one["layer"]) for one in said] == [("1.1", 1), ("1.2", 1), ("2.1", 2)]
    assert said[-1]["text"].strip() == answer.choices[0].message.content
    assert answer.usage.completion_tokens == sum(one["tokens"] for one in said)
    assert answer.usage.prompt_tokens == sum(one["prompt_tokens"] for one in said)
    hidden = answer.usage.completion_tokens_details.reasoning_tokens
    assert hidden == sum(one["tokens"] for one in said[:-1])
    plain = client.chat.completions.create(model=MODEL, messages=messages())
    assert plain.choices[0].message.content == answer.choices[0].message.content
    assert not hasattr(plain, "neuromas")


def test_a_stream_has_the_messages_then_the_answer_as_it_is_written(client, player):
    stream = client.chat.completions.create(
        model=MODEL,
        messages=messages(),
        temperature=1.0,
        seed=5,
        stream=True,
        stream_options={"include_usage": True},
        extra_body={"neuromas": {"trace": True}},
    )
    chunks = list(stream)
    texts = [one.choices[0].delta.content or "" for one in chunks if one.choices]
    assert "".join(texts) == alone(player, "What is 1 + 1?", 1.0, 5)
    assert sum(bool(text) for text in texts) > 2
    told = [place for place, one in enumerate(chunks) if getattr(one, "neuromas", None)]
    names = [chunks[place].neuromas["message"]["node"] for place in told]
    assert names == ["1.1", "1.2", "2.1"]
    first = next(place for place, text in enumerate(texts) if text)
    assert told[1] < first < told[2]
    assert chunks[-2].choices[0].finish_reason == "length"
    assert (chunks[-1].choices, chunks[-1].usage.completion_tokens) == ([], 18)


def test_a_stream_is_told_while_the_answer_is_being_written(player, monkeypatch):
    """The first piece is there although the answer's last token is not drawn."""
    import threading

    from neuromas.engines.local.engine import LocalEngine

    plain, go = LocalEngine.stream, threading.Event()

    def slow(engine, requests, temperature, ends, told):
        count = 0

        def held(row, token):
            nonlocal count
            count += 1
            if requests[row].max_new == 10 and count == 6:
                assert go.wait(10)
            return told(row, token)

        return plain(engine, requests, temperature, ends, held)

    monkeypatch.setattr(LocalEngine, "stream", slow)
    with serving(player) as server, socket.create_connection(("127.0.0.1", server.port), 10) as line:
        send(line, question(stream=True, temperature=1.0, seed=5))
        got = b""
        while got.count(b'"content": "') < 2:
            got += line.recv(65536)
        assert not go.is_set()
        assert b"[DONE]" not in got
        go.set()
        while b"[DONE]" not in got:
            got += line.recv(65536)


def test_bounds_of_the_answer_are_kept(client, player):
    whole = alone(player, "Q?", 1.0, 7)
    ask = {"model": MODEL, "messages": messages("Q?"), "temperature": 1.0, "seed": 7}
    short = client.chat.completions.create(**ask, max_tokens=3)
    assert whole.startswith(short.choices[0].message.content.rstrip("�"))
    assert (short.choices[0].finish_reason, short.usage.completion_tokens) == ("length", 11)
    place = len(whole) // 2
    stop = whole[place : place + 2]
    for stream in (False, True):
        cut = client.chat.completions.create(**ask, stop=["never", stop], stream=stream)
        if stream:
            chunks = list(cut)
            text = "".join(one.choices[0].delta.content or "" for one in chunks)
            reason = chunks[-1].choices[0].finish_reason
        else:
            text, reason = cut.choices[0].message.content, cut.choices[0].finish_reason
        assert (text, reason) == (whole[: whole.find(stop)].strip(), "stop")


def test_the_seed_decides_what_is_drawn(client):
    def drawn(**seed):
        ask = {"model": MODEL, "messages": messages("Q?"), "temperature": 1.0}
        return client.chat.completions.create(**ask, **seed).choices[0].message.content

    assert drawn(seed=1) == drawn(seed=1) != drawn(seed=2)
    assert drawn() != drawn()


def test_32_clients_at_once_each_get_their_own_answer(openai, server, player):
    before = server.batcher.rollouts
    asked = [(f"What is {i} + {i}?", float(i % 2), i) for i in range(32)]

    async def one(client, text, temperature, seed, stream):
        answer = await client.chat.completions.create(
            model=MODEL, messages=messages(text), temperature=temperature, seed=seed, stream=stream
        )
        if not stream:
            return answer.choices[0].message.content
        return "".join([chunk.choices[0].delta.content or "" async for chunk in answer])

    async def every():
        async with openai.AsyncOpenAI(base_url=server.url, api_key="none", max_retries=0) as client:
            return await asyncio.gather(*(one(client, *ask, i % 3 == 0) for i, ask in enumerate(asked)))

    found = asyncio.run(every())
    assert found == [alone(player, *ask) for ask in asked]
    assert len(set(found)) > 16
    assert server.batcher.rollouts - before < 16


def test_clients_that_leave_free_their_places(openai, player):
    held = Held(player)
    limits = Limits(waiting=2, window=0.0)
    with serving(held, limits=limits) as server, ExitStack() as opened:
        state = server.batcher
        lines = []
        for place, name in enumerate(("played", "gone", "stays")):
            line = opened.enter_context(socket.create_connection(("127.0.0.1", server.port), 10))
            lines.append(line)
            send(line, question(name, stream=place == 1))
            server.until(lambda place=place: state.running == 1 and state.waiting == place)
        status, headers, told = server.ask(question("one too many"))
        assert (status, told["error"]["code"]) == (503, "queue_full")
        assert int(headers["Retry-After"]) >= 1
        lines[1].close()
        server.until(lambda: state.waiting == 1)
        lines[0].close()
        server.until(lambda: state.running == 0)
        held.free.set()
        got = b""
        while b'"finish_reason": "length"' not in got:
            got += (piece := lines[2].recv(65536))
            assert piece
        assert held.batches == [["played"], ["stays"]]


def test_a_client_that_leaves_ends_its_messages(player):
    """Nobody waits: the pass writes nothing more, and those beside it are whole."""

    class Leaves(Nobody):
        heard = 0

        @property
        def gone(self):
            return self.heard >= 2

        def token(self, node, token):
            self.heard += 1
            return not self.gone

    leaver = Leaves()
    asks = [Ask(player.problem([text]), 1.0, seed) for seed, text in enumerate("ab")]
    gone, stays = player.play([(asks[0], leaver), (asks[1], Nobody())])
    assert leaver.heard <= 3
    assert (gone.answered, gone.missing, gone.score) == (False, True, None)
    assert stays.answer.strip() == alone(player, "b", 1.0, 1)


def send(line, body):
    """One request by hand."""
    raw = json.dumps(body).encode()
    line.sendall(HEAD + f"Content-Length: {len(raw)}\r\n\r\n".encode() + raw)


def test_errors_are_those_that_openai_clients_know(openai, server, client):
    with pytest.raises(openai.BadRequestError, match="n = 2 is not supported here"):
        client.chat.completions.create(model=MODEL, messages=messages(), n=2)
    with pytest.raises(openai.NotFoundError, match="unknown model 'tinny'; did you mean 'tiny'") as missing:
        client.chat.completions.create(model="tinny", messages=messages())
    assert missing.value.code == "model_not_found"
    assert [one.id for one in client.models.list()] == [MODEL]
    assert client.models.retrieve(MODEL).system_fingerprint.startswith("fp_")
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("other/name")
    long = client.chat.completions.create
    with pytest.raises(openai.BadRequestError, match="do not fit the model's context") as full:
        long(model=MODEL, messages=messages("x" * 20_000))
    assert full.value.code == "context_length_exceeded"
    with pytest.raises(openai.BadRequestError, match="do not fit"):
        list(long(model=MODEL, messages=messages("x" * 20_000), stream=True))


@pytest.mark.parametrize(
    ("asked", "status", "code"),
    [
        ({"body": b"{"}, 400, "invalid_json"),
        ({"body": b"x" * 10_000_000}, 413, "body_too_large"),
        ({"body": question("x" * 40_000)}, 413, "question_too_long"),
        ({"path": "/nowhere"}, 404, "not_found"),
        ({"path": "/docs"}, 404, "not_found"),
        ({"method": "DELETE", "path": "/v1/models"}, 405, "not_found"),
        ({"body": question(), "Origin": "https://evil.example"}, 403, "wrong_origin"),
        ({"path": "/health", "Host": "evil.example"}, 421, "wrong_host"),
    ],
)
def test_what_is_no_request(server, asked, status, code):
    got, _, told = server.ask(**asked)
    assert (got, told["error"]["code"]) == (status, code)


def test_a_body_of_no_stated_size_is_counted(server):
    with socket.create_connection(("127.0.0.1", server.port), 10) as line:
        line.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
        piece = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
        try:
            for _ in range(40):
                line.sendall(piece)
            line.sendall(b"0\r\n\r\n")
        except OSError:  # it has answered and closed
            pass
        assert line.recv(65536).startswith(b"HTTP/1.1 413")


@pytest.mark.parametrize("text", ["Ünïcödé — 数 😀 \u202e\x1b[2J", "half \ud83d of a pair", "a\r\n\u2028b"])
def test_any_text_is_a_question_and_none_reaches_the_log(server, player, text):
    body = question(text, neuromas={"trace": True})
    status, _, told = server.ask(body)
    assert status == 200
    assert told["choices"][0]["message"]["content"] == alone(player, text)
    assert not any("\x1b" in line or "code" in line for line in server.lines)


def test_keys_and_their_pace(openai, player):
    limits = Limits(per_minute=2)
    with serving(player, limits=limits, access=Access(LOOPBACK, (KEY,))) as server:
        assert server.ask(path="/health")[2]["status"] == "ok"
        assert server.ask(path="/v1/models")[0] == 401
        with (
            openai.OpenAI(base_url=server.url, api_key="another-key-of-ours", max_retries=0) as wrong,
            pytest.raises(openai.AuthenticationError),
        ):
            wrong.chat.completions.create(model=MODEL, messages=messages())
        with openai.OpenAI(base_url=server.url, api_key=KEY, max_retries=0) as right:
            for _ in range(2):
                right.chat.completions.create(model=MODEL, messages=messages())
            with pytest.raises(openai.RateLimitError) as limited:
                right.chat.completions.create(model=MODEL, messages=messages())
        assert 1 <= int(limited.value.response.headers["retry-after"]) <= 30
        assert not any(KEY in line for line in server.lines)


def test_requests_of_one_key_under_way_are_counted(player):
    held = Held(player)
    with serving(held, limits=Limits(at_once=1)) as server, ThreadPoolExecutor(1) as pool:
        first = pool.submit(server.ask, question())
        server.until(lambda: held.batches)
        assert server.ask(question())[2]["error"]["code"] == "too_many_at_once"
        held.free.set()
        assert first.result(10)[0] == 200
        server.until(lambda: server.ask(question())[0] == 200)


def test_a_slow_client_is_let_go_and_others_are_served_meanwhile(player):
    with serving(player, limits=Limits(patience=0.3)) as server:
        with socket.create_connection(("127.0.0.1", server.port), 10) as line:
            line.sendall(HEAD + b"Content-Length: 9\r\n\r\n{")
            assert server.ask(question())[0] == 200
            assert line.recv(4096).startswith(b"HTTP/1.1 408")
        with socket.create_connection(("127.0.0.1", server.port), 10) as line:
            line.sendall(b"POST /v1/chat/comp")  # not even its first line
            begun = time.monotonic()
            assert line.recv(4096) == b""
            assert time.monotonic() - begun < 5


def test_the_end_finishes_what_is_played_and_refuses_what_waits(player):
    held = Held(player)
    with serving(held, limits=Limits(window=0.0)) as server, ThreadPoolExecutor(2) as pool:
        first = pool.submit(server.ask, question("first"))
        server.until(lambda: held.batches)
        second = pool.submit(server.ask, question("second"))
        server.until(lambda: server.batcher.waiting == 1)
        server.running.stop()
        held.free.set()
        assert first.result(10)[0] == 200
        status, _, told = second.result(10)
        assert (status, told["error"]["code"]) == (503, "shutting_down")


def test_a_network_that_hands_out_parts_is_asked_in_parts():
    player = make_player(question="split")
    with serving(player) as server:
        text = "Which is largest? | 1, 2 | 3, 4"
        pieces = [{"type": "text", "text": one} for one in ("Which is largest?", "1, 2", "3, 4")]
        answers = [server.ask(question(one))[2] for one in (text, pieces)]
        contents = [one["choices"][0]["message"]["content"] for one in answers]
        assert contents == [alone(player, text)] * 2
        status, _, told = server.ask(question("Which?"))
        assert status == 400
        assert "in 2 parts; write it as" in told["error"]["message"]
