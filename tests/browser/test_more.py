"""What takes longer than the default suite may: every page in every width and theme, by axe and people."""

from __future__ import annotations

from pathlib import Path

import pytest
from axe import findings
from runs import PAGES

pytestmark = pytest.mark.browser
PICTURES = Path(__file__).parents[2] / "build" / "page"
CUT = """
[...document.querySelectorAll("main *")].filter(e => e.getBoundingClientRect().right > innerWidth + 1
    && !e.closest("svg svg, svg g"))
    .map(e => e.outerHTML.slice(0, 80)).slice(0, 5)
"""
ALL = ("minor", "moderate", "serious", "critical")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 768, 380])
@pytest.mark.parametrize("name", PAGES)
def test_every_page_in_every_width_and_theme(opened, page_of, name, width, scheme):
    """``build/page`` has a picture of each for people; axe-core finds nothing at all."""
    view = {"viewport": {"width": width, "height": 900}, "color_scheme": scheme}
    seen = opened(page_of(name), reduced_motion="reduce", **view)
    page = seen.page
    assert seen.overflow() == 0
    PICTURES.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=PICTURES / f"{name}-{width}-{scheme}.png", full_page=True)
    assert findings(page, ALL) == []
    page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true; })")
    if page.locator("#step-all").is_visible():
        page.locator("#trace-source").select_option(index=1)
        page.locator("#step-all").click()
    assert seen.overflow() == 0
    if name != "large":
        page.screenshot(path=PICTURES / f"{name}-{width}-{scheme}-open.png", full_page=True)
        assert findings(page, ALL) == []
    assert seen.forbidden() == []


@pytest.mark.parametrize("name", PAGES)
def test_every_page_on_paper(opened, page_of, name):
    page = opened(page_of(name)).page
    PICTURES.mkdir(parents=True, exist_ok=True)
    page.pdf(path=PICTURES / f"{name}.pdf", format="A4", tagged=True, outline=True)
    page.emulate_media(media="print")
    page.set_viewport_size({"width": 718, "height": 1000})
    page.screenshot(path=PICTURES / f"{name}-print.png", full_page=True)
    assert page.evaluate(CUT) == []


@pytest.mark.parametrize("name", PAGES)
def test_forced_colours_and_large_letters_keep_the_page_whole(opened, page_of, name):
    seen = opened(page_of(name), forced_colors="active", viewport={"width": 640, "height": 450})
    PICTURES.mkdir(parents=True, exist_ok=True)
    seen.page.screenshot(path=PICTURES / f"{name}-forced.png", full_page=True)
    assert findings(seen.page) == []
    seen.page.evaluate("document.documentElement.style.fontSize = '200%'")
    assert seen.overflow() == 0
