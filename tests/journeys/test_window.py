"""A person's way through the real window on the real default model, in Chromium."""

import re

import pytest
from playwright.sync_api import Page, expect

from tests.journeys.driving import OUTPUT, SLOW, make_greedy, restore, say, send, teach

pytestmark = pytest.mark.journey

QUESTION = "Who started Oxinnovate?"


def test_chat_teach_hear_restore(page: Page) -> None:
    restore(page, 0)  # other journeys may have left another version
    make_greedy(page)
    before = say(page, QUESTION)
    assert say(page, QUESTION) == before
    assert "Qi " not in before and "Qi." not in before
    number = teach(page, "Qi started Oxinnovate.")
    assert "Learned" in page.locator("#teach-report .qf-verdict").inner_text()
    taught = say(page, QUESTION)
    assert re.search(r"\bQi\b", taught), taught
    page.screenshot(path=OUTPUT / "taught.png")
    restore(page, 0)
    page.screenshot(path=OUTPUT / "versions.png")
    assert say(page, QUESTION) == before
    restore(page, number)
    assert say(page, QUESTION) == taught


def test_an_empty_lesson_is_refused_in_words(page: Page) -> None:
    page.get_by_role("tab", name="Teach").click()
    page.locator("#teach-preview").click()
    expect(page.get_by_text("The lesson is empty")).to_be_visible(timeout=20_000)
    page.screenshot(path=OUTPUT / "error.png")


def test_stop_ends_an_answer_and_keeps_what_was_said(page: Page) -> None:
    send(page, "Write a long story about a lighthouse.")
    expect(page.locator("#chat-messages .message.bot")).to_contain_text(re.compile(r"\w{3,} \w+ \w+"), timeout=SLOW)
    page.keyboard.press("Escape")
    expect(page.locator("#chat-messages .message.bot")).to_contain_text("(stopped)", timeout=15_000)


def test_an_answer_goes_on_while_another_conversation_is_shown(page: Page) -> None:
    title = "Count from one to forty in words."
    send(page, title)
    bot = page.locator("#chat-messages .message.bot")
    expect(bot).to_contain_text(re.compile("two", re.I), timeout=SLOW)
    send(page, "A second question before the first is answered")
    expect(page.get_by_text("is not finished")).to_be_visible(timeout=20_000)
    expect(page.locator("#chat-messages .message.user")).to_have_count(1)
    expect(page.locator("#chat-box textarea")).to_have_value("A second question before the first is answered")
    page.locator("#new-chat").click()
    expect(page.locator("#chat-messages .message")).to_have_count(0)
    page.wait_for_timeout(2_000)
    expect(page.locator("#chat-messages .message")).to_have_count(0)
    page.locator("#chat-list label", has_text=title).click()
    expect(bot).to_contain_text(re.compile("two", re.I), timeout=20_000)
    page.keyboard.press("Escape")
    expect(bot).to_contain_text(re.compile("stopped|forty", re.I), timeout=SLOW)
    expect(bot).to_have_count(1)


def test_an_edited_question_is_answered_and_the_old_one_kept(page: Page) -> None:
    say(page, "What is the capital of Peru? One word.")
    page.locator("#chat-messages").get_by_role("button", name="Edit").click()
    page.locator("#chat-messages textarea").first.fill("What is the capital of France? One word.")
    page.locator("#chat-messages").get_by_role("button", name="Submit").click()
    expect(page.locator("#chat-messages .message.bot")).to_contain_text("Paris", timeout=SLOW)
    expect(page.locator("#chat-messages .message.user")).to_have_count(1)


def test_conversations_survive_a_reload(page: Page, address: str) -> None:
    answer = say(page, "What is the capital of Peru? One word.")
    page.goto(address)
    page.locator("#chat-list label").first.click()
    expect(page.locator("#chat-messages .message.bot")).to_contain_text(answer[:20], timeout=20_000)


def test_retry_keeps_the_first_answer(page: Page) -> None:
    first = say(page, "Name one colour. One word.")
    page.locator("#chat-messages").get_by_role("button", name="Retry").click()
    expect(page.locator("#branch-position")).to_contain_text("2 / 2", timeout=SLOW)
    page.locator("#branch-previous").click()
    expect(page.locator("#branch-position")).to_contain_text("1 / 2")
    assert page.locator("#chat-messages .message.bot").inner_text().strip() == first
