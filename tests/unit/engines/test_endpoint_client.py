"""What an endpoint may do to its client: refuse, stall, talk nonsense, echo the key."""

from __future__ import annotations

import signal
import sys
import threading
import time

import pytest

from endpoint import completion, refusal, serving
from neuromas.core.errors import ConfigError, ModelError
from neuromas.engines.endpoint.client import Client
from neuromas.engines.endpoint.options import DEFAULTS, checked, key_of
from neuromas.engines.endpoint.reply import Reply

pytest.importorskip("openai", reason="the extra 'endpoint' is not installed")

KEY = "sk-very-secret-0123456789"
ASK = {"model": "m", "messages": [{"role": "user", "content": "2 + 2?"}], "max_tokens": 4}


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    """The library waits half a second before its first repeated try."""
    monkeypatch.setattr("openai._base_client.INITIAL_RETRY_DELAY", 0.01)


def client(stub, key="", **options):
    given = {"url": stub.url, "model": "m", "timeout": 5.0, "retries": 1} | options
    return Client(checked({**DEFAULTS, **given}), key)


def asked(answer, count=1, key="", **options):
    """Replies to so many requests, and the stub that gave them."""
    with serving(answer) as stub:
        one = client(stub, key, **options)
        try:
            return one.all([ASK] * count), stub
        finally:
            one.close()


def once(first):
    """Misbehaves at the first request alone."""
    return lambda body, number: first if number == 0 else completion("4")


def once_and_then(last):
    """Answers the first request alone."""
    return lambda body, number: completion("4") if number == 0 else last


@pytest.mark.parametrize(
    "first",
    [
        refusal(429, **{"retry-after-ms": "50"}),
        refusal(500),
        refusal(503),
        (200, {}, b'{"choices": [{"mess'),
        (200, {"content-type": "text/html"}, b"<html>busy</html>"),
        {"choices": []},
        {"choices": None, "usage": 3},
        {"choices": [{"message": {"role": "assistant", "content": None}, "finish_reason": "stop"}]},
        [1, 2],
    ],
)
def test_what_may_be_better_the_next_time_is_asked_again(first):
    (reply,), stub = asked(once(first))
    assert isinstance(reply, Reply)
    assert reply.text == "4"
    assert len(stub.bodies) == 2


def test_retry_after_is_obeyed():
    started = time.monotonic()
    (reply,), _ = asked(once((429, {"retry-after": "1"}, b"{}")))
    assert isinstance(reply, Reply)
    assert time.monotonic() - started >= 1.0


def test_a_time_out_is_asked_again_and_then_a_cause():
    (reply,), stub = asked(once(1.0), timeout=0.2)
    assert isinstance(reply, Reply)
    assert len(stub.bodies) == 2
    replies, _ = asked(once_and_then(0.4), 2, timeout=0.1, retries=0, concurrency=1)
    assert replies[1] == "endpoint: no answer within 0.1 s, 1 times"


@pytest.mark.parametrize(
    ("last", "cause"),
    [
        (refusal(429, "slow down"), "endpoint: HTTP 429: slow down"),
        (refusal(500, "oh"), "endpoint: HTTP 500: oh"),
        (refusal(400, "unsupported\nparameter"), "endpoint: HTTP 400: unsupported parameter"),
        (refusal(401, "late"), "endpoint: HTTP 401: late"),
        ((200, {}, b"{]"), "endpoint: the answer is no JSON"),
        ((200, {}, b"[" * 100_000), "endpoint: the answer is no JSON"),
        ({"choices": []}, "endpoint: the answer holds no message"),
        ({"choices": [{"message": {"content": 5}}]}, "endpoint: the answer's message holds no text"),
        (completion("half of it", "content_filter"), "endpoint: its content filter stopped the message"),
    ],
)
def test_what_stays_wrong_is_a_cause_and_no_exception(last, cause):
    replies, _ = asked(once_and_then(last), 3, concurrency=1)
    assert isinstance(replies[0], Reply)
    assert replies[1:] == [cause, cause]


def test_an_endpoint_that_answers_nothing_from_the_beginning_is_one_line():
    with pytest.raises(ModelError, match=r"^the first 3 requests to http://\S+ failed; endpoint: HTTP 500"):
        asked(lambda body, number: refusal(500, "oh"), 50, retries=0, concurrency=3)


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_wrong_key_or_name_ends_everything_at_once(status):
    with serving(lambda body, number: refusal(status, "no such thing")) as stub:
        one = client(stub, concurrency=2)
        with pytest.raises(ModelError, match=f"HTTP {status}: no such thing"):
            one.all([ASK] * 50)
        one.close()
        assert len(stub.bodies) <= 2


