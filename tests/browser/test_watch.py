"""``neuromas report --watch``: the page of a growing run, served to the reader on this machine alone."""

from __future__ import annotations

import http.client
import json
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.browser
CHOSEN = "#trace-list [aria-selected=true]"
PLACE = """
() => ({
    head: document.getElementById("trace-head").textContent,
    now: document.getElementById("step-now").textContent,
    search: document.getElementById("trace-search").value,
    focus: document.activeElement.id,
    scroll: Math.round(scrollY),
    folds: [...document.querySelectorAll("main details")].map(one => one.open),
})
"""


@pytest.fixture(scope="module")
def served(made, tmp_path_factory) -> Iterator[tuple[str, Path]]:
    """The address of a served copy of a run, and the copy; ended by Ctrl-C, to which it answers 0."""
    run = shutil.copytree(made / "seed-0", tmp_path_factory.mktemp("served") / "run")
    command = [sys.executable, "-m", "neuromas.cli", "report", "--watch", str(run), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as server:
        try:
            line = server.stdout.readline()
            found = re.search(r"http://127\.0\.0\.1:\d+/", line)
            assert found, line + server.stderr.read()
            yield found.group(), run
            server.send_signal(signal.SIGINT)
            rest, complaints = server.communicate(timeout=60)
        finally:
            server.kill()
    assert (server.returncode, rest, complaints) == (0, "stopped\n", "")


def asked(address: str, path: str = "/", method: str = "GET", **headers: str) -> tuple[int, bytes]:
    """What the server answers."""
    host = address.removeprefix("http://").rstrip("/")
    to = http.client.HTTPConnection(host, timeout=10)
    try:
        to.putrequest(method, path, skip_host="Host" in headers)
        for name, value in headers.items():
            to.putheader(name, value)
        to.endheaders()
        answer = to.getresponse()
        return answer.status, answer.read()
    finally:
        to.close()


def append(run: Path, steps: int) -> None:
    """Training goes on: lines as they stand in the log, some steps later."""
    log = run / "metrics.jsonl"
    last = json.loads(log.read_text("utf-8").splitlines()[-1])
    with log.open("a", encoding="utf-8") as out:
        for more in range(1, steps + 1):
            out.write(json.dumps(last | {"step": last["step"] + more, "reward": 0.25 * more}) + "\n")


def test_the_page_follows_its_run_and_keeps_the_readers_place(opened, served):
    address, run = served
    seen = opened(address)
    page = seen.page
    assert page.locator("#live").inner_text() == "live"
    page.locator("#trace-list [role=option]").nth(5).click()
    page.locator("#step-next").click()
    page.locator("#facts details > summary").first.click()
    page.locator("#trace-exchange summary").first.click()
    page.locator("#trace-search").fill("wrote")
    page.evaluate("scrollBy({top: 37, behavior: 'instant'})")
    before, drawn = page.evaluate(PLACE), page.locator("#curves svg").first.inner_html()
    assert before["focus"] == "trace-search"
    assert before["search"] == "wrote"
    append(run, 3)
    changed = "drawn => document.querySelector('#curves svg').innerHTML !== drawn"
    page.wait_for_function(changed, arg=drawn, timeout=300_000)  # it is made at a low priority
    after = page.evaluate(PLACE)
    assert abs(after.pop("scroll") - before.pop("scroll")) <= 40
    assert after == before
    assert page.locator(CHOSEN).count() == 1
    page.locator("#step-next").click()
    assert page.locator("#step-now").inner_text() == "layer 3 of 3"
    assert seen.forbidden() == []


@pytest.mark.parametrize(
    "path", ["/x", "/config.json", "/../config.json", "/%2e%2e/config.json", "//", "/report.html"]
)
def test_nothing_else_is_served(served, path):
    assert asked(served[0], path)[0] == 404


def test_other_hosts_and_origins_are_refused(served):
    address = served[0]
    own = address.rstrip("/")
    assert asked(address)[0] == 200
    assert asked(address, Origin=own)[0] == 200
    for host in ("evil.example", "evil.example:80", "127.0.0.1", "127.0.0.1.evil.example", "[::1]", ""):
        status, body = asked(address, Host=host)
        assert status in (400, 403), host
        assert b"<h1" not in body
    for origin in ("http://evil.example", "null", own.replace("http:", "https:"), own + ".evil.example"):
        assert asked(address, Origin=origin)[0] == 403, origin
    for method in ("POST", "PUT", "DELETE", "OPTIONS", "TRACE"):
        assert asked(address, method=method)[0] == 405, method
    assert asked(address, method="HEAD") == (200, b"")
