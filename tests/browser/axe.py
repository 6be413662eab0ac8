"""axe-core in a page: what it finds that is serious."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

_RUN = """
async () => {
    const found = await axe.run(document, {resultTypes: ["violations"], preload: false});
    const brief = v => `${v.impact} ${v.id}: ` + v.nodes.slice(0, 4).map(
        n => n.target.join(" ") + " | " + n.failureSummary.split("\\n")[1]).join("; ");
    return found.violations.map(v => [v.impact, brief(v)]);
}
"""


@cache
def source() -> str:
    """The engine's text."""
    import axe_playwright_python

    return (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text("utf-8")


def findings(page: Any, impacts: tuple[str, ...] = ("serious", "critical")) -> list[str]:
    """What axe-core says of the page as it stands, a line a rule."""
    if not page.evaluate("'axe' in window"):
        page.evaluate(source())
    return [text for impact, text in page.evaluate(_RUN) if impact in impacts]
