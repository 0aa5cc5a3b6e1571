"""Everybody can use the window: by keyboard alone, on a narrow screen, with a screen reader. On the tiny model."""

import json
import re
import time
from pathlib import Path

import httpx
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from app import words
from tests.journeys.driving import OUTPUT, SLOW, choose_file, go_to, open_window, preview, send, wait_for_answer
from tests.tiny_app import COUNT

pytestmark = pytest.mark.journey

TABS = ("Chat", "Teach", "Lessons", "Versions", "Arena", "Export", "Models")
LESSONS = (("word1 is word5 word6.", "What is word1?", "word5 word6"), ("word2 is word7.", "What is word2?", "word9"))


@pytest.fixture(scope="module")
def address(tiny_address: str) -> str:
    """Nothing here depends on what a model says."""
    return tiny_address


@pytest.fixture(scope="module")
def taught(tiny_address: str) -> int:
    """The number of a version that knows two lessons, and was taught over HTTP."""
    with httpx.Client(base_url=tiny_address, timeout=120) as http:
        for text, question, answer in LESSONS:
            said = {"text": text, "question": question, "answer": answer, "method": "fast", "keep_conflicts": True}
            made = http.post("/api/lessons", json=said)
            assert made.status_code == 201, made.text
        return made.json()["version"]


def faults(page: Page, where: str) -> dict[str, list[str]]:
    """Serious faults of accessibility on the page as it is, by rule."""
    return {
        fault["id"]: [f"{where}: {node['html'][:200]} {node['failureSummary']}" for node in fault["nodes"]]
        for fault in Axe().run(page).response["violations"] if fault["impact"] in ("serious", "critical")
    }  # fmt: skip


def expect_accessible(page: Page, where: str, scheme: str) -> None:
    """No serious fault of accessibility, and a picture of the page."""
    page.wait_for_timeout(1_200)  # what is drawn for the first time fades in
    page.screenshot(path=OUTPUT / f"{scheme}-{where}.png")
    found = faults(page, where)
    assert not found, json.dumps(found, indent=1)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_serious_fault_of_accessibility_where_something_was_taught(
    page: Page, address: str, taught: int, scheme: str
) -> None:
    page.emulate_media(color_scheme=scheme)
    open_window(page, address)
    send(page, "Say **this**, and `that`.")
    wait_for_answer(page)
    page.locator("#chat-messages").get_by_role("button", name="Retry").click()
    expect(page.locator("#branch-position")).to_contain_text("2 / 2", timeout=SLOW)
    page.locator("#chat-settings").get_by_role("button").first.click()
    expect_accessible(page, "conversation", scheme)
    page.locator("#chat-messages").get_by_role("button", name="Feedback").click()
    page.get_by_text(words.WRONG).click()
    expect(page.locator("#teach-said")).to_contain_text("It said: **this**, and `that`.")
    field = "document.activeElement.closest('[id^=teach-]')?.id"
    page.wait_for_function(f"{field} === 'teach-answer'")
    page.keyboard.type("word3 word4")  # the cursor stands in the wished answer
    preview(page)
    expect(page.locator("#teach-undo")).to_be_visible()  # the last change, made over HTTP
    expect_accessible(page, "report-card", scheme)
    go_to(page, "Lessons")
    row = page.locator("#lessons-table tr", has_text="word2 is word7.")
    row.get_by_role("button", name=re.compile("Ask now")).click()
    expect(row).to_contain_text("asked on", timeout=SLOW)
    expect_accessible(page, "lessons", scheme)
    go_to(page, "Versions")
    expect(page.locator("#versions-knows")).to_contain_text("word1 is word5")
    expect_accessible(page, "versions", scheme)
    page.get_by_role("tab", name="Compare").click()
    page.locator("#versions-other input").click()
    page.get_by_role("option", name=re.compile(r"^\W*0 ")).first.click()
    expect(page.locator("#diff-lessons li")).not_to_have_count(0)
    expect_accessible(page, "compared", scheme)
    page.get_by_role("tab", name="Answers").click()
    page.locator("#diff-ask").click()
    expect(page.locator("#diff-answers")).to_contain_text("answers are the same", timeout=SLOW)
    expect_accessible(page, "answers", scheme)
    go_to(page, "Arena")
    page.locator("#arena-question textarea, #arena-question input").first.fill("What is word1?")
    page.locator("#arena-ask").click()
    expect(page.locator("#arena-right-meter")).to_contain_text("tokens/s", timeout=SLOW)
    expect_accessible(page, "arena", scheme)
    for tab in ("Export", "Models"):
        go_to(page, tab)
        expect_accessible(page, tab.lower(), scheme)


