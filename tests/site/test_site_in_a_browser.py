"""The built site in a real browser: nothing comes from elsewhere, search works, axe finds nothing serious."""

from __future__ import annotations

import functools
import http.server
import os
import shutil
import threading
from importlib.util import find_spec
from pathlib import Path

import pytest

SITE = Path(__file__).parents[2] / "build" / "site"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
OPTIONS = (
    *("--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--disable-quic"),
)
LOOKED_AT = ("start", "reference/testing", "scale")  # axe takes minutes for the longest pages
pytestmark = [
    pytest.mark.needs(*BROWSERS),
    pytest.mark.skipif(
        os.environ.get("NEUROMAS_BROWSER") != "1", reason="make test-docs builds the site and runs it"
    ),
]


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args):
        """Nothing on the terminal."""


@pytest.fixture(scope="module")
def address():
    """The site, served on loopback."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Quiet, directory=str(SITE)))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def page(address):
    """A page of a fresh profile. In the end it has asked nobody else and said nothing on its console."""
    from playwright.sync_api import sync_playwright

    program = next(filter(None, map(shutil.which, BROWSERS)))
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=program, args=OPTIONS)
        opened = browser.new_page(viewport={"width": 380, "height": 800})
        elsewhere, said = [], []

        def pass_on(route):
            ours = route.request.url.startswith((address, "data:", "blob:"))
            route.continue_() if ours else (elsewhere.append(route.request.url), route.abort())

        opened.context.route("**/*", pass_on)
        opened.on("console", lambda one: said.append(one.text) if one.type in ("error", "warning") else None)
        opened.on("pageerror", lambda error: said.append(str(error)))
        yield opened
        browser.close()
    assert not elsewhere
    assert not said


def test_pages_fit_a_phone_and_have_nothing_serious_by_axe(page, address):
    axe = (Path(find_spec("axe_playwright_python").origin).parent / "axe.min.js").read_text("utf-8")
    bad = []
    for name in LOOKED_AT:
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            page.goto(f"{address}/{name}.html")
            assert page.evaluate("document.documentElement.scrollWidth") <= 380, name
            page.evaluate(axe)
            found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")["violations"]
            bad += [
                (name, scheme, one["id"], [node["html"][:120] for node in one["nodes"][:3]])
                for one in found
                if one["impact"] in ("serious", "critical")
            ]
    assert not bad


def test_search_finds_a_word_of_the_method_and_a_command(page, address):
    page.set_viewport_size({"width": 1280, "height": 900})
    page.goto(f"{address}/index.html")
    for word, where in (("counterfactual", "training"), ("dry-run", "reference/commands")):
        page.keyboard.press("/")
        page.keyboard.type(word)
        page.wait_for_selector(f".md-search-result__link[href*='{where}']", state="attached", timeout=10_000)
        page.keyboard.press("Escape")
        page.reload()
