"""The page as a reader meets it: from disk, any theme and width, on paper, by keyboard, without scripts."""

from __future__ import annotations

import itertools
import re

import pytest
from axe import findings
from runs import LARGE_ITEMS

SECTIONS = ["headline", "curves", "network", "traces", "labels", "cost", "health", "lineage", "facts"]
GROUND = "getComputedStyle(document.body).backgroundColor"
CUT = """
() => [...document.querySelectorAll("main *")].filter(e => {
    const box = e.getBoundingClientRect();
    return box.width > 0 && box.right > document.documentElement.clientWidth + 1
        && !e.closest("#trace-data, .visually-hidden");
}).map(e => e.tagName + "." + e.getAttribute("class")).slice(0, 5)
"""
FOCUSED = """
() => {
    const e = document.activeElement, style = getComputedStyle(e), box = e.getBoundingClientRect();
    const ring = style.outlineStyle !== "none" && parseFloat(style.outlineWidth) > 0;
    const seen = box.width > 1 && box.height > 1 && box.bottom > 0 && box.top < innerHeight;
    return {at: e.id || e.className || e.tagName, ring: ring || style.boxShadow !== "none", seen};
}
"""


def light(colour: str) -> float:
    """A colour's mean channel, 0 to 255."""
    return sum(float(part) for part in re.findall(r"[\d.]+", colour)[:3]) / 3


def test_it_opens_from_disk_with_every_section_and_asks_for_nothing(opened, page_of):
    page = opened(page_of("grown")).page
    there = page.eval_on_selector_all("main > section", "all => all.map(e => e.id)")
    assert [key for key in SECTIONS if key not in there] == []
    assert page.eval_on_selector_all("#nav a", "all => all.map(e => e.hash.slice(1))") == there
    assert page.title().strip()
    assert page.locator("html").get_attribute("lang") == "en"
    assert page.locator("h1").count() == 1
    levels = page.eval_on_selector_all("h1,h2,h3,h4,h5,h6", "all => all.map(e => +e.tagName[1])")
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels)), levels
    assert page.eval_on_selector_all("[id]", "all => all.length - new Set(all.map(e => e.id)).size") == 0
    for key in SECTIONS:
        page.locator(f'#nav a[href="#{key}"]').click()
        assert page.locator(f"#{key} h2").is_visible()
        page.locator(f'#nav a[href="#{key}"][aria-current=true]').wait_for()


def test_what_its_policy_forbids_stays_undone(opened, page_of):
    seen = opened(page_of("grown"))
    assert seen.forbidden() == []
    policy = seen.page.locator('meta[http-equiv="Content-Security-Policy"]').get_attribute("content")
    assert "default-src 'none'" in policy
    assert "unsafe-inline" not in policy.split("script-src")[1].split(";")[0]
    assert "unsafe-eval" not in policy
    seen.page.evaluate(
        "() => {const s = document.createElement('script'); s.textContent = 'window.broken = 1';"
        " document.body.append(s); const i = new Image(); i.src = 'https://example.com/x.png';}"
    )
    assert seen.page.evaluate("window.broken") is None
    assert len(seen.forbidden()) == 2
    assert seen.asked == []
    seen.console.clear()  # Chromium's words on what was forbidden just now


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_serious_is_found_by_axe_with_everything_open(opened, page_of, scheme):
    page = opened(page_of("grown"), color_scheme=scheme).page
    assert (light(page.evaluate(GROUND)) < 128) == (scheme == "dark")
    page.locator("#step-all").click()
    page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true; })")
    assert findings(page) == []


def test_the_theme_is_switched_and_stays(opened, page_of):
    page = opened(page_of("grown"), color_scheme="dark").page
    button, dark = page.locator("#theme"), page.evaluate(GROUND)
    button.click()
    assert button.inner_text() == "Theme: light"
    bright = page.evaluate(GROUND)
    assert light(bright) > 128 > light(dark)
    page.wait_for_timeout(300)  # Chromium passes on what a page stores a moment later
    page.reload()
    assert page.evaluate(GROUND) == bright
    button.click()
    assert page.evaluate(GROUND) == dark
    button.click()
    page.emulate_media(color_scheme="light")
    assert page.evaluate(GROUND) == bright


@pytest.mark.parametrize("name", ["grown", pytest.param("several", marks=pytest.mark.browser)])
def test_a_narrow_window_scrolls_down_only(opened, page_of, name):
    seen = opened(page_of(name), viewport={"width": 380, "height": 740}, has_touch=True)
    page = seen.page
    assert seen.overflow() == 0
    page.locator("#step-all").click()
    page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true; })")
    assert seen.overflow() == 0
    small = page.evaluate(
        "[...document.querySelectorAll('button, select, input, summary')].filter(e => e.checkVisibility()"
        " && e.getBoundingClientRect().height < 24).map(e => e.id || e.textContent)"
    )
    assert small == []  # WCAG 2.5.8: a finger's target
    page.set_viewport_size({"width": 640, "height": 450})  # a window of 1280 x 900 enlarged to 200 %
    assert seen.overflow() == 0