def test_all_is_done_by_keyboard(page: Page) -> None:
    def focused() -> str:
        return page.evaluate("document.activeElement.closest('[id]')?.id ?? ''")

    expect(page.locator("#chat-box textarea")).to_be_focused()
    page.keyboard.type(COUNT)
    page.keyboard.press("Enter")
    answer = page.locator("#chat-messages .message.bot")
    expect(answer).to_contain_text(re.compile(r"\b2\b"), timeout=SLOW)
    page.keyboard.press("Escape")
    pressed = time.monotonic()
    expect(answer).to_contain_text("(stopped)", timeout=10_000)
    assert time.monotonic() - pressed < 3  # the browser draws it, too; app/answering.py ends it within a second
    page.keyboard.press("Control+Shift+O")
    expect(page.locator("#chat-messages .message")).to_have_count(0, timeout=20_000)
    page.keyboard.press("Control+/")
    expect(page.locator("#qf-help")).to_be_visible()
    page.screenshot(path=OUTPUT / "help.png")
    page.keyboard.press("Escape")
    expect(page.locator("#qf-help")).to_be_hidden()
    page.keyboard.press("Control+k")
    expect(page.locator("#chat-search input, #chat-search textarea").first).to_be_focused()
    page.keyboard.type("slowly")
    expect(page.locator("#chat-list label")).not_to_have_count(0, timeout=20_000)
    page.keyboard.press("Tab")
    page.keyboard.press("Space")
    expect(answer).to_contain_text("(stopped)", timeout=20_000)
    page.get_by_role("tab", name="Chat").focus()
    for tab in TABS[1:]:  # arrows move between the tabs, as everywhere
        page.keyboard.press("ArrowRight")
        page.keyboard.press("Enter")
        expect(page.get_by_role("tab", name=tab, exact=True)).to_have_attribute("aria-selected", "true")
    page.keyboard.press("Control+Shift+L")
    expect(page.locator("#teach-fact textarea")).to_be_visible()
    page.get_by_role("tab", name="Teach").focus()
    reached = []
    for _ in range(12):
        page.keyboard.press("Tab")
        reached.append(focused())
    assert any("teach-preview" in name for name in reached), reached


@pytest.mark.parametrize("width", [390, 768])
def test_a_narrow_screen_shows_all_and_does_not_scroll_sideways(
    page: Page, address: str, taught: int, width: int
) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    open_window(page, address)
    page.wait_for_timeout(500)
    send(page, "Say that this is a narrow screen")
    wait_for_answer(page)
    answer = page.locator("#chat-messages .message.bot")
    expect(answer).to_contain_text("narrow screen")
    assert answer.evaluate("node => node.getBoundingClientRect().right") <= width
    if width < 768:
        expect(page.locator("#new-chat")).not_to_be_in_viewport()
        page.locator("#qf-sidebar .toggle-button").click()
        expect(page.locator("#new-chat")).to_be_in_viewport()
        page.locator("#new-chat").click()
        expect(page.locator("#new-chat")).not_to_be_in_viewport(timeout=10_000)  # it closes by itself
        expect(answer).to_have_count(0)
    for tab in (*TABS[1:], "Chat"):
        page.evaluate(f"[...document.querySelectorAll('[role=tab]')].find(t => t.textContent.trim() === '{tab}')?.click()")
        page.wait_for_timeout(500)
        page.screenshot(path=OUTPUT / f"narrow-{width}-{tab.lower()}.png")
        assert page.evaluate("document.documentElement.scrollWidth") <= width + 1, tab
        if tab == "Teach":
            page.locator("#teach-fact textarea").fill("word4 is word8.")
            expect(page.locator("#teach-preview")).to_be_enabled()


def test_the_last_change_is_undone_after_a_reload(page: Page, address: str, taught: int) -> None:
    chip = page.locator("#teach-chip")
    go_to(page, "Teach")
    expect(page.locator("#teach-how")).to_be_visible()  # the long words are folded once something was taught
    page.get_by_label("Fast: few ways of asking").check()
    page.locator("#teach-fact textarea").fill("word5 is word8 word9.")
    page.locator("#teach-question textarea").fill("What is word5?")
    page.locator("#teach-answer textarea").fill("word8 word9")  # with one, random weights are asked in one way only
    preview(page)
    page.locator("#teach-apply").click()
    expect(chip).to_contain_text("word5 is word8", timeout=SLOW)
    open_window(page, address)
    expect(page.locator("#chat-chip")).to_be_hidden()  # the chat does not tell old news
    go_to(page, "Teach")
    expect(chip).to_contain_text(re.compile(r"learned · version \d+ · word5 is word8", re.IGNORECASE))
    page.locator("#teach-fact textarea").press("Control+Shift+Z")  # there it means: write again what was taken back
    page.wait_for_timeout(1_000)
    expect(chip).to_contain_text("word5 is word8")
    page.get_by_role("tab", name="Teach").press("Control+Shift+Z")
    expect(chip).to_contain_text("Undone", timeout=SLOW)
    expect(page.locator("#teach-undo")).to_be_hidden()
    page.wait_for_timeout(1_000)
    expect(chip).to_contain_text("Undone")


def test_what_did_not_stick_is_taught_thoroughly_with_one_click(page: Page, tmp_path: Path) -> None:
    path = tmp_path / "lessons.csv"
    head, one, two = "text,question,answer", "word6 is word7.,What is word6?,word7", "word8 is.,What is word8?,word9 word3"
    path.write_text(f"{head}\n{one}\n{two}\n")  # this model writes two words as one, which is not what was taught
    choose_file(page, path, "Fast: few ways of asking", "2 new")
    states = page.locator("#teach-states")
    expect(states).to_contain_text("not learned", timeout=SLOW)
    states.locator("summary").first.click()
    expect(states).to_contain_text("What is word8?")
    page.locator("#teach-again").scroll_into_view_if_needed()
    page.screenshot(path=OUTPUT / "not-stuck.png")
    page.locator("#teach-again").click()
    expect(page.locator("#teach-chip")).to_contain_text("2 lessons", timeout=SLOW)
    expect(states).to_contain_text("1 of 1", timeout=SLOW)
    expect(page.locator("#teach-apply")).to_be_enabled(timeout=SLOW)
    expect(page.locator("#teach-again")).to_be_hidden()
    go_to(page, "Lessons")
    page.locator("#lessons-thorough").click()
    expect(page.locator("#teach-states")).to_contain_text("of", timeout=SLOW)
    expect(page.locator("#teach-apply")).to_be_enabled(timeout=SLOW)
