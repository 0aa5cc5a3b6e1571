"""A reasoning model in the real window: a tiny one with random weights, whose template opens its thoughts."""

import pytest
from playwright.sync_api import Page, expect

from app import words
from tests.journeys.driving import OUTPUT, SLOW, new_chat, open_window, send, wait_for_answer

pytestmark = pytest.mark.journey

QUESTION = "What is word1?"


@pytest.fixture(scope="module")
def address(tiny_address: str) -> str:
    """The tiny model thinks."""
    return tiny_address


def test_thoughts_are_folded_before_the_answer(page: Page, address: str) -> None:
    thoughts = page.locator("#chat-messages .thought-group")
    send(page, QUESTION)
    wait_for_answer(page)
    expect(thoughts).to_have_count(0)
    new_chat(page)
    page.locator("#chat-settings").get_by_role("button").first.click()
    page.get_by_label(words.THINK).check()
    send(page, QUESTION)
    expect(thoughts).to_have_count(1, timeout=SLOW)
    wait_for_answer(page)
    expect(thoughts).to_contain_text(words.THOUGHTS)
    expect(thoughts.locator(".children, .content")).to_have_count(0)
    thoughts.get_by_role("button").first.click()
    page.screenshot(path=OUTPUT / "thoughts.png")
    (OUTPUT / "thoughts.html").write_text(page.locator("#chat-messages").inner_html())
    marks = page.locator("#chat-messages .message-content").evaluate_all(
        "nodes => nodes.map(n => getComputedStyle(n, '::after').content).filter(c => c.includes('version'))"
    )
    assert len(marks) == 1
    open_window(page, address)
    expect(thoughts).to_have_count(1)


def test_teaching_from_an_answer_leaves_its_thoughts_behind(page: Page) -> None:
    page.locator("#chat-settings").get_by_role("button").first.click()
    page.get_by_label(words.THINK).check()
    for number, question in enumerate((QUESTION, "What is word2?"), start=1):  # thoughts shift what is shown
        send(page, question)
        expect(page.locator("#chat-messages .thought-group")).to_have_count(number, timeout=SLOW)
        expect(page.locator("#chat-box .submit-button")).to_be_visible(timeout=SLOW)
    page.locator("#chat-messages").get_by_role("button", name="Feedback").last.click()
    page.get_by_text("That's wrong").last.click()
    expect(page.locator("#teach-question textarea, #teach-question input").first).to_have_value("What is word2?")
