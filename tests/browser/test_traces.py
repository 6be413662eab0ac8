"""The trace viewer: a question is picked, its layers stepped through, by hand and by keys; no text runs."""

from __future__ import annotations

import pytest
from runs import HOSTILE

LIST = "#trace-list [role=option]"
NOW = "#step-now"
ACTIVE = """
() => [...document.querySelectorAll("*")].flatMap(e => [...e.attributes].filter(a =>
    a.name.startsWith("on") || (/^(href|src|action|xlink:href)$/.test(a.name) && !/^#/.test(a.value))
).map(a => e.tagName + " " + a.name))
"""


def shown(page) -> list[str]:
    """The messages on the screen, in their order."""
    return page.locator("#trace-exchange pre.message").all_inner_texts()


def test_a_question_is_picked_and_stepped_through_by_its_layers(opened, page_of):
    page = opened(page_of("grown")).page
    rows = page.locator(LIST)
    assert rows.count() == 12
    rows.nth(1).click()
    assert rows.nth(1).get_attribute("aria-selected") == "true"
    assert page.locator("#trace-list").get_attribute("aria-activedescendant") == rows.nth(1).get_attribute(
        "id"
    )
    page.locator("#step-next").focus()
    said = []
    for _ in range(8):
        said.append((page.locator(NOW).inner_text(), shown(page)))
        page.keyboard.press("Enter")
    assert [name for name, _ in dict(said).items()] == [
        "layer 1 of 3",
        "layer 2 of 3",
        "layer 3 of 3",
        "answer",
    ]
    messages = dict(said)
    assert [text for text in messages["layer 1 of 3"] if "after" in text] == [
        "node 0 wrote after 1",
        "node 1 wrote after 1",
    ]
    assert "node 0 wrote before 1" in messages["layer 1 of 3"]
    assert "node 2 wrote after 1" in messages["layer 2 of 3"]
    # the button at its end has kept the focus, so the keys go on from there
    page.keyboard.press("ArrowLeft")
    assert page.locator(NOW).inner_text() == "layer 3 of 3"
    for _ in range(4):
        page.locator("#step-back").click(force=True)
    assert page.locator(NOW).inner_text() == "question"
    page.locator("#step-all").click()
    assert len(shown(page)) == 4 + 2
    assert page.locator("#step-all").get_attribute("aria-pressed") == "true"


def test_the_drawing_shows_who_speaks_now(opened, page_of):
    page = opened(page_of("grown")).page

    def lit() -> list[str]:
        boxes = page.locator(".trace-drawing:not([hidden]) g.box.now")
        return sorted(boxes.evaluate_all("all => all.map(e => e.dataset.row)"))

    page.locator("#trace-list").focus()
    seen = [lit()]
    for _ in range(3):
        page.keyboard.press("ArrowRight")
        seen.append(lit())
    assert seen == [["0", "1"], ["2"], ["3"], ["-2"]]


def test_keys_go_through_questions_and_layers_and_leave_the_search_alone(opened, page_of):
    page = opened(page_of("grown")).page
    page.locator("#trace-list").focus()
    rows, chosen = page.locator(LIST), page.locator(f"{LIST}[aria-selected=true]")
    for key, text in (("ArrowDown", 1), ("ArrowDown", 2), ("ArrowUp", 1), ("End", 11), ("Home", 0)):
        page.keyboard.press(key)
        assert chosen.inner_text() == rows.nth(text).inner_text(), key
        assert chosen.count() == 1
    page.keyboard.press("ArrowRight")
    assert page.locator(NOW).inner_text() == "layer 2 of 3"
    page.locator("#trace-search").focus()
    page.keyboard.type("ab")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Backspace")
    assert page.locator("#trace-search").input_value() == "b"
    assert page.locator(NOW).inner_text() == "layer 2 of 3"


def test_questions_are_filtered_by_outcome_gold_and_text(opened, page_of):
    page = opened(page_of("grown")).page
    outcome = page.locator("#trace-outcome")
    counts = {}
    for value in outcome.locator("option").evaluate_all("all => all.map(e => e.value)"):
        outcome.select_option(value)
        counts[value] = page.locator(LIST).count()
        assert str(counts[value]) in page.locator("#trace-count").inner_text()
    assert counts.pop("") == sum(counts.values()) == 12
    assert counts["won"] == counts["lost"] == counts["failed"] == 3
    outcome.select_option("failed")
    assert "too long" in page.locator("#trace-head").inner_text()
    outcome.select_option("")
    page.locator("#trace-search").fill("WROTE AFTER 7")
    assert page.locator(LIST).count() == 1
    page.locator("#trace-search").fill("nobody wrote this")
    assert page.locator(LIST).count() == 0
    assert shown(page) == []
    assert "No question" in page.locator("#trace-head").inner_text()
    page.locator("#trace-search").fill("")
    assert page.locator(LIST).count() == 12


def test_prompts_are_folded_and_opened_by_keys(opened, page_of):
    page = opened(page_of("grown")).page
    fold = page.locator("#trace-exchange details").first
    assert fold.get_attribute("open") is None
    assert not fold.locator("pre").is_visible()
    fold.locator("summary").focus()
    page.keyboard.press("Enter")
    assert fold.locator("pre").is_visible()
    assert "Question: What is the largest" in fold.locator("pre").inner_text()
    page.keyboard.press("Space")
    assert not fold.locator("pre").is_visible()


def test_training_episodes_have_rewards_and_what_was_written_then(opened, page_of):
    page = opened(page_of("grown")).page
    page.locator("#trace-source").select_option("episodes")
    assert page.locator(LIST).count() > 0
    assert "reward" in page.locator("#trace-head").inner_text()
    assert "step" in page.locator(LIST).first.inner_text()
    page.locator("#trace-source").select_option("items")
    assert page.locator(LIST).count() == 12


def test_a_reload_keeps_the_place(opened, page_of):
    page = opened(page_of("grown")).page
    page.locator(LIST).nth(4).click()
    page.locator("#step-next").click()
    before = page.locator("#trace-head").inner_text()
    page.reload()
    assert page.locator("#trace-head").inner_text() == before
    assert page.locator(NOW).inner_text() == "layer 2 of 3"


@pytest.mark.parametrize("scripts", [True, False])
def test_what_models_and_data_wrote_is_text_and_nothing_else(opened, page_of, scripts):
    """``opened`` ends each test with no dialog, no request and no complaint."""
    page = opened(page_of("hostile"), java_script_enabled=scripts).page
    for tag in ("iframe", "img", "form", "base", "textarea", "object", "embed", "link", "animate"):
        assert page.locator(tag).count() == 0, tag
    assert page.locator("meta[http-equiv=refresh]").count() == 0
    assert page.url.startswith("file:")
    if not scripts:
        return
    assert page.evaluate(ACTIVE) == []
    assert page.evaluate("[...document.scripts].length") == 2  # its data and its own script
    page.locator("#step-all").click()
    page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true; })")
    texts: set[str] = set()
    for at in range(page.locator(LIST).count()):
        page.locator(LIST).nth(at).click()
        texts.update(page.locator("#trace-exchange pre").evaluate_all("all => all.map(e => e.textContent)"))
        texts.update(page.locator("#trace-head .asked").evaluate_all("all => all.map(e => e.textContent)"))
        assert (
            page.locator("#viewer iframe, #viewer img, #viewer form, #viewer input[name=theme]").count() == 0
        )
    for attack in HOSTILE:
        if attack.isprintable():
            assert attack in texts, attack
    whole = "".join(texts)
    assert "\x1b" not in whole
    assert "\u202e" not in whole
    assert "{{ 7 * 7 }}" in whole