def test_nobody_there_is_one_line():
    with serving(lambda body, number: {}) as stub:
        pass
    one = client(stub, retries=0)
    with pytest.raises(ModelError, match=r"the first request to http://.* failed; endpoint: .*onnect"):
        one.all([ASK])
    one.close()


def test_as_many_at_once_as_may_be_and_no_more():
    def slow(body, number):
        time.sleep(0.05)
        return completion("4")

    replies, stub = asked(slow, 9, concurrency=3)
    assert len(replies) == 9
    assert stub.most == 3


def test_the_pace_is_kept_and_counts_repeated_tries():
    replies, stub = asked(once(refusal(500)), 4, per_minute=600)
    assert all(isinstance(one, Reply) for one in replies)
    assert len(stub.times) == 5
    assert max(stub.times) - min(stub.times) >= 0.35  # five attempts, a tenth of a second apart


def test_the_key_is_sent_and_never_said():
    def echo(body, number):
        if number == 1:
            return refusal(400, f"bad key {KEY}")
        return completion(f"your key is {KEY}", KEY, model=KEY, system_fingerprint=f"a{KEY}b")

    (first, second), stub = asked(echo, 2, key=KEY, concurrency=1)
    assert stub.headers[0]["authorization"] == f"Bearer {KEY}"
    assert KEY not in repr(first) + repr(second)
    assert first.text == "your key is [key]"
    assert second == "endpoint: HTTP 400: bad key [key]"
    with pytest.raises(ModelError) as error:
        asked(lambda body, number: refusal(401, KEY), key=KEY)
    assert KEY not in str(error.value)


def test_accounts_of_the_environment_are_no_business_of_an_endpoint(monkeypatch):
    for name in ("OPENAI_ORG_ID", "OPENAI_PROJECT_ID", "OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.setenv(name, "private")
    _, stub = asked(lambda body, number: completion("4"))
    assert "private" not in repr(stub.headers)


def test_ctrl_c_ends_what_is_under_way():
    def slow(body, number):
        time.sleep(0.2)
        return completion("4")

    with serving(slow) as stub:
        one = client(stub, concurrency=1)
        main = threading.main_thread().ident
        timer = threading.Timer(0.1, signal.pthread_kill, (main, signal.SIGINT))
        timer.start()
        with pytest.raises(KeyboardInterrupt):
            one.all([ASK] * 20)
        timer.join()
        time.sleep(0.3)
        assert len(one.all([ASK])) == 1  # and the client goes on being of use
        assert len(stub.bodies) <= 4
        one.close()


def test_other_threads_and_loops_may_ask():
    import asyncio

    async def notebook(one):
        return one.all([ASK])

    with serving(lambda body, number: completion("4")) as stub:
        one = client(stub)
        assert asyncio.run(notebook(one))[0].text == "4"
        one.close()


@pytest.mark.parametrize("missing", ["openai", "aiolimiter"])
def test_without_the_extra_one_line_names_it(monkeypatch, missing):
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(ConfigError, match=r"needs an extra: pip install 'neuromas\[endpoint\]'"):
        Client(checked({**DEFAULTS, "url": "http://h/v1", "model": "m"}), "")


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"url": ""}, "url is missing"),
        ({"url": "localhost:8000"}, "should be http://HOST"),
        ({"url": "http://h:99999999/v1"}, "should be http://HOST"),
        ({"url": f"https://me:{KEY}@h/v1"}, "has a user, a query or a fragment"),
        ({"url": f"https://h/v1?api-key={KEY}"}, "has a user, a query or a fragment"),
        ({"model": " "}, "model is missing"),
        ({"mode": "chats"}, "unknown mode 'chats'; did you mean 'chat'"),
        ({"key_env": KEY}, "is not the name of an environment variable"),
        ({"timeout": 0.0}, "timeout = 0.0 should be from"),
        ({"retries": -1}, "retries = -1 should be from 0 to 20"),
        ({"concurrency": 0}, "concurrency = 0 should be from 1"),
        ({"extra": {"messages": []}}, "'messages' is set for every request here"),
    ],
)
def test_options_that_cannot_be_are_one_line_without_a_key(given, says):
    with pytest.raises(ConfigError) as error:
        checked({**DEFAULTS, "url": "http://h/v1", "model": "m", **given})
    assert says in str(error.value)
    assert KEY not in str(error.value)


@pytest.mark.parametrize("held", [None, "", "two words", "sk-\u00e9", "sk-\nx"])
def test_a_variable_without_a_key_is_one_line(monkeypatch, held):
    monkeypatch.delenv("A_KEY", raising=False)
    if held is not None:
        monkeypatch.setenv("A_KEY", held)
    with pytest.raises(ConfigError, match="key_env = 'A_KEY'") as error:
        key_of(checked({**DEFAULTS, "url": "http://h/v1", "model": "m", "key_env": "A_KEY"}))
    assert not held or held not in str(error.value)
