"""The report's page in a real browser: one Chromium a session, one fresh profile a test, no way out.

Every test that opens a page ends with what no page may do: ask the network for anything, write an error or
a warning to the console, run a script that its policy forbids, or open a dialog.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import runs
from filelock import FileLock
from watched_page import BROWSERS, OPTIONS, Opened, open_in


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All tests of this folder need a browser."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.needs(*BROWSERS))


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    """The browser, and the event loop that Playwright's driver runs in."""
    from playwright.sync_api import sync_playwright

    program = next(filter(None, map(shutil.which, BROWSERS)))
    driver = sync_playwright().start()
    loop = asyncio.get_running_loop()
    browser = driver.chromium.launch(executable_path=program, args=OPTIONS)
    asyncio._set_running_loop(None)
    yield browser, loop
    asyncio._set_running_loop(loop)
    browser.close()
    driver.stop()


@pytest.fixture
def browser(chromium: Any) -> Iterator[Any]:
    """The browser, for one test: in between, other tests of the same process may run loops of their own."""
    program, loop = chromium
    asyncio._set_running_loop(loop)
    yield program
    asyncio._set_running_loop(None)


@pytest.fixture
def opened(browser: Any, request: pytest.FixtureRequest) -> Iterator[Any]:
    """``opened(file or address, **options of a context)``: the page and all that it did."""
    pages: list[Opened] = []

    def make(target: Path | str, **options: Any) -> Opened:
        pages.append(open_in(browser, target, **options))
        return pages[-1]

    yield make
    for one in pages:
        one.context.close()
    for one in pages:
        one.was_quiet()


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the runs, made once however many processes test."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if base.name.startswith("popen-") else base) / "browser"
    with FileLock(f"{folder}.lock"):
        if not (folder / "done").exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            with redirect_stdout(StringIO()), redirect_stderr(StringIO()):
                runs.make(folder)
            (folder / "done").touch()
    return folder


@pytest.fixture
def page_of(made: Path) -> Callable[[str], Path]:
    """``page_of("grown")``: that page's file, made when the first test asks for it."""

    def make(name: str) -> Path:
        file = made / f"{name}.html"
        with FileLock(f"{file}.lock"), redirect_stdout(StringIO()):
            return file if file.exists() else runs.page(made, name)

    return make
