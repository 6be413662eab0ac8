"""A page that is opened with everything noted that it does."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
OPTIONS = [
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-quic",
]
_FORBIDDEN = """
window.forbidden = [];
addEventListener("securitypolicyviolation", e => window.forbidden.push(e.violatedDirective));
"""


@dataclass
class Opened:
    """A page and what it did: addresses it asked for, its console, its dialogs."""

    page: Any
    context: Any
    asked: list[str] = field(default_factory=list)
    console: list[str] = field(default_factory=list)
    dialogs: list[str] = field(default_factory=list)

    def forbidden(self) -> list[str]:
        """What its policy forbade so far."""
        return self.page.evaluate("window.forbidden || []")

    def was_quiet(self) -> None:
        """It asked for nothing, complained of nothing, opened nothing."""
        assert self.asked == []
        assert self.console == []
        assert self.dialogs == []

    def overflow(self) -> int:
        """By how many pixels the document is wider than the window."""
        return self.page.evaluate(
            "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        )


def open_in(browser: Any, target: Path | str, **options: Any) -> Opened:
    """Open a file, or an address of this machine, in a profile of its own; all else is refused and noted."""
    address = target.as_uri() if isinstance(target, Path) else target
    context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **options})
    context.set_default_timeout(60_000)
    seen = Opened(context.new_page(), context)

    def sift(route: Any) -> None:
        url = route.request.url
        own = url == address if isinstance(target, Path) else url.startswith(address)
        if own or url.startswith(("data:", "blob:")):
            route.continue_()
        else:
            seen.asked.append(url)
            route.abort()

    context.route("**/*", sift)
    if options.get("java_script_enabled", True):
        context.add_init_script(_FORBIDDEN)
    page = seen.page
    page.on("console", lambda m: seen.console.append(m.text) if m.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: seen.console.append(str(error)))
    page.on("dialog", lambda dialog: (seen.dialogs.append(dialog.message), dialog.dismiss()))
    page.goto(address, wait_until="load")
    return seen