def test_paper_has_every_section_and_cuts_nothing(opened, page_of):
    page = opened(page_of("grown"), color_scheme="dark").page
    printed = page.pdf(format="A4", tagged=True, outline=True)
    headings = page.eval_on_selector_all("main h2", "all => all.map(e => e.textContent)")
    said = [title.decode("latin-1") for title in re.findall(rb"/Title ?\(([^)]*)\)", printed)]
    assert [heading for heading in headings if heading not in said] == []
    page.emulate_media(media="print")
    page.set_viewport_size({"width": 718, "height": 1000})  # A4 without margins of 1 cm, at 96 dpi
    assert light(page.evaluate(GROUND)) > 200 or page.evaluate(GROUND) == "rgba(0, 0, 0, 0)"
    assert page.evaluate(CUT) == []
    assert not page.locator("#nav").is_visible()
    assert not page.locator("#theme").is_visible()
    assert (
        page.locator("pre").evaluate_all("all => all.filter(e => e.scrollWidth > e.clientWidth + 1).length")
        == 0
    )


def test_the_keyboard_reaches_everything_and_shows_where_it_is(opened, page_of):
    page = opened(page_of("grown"), reduced_motion="reduce").page  # or the focus is seen a while later
    page.keyboard.press("Tab")
    first = page.evaluate(FOCUSED)
    assert first["at"] == "skip"
    assert first["seen"]
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert page.evaluate("document.getElementById('main').contains(document.activeElement)")
    page.evaluate("document.activeElement.blur(); scrollTo(0, 0)")
    page.locator("header").click(position={"x": 5, "y": 5})
    visited: list[str] = []
    while len(visited) < 150:
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement === document.body"):
            break
        here = page.evaluate(FOCUSED)
        assert here["ring"], here
        assert here["seen"], here
        visited.append(here["at"])
    assert len(visited) < 150
    wanted = ["theme", "trace-search", "trace-list", "step-back", "step-next", "step-all", "trace-exchange"]
    assert [name for name in wanted if name not in visited] == []
    assert page.locator("[tabindex]").evaluate_all("all => all.filter(e => e.tabIndex > 0).length") == 0


def test_without_scripts_all_but_the_viewer_is_there(opened, page_of):
    page = opened(page_of("grown"), java_script_enabled=False).page
    for key in SECTIONS:
        assert page.locator(f"#{key} h2").is_visible()
    assert page.locator("#curves svg").first.is_visible()
    assert page.locator("#headline table").first.is_visible()
    assert page.locator("#network svg").first.is_visible()
    assert page.locator("main > noscript p").is_visible()
    assert not page.locator("#viewer").is_visible()
    assert not page.locator("#theme").is_visible()


def test_less_motion_and_forced_colours_are_respected(opened, page_of):
    page = opened(page_of("grown"), reduced_motion="reduce", forced_colors="active").page
    moving = page.evaluate(
        "[...document.querySelectorAll('*')].filter(e => { const s = getComputedStyle(e);"
        " return parseFloat(s.transitionDuration) > 0.01 || (s.animationName !== 'none' &&"
        " parseFloat(s.animationDuration) > 0.01) || s.scrollBehavior === 'smooth'; }).map(e => e.tagName)"
    )
    assert moving == []
    page.locator("#step-next").click()
    told_apart = page.evaluate(
        "() => { const look = e => { const s = getComputedStyle(e.querySelector('rect'));"
        " return s.stroke + s.strokeWidth + s.fill; };"
        " const all = [...document.querySelectorAll('.trace-drawing:not([hidden]) g.box')];"
        " const now = all.find(e => e.matches('.now')), other = all.find(e => !e.matches('.now'));"
        " return look(now) !== look(other); }"
    )
    assert told_apart
    chosen = page.locator("#trace-list [aria-selected=true]")
    other = page.locator("#trace-list [aria-selected=false]").first
    style = "e => { const s = getComputedStyle(e); return s.backgroundColor + s.borderLeft + s.outline; }"
    assert chosen.evaluate(style) != other.evaluate(style)


@pytest.mark.browser
def test_a_page_of_hundreds_of_long_traces_stays_small_and_quick(opened, page_of):
    file = page_of("large")
    assert file.stat().st_size < 5_000_000
    page = opened(file).page
    took = page.evaluate("performance.getEntriesByType('navigation')[0].loadEventEnd")
    assert took < 2000 * runs_slowly(page)
    assert str(LARGE_ITEMS) in page.locator("#trace-count").inner_text()


def runs_slowly(page) -> float:
    """How many times slower than usual this machine runs just now, at least 1."""
    script = """() => {
        const begun = performance.now();
        let sum = 0;
        for (let at = 0; at < 2e7; at++) sum += at % 7;
        return performance.now() - begun;
    }"""
    return max(1.0, page.evaluate(script) / 60)


def test_half_a_run_shows_what_there_is_and_says_what_is_missing(opened, page_of):
    page = opened(page_of("half")).page
    assert page.locator("#curves svg").first.is_visible()
    assert page.locator(".note.missing").count() > 0


@pytest.mark.browser
@pytest.mark.parametrize("name", ["experiment", "several"])
def test_pages_of_more_than_one_run_compare(opened, page_of, name):
    page = opened(page_of(name)).page
    assert page.locator(f"#{'comparison' if name == 'several' else 'experiment'} table").first.is_visible()
    assert findings(page) == []
