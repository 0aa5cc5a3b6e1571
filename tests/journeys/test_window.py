"""A person's way through the real window on the real default model, in Chromium."""

import re

import pytest
from playwright.sync_api import Page

from tests.journeys.driving import OUTPUT, make_greedy, restore, say, teach

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
