"""The meter of keys, and the gate before the service, without a network behind it."""

from __future__ import annotations

import asyncio
import json

import pytest

from neuromas.serving.gate import LOOPBACK, Access, Gate
from neuromas.serving.limits import Limits, Meter
from neuromas.serving.refusals import Refused


def test_a_key_spends_a_minute_and_waits_for_more():
    meter = Meter(per_minute=2, at_once=9)
    for _ in range(2):
        meter.enter("a", 100.0)
    with pytest.raises(Refused) as refused:
        meter.enter("a", 101.0)
    assert (refused.value.status, refused.value.headers["Retry-After"]) == (429, "29")
    meter.enter("b", 101.0)
    meter.enter("a", 130.0)
    with pytest.raises(Refused):
        meter.enter("a", 130.0)


def test_a_key_has_so_many_requests_under_way():
    meter = Meter(per_minute=0, at_once=2)
    meter.enter("a", 0.0)
    meter.enter("a", 0.0)
    with pytest.raises(Refused, match="2 requests of this key are under way"):
        meter.enter("a", 0.0)
    meter.enter("b", 0.0)
    meter.leave("a")
    meter.enter("a", 0.0)


def passed(headers=(), path="/v1/models", *, bodies=(b"",), access=None, limits=None, app=None):
    """Status, body and headers of one request through the gate, and the lines it logged."""
    sent, lines = [], []
    waiting = [
        {"type": "http.request", "body": part, "more_body": more}
        for part, more in zip(bodies, [*(True for _ in bodies[1:]), False], strict=False)
    ]

    async def receive():
        if not waiting:
            await asyncio.sleep(3600)
        return waiting.pop(0)

    async def send(message):
        sent.append(message)

    async def inner(scope, receive, send):
        read = await receive()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": read["body"]})

    scope = {"type": "http", "method": "POST", "path": path, "headers": [(b"host", b"localhost"), *headers]}
    if any(name == b"host" for name, _ in headers):
        scope["headers"] = list(headers)
    gate = Gate(app or inner, access or Access(), limits or Limits(), lines.append)
    asyncio.run(gate(scope, receive, send))
    status = sent[0]["status"] if sent else 0
    body = b"".join(one.get("body", b"") for one in sent)
    return status, body, dict(sent[0]["headers"]) if sent else {}, lines


@pytest.mark.parametrize(
    ("host", "status"),
    [
        *((name, 200) for name in (b"localhost", b"LOCALHOST:8000", b"127.0.0.1:1", b"[::1]:8000", b"[::1]")),
        *((name, 421) for name in (b"evil.example", b"127.0.0.1.evil.example:8000", b"", b"[x")),
        (b"localhost.", 421),
        (b"localhost@evil.example", 421),
    ],
)
def test_other_host_names_are_not_answered(host, status):
    assert passed([(b"host", host)])[0] == status


def test_two_hosts_or_none_are_not_answered():
    assert passed([(b"host", b"localhost"), (b"host", b"localhost")])[0] == 421


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        (b"http://localhost:3000", 200),
        (b"https://127.0.0.1", 200),
        (b"https://evil.example", 403),
        (b"null", 403),
        (b"http://[", 403),
        (b"file://localhost", 403),
    ],
)
def test_pages_of_other_origins_are_refused(origin, status):
    assert passed([(b"host", b"localhost"), (b"origin", origin)])[0] == status


KEYS = Access(LOOPBACK, ("first-key-of-sixteen", "second-key-of-sixteen"))


@pytest.mark.parametrize(
    ("header", "holder"),
    [
        ("Bearer first-key-of-sixteen", "first-key-of-sixteen"),
        ("bearer  second-key-of-sixteen ", "second-key-of-sixteen"),
        ("Bearer first-key-of-sixtee", None),
        ("Bearer first-key-of-sixteenx", None),
        ("Basic first-key-of-sixteen", None),
        ("Bearer", None),
        ("Bearer ", None),
        ("", None),
        ("Bearer fïrst", None),
    ],
)
def test_a_key_is_one_of_ours_or_none(header, holder):
    assert KEYS.holder(header) == holder
    assert Access().holder(header) == ""


def test_keys_are_compared_in_constant_time_and_all_of_them(monkeypatch):
    import hmac

    seen, plain = [], hmac.compare_digest
    monkeypatch.setattr(hmac, "compare_digest", lambda a, b: seen.append((len(a), len(b))) or plain(a, b))
    KEYS.holder("Bearer first-key-of-sixteen")
    assert seen == [(32, 32), (32, 32)]


def test_without_a_key_only_health_is_told():
    status, body, headers, _ = passed(access=KEYS)
    assert (status, json.loads(body)["error"]["code"]) == (401, "invalid_api_key")
    assert headers[b"www-authenticate"] == b"Bearer"
    assert passed(path="/health", access=KEYS)[0] == 200
    assert passed([(b"authorization", b"Bearer second-key-of-sixteen")], access=KEYS)[0] == 200
    twice = [(b"authorization", b"Bearer second-key-of-sixteen")] * 2
    assert passed(twice, access=KEYS)[0] == 401


def test_a_body_is_whole_and_no_larger_than_allowed():
    small = Limits(body=10)
    assert passed(bodies=(b"12345", b"67890"), limits=small)[:2] == (200, b"1234567890")
    for bodies in ((b"12345", b"678901"), (b"1234567890",) * 40):
        status, body, headers, _ = passed(bodies=bodies, limits=small)
        assert (status, json.loads(body)["error"]["code"]) == (413, "body_too_large")
        assert headers[b"connection"] == b"close"
    for stated in (b"161", b"9" * 400, b"-1", b"x"):  # before any of it is read
        assert passed([(b"content-length", stated)], bodies=(), limits=small)[0] == 413


def test_a_client_that_sends_or_reads_too_slowly_is_let_go():
    soon = Limits(patience=0.02)
    status, body, _, _ = passed(bodies=(), limits=soon)
    assert (status, json.loads(body)["error"]["code"]) == (408, "too_slow")

    async def stuck(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        async with asyncio.timeout(0.01):
            await asyncio.sleep(60)

    assert "reads too slowly" in passed(limits=soon, app=stuck)[3][0]


def test_what_breaks_is_one_line_and_one_error():
    async def broken(scope, receive, send):
        raise RuntimeError("a\x1b[2J\nb")

    status, body, _, lines = passed(app=broken)
    assert (status, json.loads(body)["error"]["code"]) == (500, "internal_error")
    assert "a\\x1b" not in body.decode()
    (line,) = lines
    assert "RuntimeError: a\\x1b[2J b" in line
    assert "\x1b" not in line


def test_a_path_cannot_write_into_the_log():
    (line,) = passed(path="/\x1b[31m\n200 ok\u202e")[3]
    assert line.startswith("POST /\\x1b[31m\\n200 ok\\u202e 200")
