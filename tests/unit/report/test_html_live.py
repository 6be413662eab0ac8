"""The served page: for this host and origin alone, made anew when files change and never more often."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys

import pytest
from html_runs import make, step

from neuromas.cli import main
from neuromas.core.errors import RunError
from neuromas.report.html.live import LEAST, Kiosk, application, bound, signature

starlette = pytest.importorskip("starlette.testclient", reason="needs neuromas[serve]")
HOST = "http://127.0.0.1:8377"


class Clock:
    def __init__(self):
        self.time = 0.0

    def __call__(self):
        return self.time


@pytest.fixture
def run(tmp_path):
    return make(tmp_path / "run")


def kiosk_of(run, **more):
    made = []

    def build():
        made.append(len(list(run.lines("metrics.jsonl"))))
        return f"page {made[-1]}"

    return Kiosk([run.path], build, **more), made


def client(kiosk, base=HOST):
    return starlette.TestClient(application(kiosk, 8377), base_url=base)


def test_the_page_is_there_for_this_host_and_nothing_else_is(run):
    kiosk, _ = kiosk_of(run)
    asked = client(kiosk)
    answer = asked.get("/")
    assert (answer.status_code, answer.text) == (200, "page 3")
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["cache-control"] == "no-store"
    assert asked.head("/").text == ""
    assert asked.get("/", headers={"If-None-Match": answer.headers["etag"]}).status_code == 304
    for path in ("/config.json", "/../config.json", "/%2e%2e/config.json", "/index.html", "/favicon.ico"):
        assert asked.get(path).status_code == 404, path
    for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS"):
        assert asked.request(method, "/").status_code == 405, method


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "127.0.0.1:8377"}, 200),
        ({"Host": "localhost:8377"}, 200),
        ({"Host": "evil.example:8377"}, 403),
        ({"Host": "127.0.0.1"}, 403),
        ({"Host": "127.0.0.1:8377.evil.example"}, 403),
        ({"Host": ""}, 403),
        ({"Origin": "http://localhost:8377"}, 200),
        ({"Origin": "https://127.0.0.1:8377"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://evil.example"}, 403),
    ],
)
def test_other_hosts_and_origins_are_refused(run, headers, status):
    kiosk, made = kiosk_of(run)
    assert client(kiosk).get("/", headers=headers).status_code == status
    assert bool(made) == (status == 200), "nothing is read for those"


def test_files_are_read_again_when_they_have_changed_and_not_before_a_second_is_over(run):
    clock = Clock()
    kiosk, made = kiosk_of(run, now=clock)

    def look():
        return asyncio.run(kiosk.newest())

    first = look()
    clock.time += 10 * LEAST
    assert look() == first
    assert made == [3], "nothing changed"
    run.append("metrics.jsonl", [step(3)])
    clock.time += 0.9 * LEAST
    assert look() == first, "too early"
    clock.time += LEAST
    assert look() != first
    assert made == [3, 4]


def test_a_slow_page_is_made_less_often(run):
    clock = Clock()

    def build():
        clock.time += 5.0
        return str(clock.time)

    kiosk = Kiosk([run.path], build, now=clock)
    asyncio.run(kiosk.newest())
    run.append("metrics.jsonl", [step(3)])
    clock.time += 19.0
    assert asyncio.run(kiosk.newest())[0] == b"5.0"
    clock.time += 2.0
    assert asyncio.run(kiosk.newest())[0] == b"31.0"


def test_a_page_that_cannot_be_made_leaves_the_last_one(run):
    clock = Clock()
    made = ["first"]

    def build():
        if not made:
            raise RunError("gone")
        return made.pop()

    kiosk = Kiosk([run.path], build, now=clock)
    assert client(kiosk).get("/").text == "first"
    run.append("metrics.jsonl", [step(3)])
    clock.time += 2 * LEAST
    assert client(kiosk).get("/").text == "first"
    answer = client(Kiosk([run.path], build)).get("/")
    assert (answer.status_code, answer.text) == (503, "gone\n")


def test_what_the_page_writes_and_hides_is_no_change(run):
    before = signature([run.path])
    (run.path / "report.html").write_text("x")
    (run.path / ".lock").write_text("x")
    assert signature([run.path]) == before
    run.write_evaluation("new", {}, [])
    assert signature([run.path]) != before
    assert signature([run.path / "none"]) == ()


def test_runs_of_an_experiment_are_looked_at_too(tmp_path):
    run = make(tmp_path / "cells" / "task" / "arm" / "seed-0")
    before = signature([tmp_path])
    run.append("metrics.jsonl", [step(3)])
    assert signature([tmp_path]) != before


def test_a_port_that_is_taken_is_one_line(run, capsys):
    with bound(0) as place:
        port = place.getsockname()[1]
        assert place.getsockname()[0] == "127.0.0.1"
        assert main(["report", str(run.path), "--watch", "--port", str(port)]) == 2
    assert f"--port {port}: Address already in use; choose another" in capsys.readouterr().err


def test_without_the_extra_a_line_says_what_to_install(run, capsys, monkeypatch):
    monkeypatch.setattr("neuromas.cli.report.find_spec", lambda name: None)
    assert main(["report", str(run.path), "--watch"]) == 2
    assert "pip install 'neuromas[serve]'" in capsys.readouterr().err


def test_an_interrupt_ends_it_cleanly(run):
    words = [sys.executable, "-m", "neuromas.cli", "report", "--watch", "--port", "0", str(run.path)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout.readline().startswith("serving http://127.0.0.1:")
            process.send_signal(signal.SIGINT)
            said, wrong = process.communicate(timeout=60)
        finally:
            process.kill()  # else leaving waits for ever where whoever started the tests ignores interrupts
    assert (process.returncode, said, wrong) == (0, "stopped\n", "")
