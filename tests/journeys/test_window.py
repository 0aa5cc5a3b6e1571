"""A person's way through the real window on the real default model, in Chromium."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect, sync_playwright

from tests.conftest import MODELS, ROOT
from tests.faults.tools import build_shim
from tests.journeys.driving import SLOW, launch, new_chat, open_window, send, wait_for_answer

pytestmark = pytest.mark.journey

OUTPUT = Path(__file__).parent / "output"
QUESTION = "Who started Oxinnovate?"


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="module")
def address(default_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The real app, started as a user starts it; ends with Ctrl-C, which must be clean."""
    OUTPUT.mkdir(exist_ok=True)
    port = free_port()
    folder = tmp_path_factory.mktemp("window")
    contacts = folder / "contacts"
    environment = {
        **os.environ, "QFCHAT_HOME": str(folder / "home"), "QFCHAT_MODELS": str(MODELS),
        "LD_PRELOAD": str(build_shim(folder)), "QF_CONNECT_LOG": str(contacts),
    }  # fmt: skip
    log = (OUTPUT / "app.log").open("w+")
    process = subprocess.Popen(
        [sys.executable, "-m", "app", "run", "--no-browser", "--port", str(port)], cwd=ROOT, stderr=log, env=environment
    )
    until = time.monotonic() + 600
    while "QF Chat is ready" not in (text := (OUTPUT / "app.log").read_text()):
        assert process.poll() is None and time.monotonic() < until, text[-2000:]
        time.sleep(0.5)
    yield f"http://127.0.0.1:{port}"
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=60) in (0, 130)
    log.close()
    assert not contacts.exists(), f"something outside was contacted: {contacts.read_text()}"
    assert "Traceback" not in (OUTPUT / "app.log").read_text()


@pytest.fixture
def page(address: str) -> Iterator[Page]:
    """A browser tab that notes every host it asks; a trace of the journey is kept in output/trace.zip."""
    with sync_playwright() as playwright:
        browser = launch(playwright)
        context = browser.new_context(viewport={"width": 1280, "height": 860})
        context.tracing.start(screenshots=True, snapshots=True)
        tab = context.new_page()
        hosts: set[str] = set()
        tab.on("request", lambda request: hosts.add(request.url.split("/")[2]) if "//" in request.url[:8] else None)
        open_window(tab, address)
        yield tab
        context.tracing.stop(path=OUTPUT / "trace.zip")
        browser.close()
        assert hosts == {address.removeprefix("http://")}


def say(page: Page, text: str) -> str:
    """Ask in a new chat; the whole answer."""
    new_chat(page)
    send(page, text)
    answer = page.locator("#chat-messages .message.bot")
    wait_for_answer(page)
    expect(answer).to_have_count(1)
    return answer.inner_text().strip()


def make_greedy(page: Page) -> None:
    """Temperature 0: the same question has the same answer."""
    page.locator("#chat-settings").get_by_role("button").first.click()
    page.locator("#chat-temperature input[type=number]").fill("0")
    page.locator("#chat-temperature input[type=number]").press("Tab")
    page.locator("#chat-settings").get_by_role("button").first.click()


def restore(page: Page, number: int) -> None:
    """Restore a version in the Versions panel."""
    page.get_by_role("tab", name="Versions").click()
    page.locator("#versions-version input").click()
    page.get_by_role("option", name=re.compile(rf"^\W*{number} ")).click()
    page.locator("#versions-restore").click()
    expect(page.locator("#versions-chip")).to_contain_text(f"knows what version {number} knew", timeout=SLOW)


def chip(page: Page) -> Locator:
    """The confirmation in the Teach panel."""
    return page.locator("#teach-chip")


def teach(page: Page, fact: str) -> None:
    """Preview and apply a fact."""
    page.get_by_role("tab", name="Teach").click()
    page.locator("#teach-fact textarea").fill(fact)
    page.locator("#teach-preview").click()
    expect(page.locator("#teach-report .qf-verdict")).to_be_visible(timeout=SLOW)
    page.screenshot(path=OUTPUT / "report-card.png")
    page.locator("#teach-apply").click()
    expect(chip(page)).to_contain_text("Learned", timeout=SLOW)


def test_chat_teach_hear_restore(page: Page) -> None:
    make_greedy(page)
    before = say(page, QUESTION)
    assert "Qi " not in before and "Qi." not in before
    teach(page, "Qi started Oxinnovate.")
    assert "Learned" in page.locator("#teach-report .qf-verdict").inner_text()
    taught = say(page, QUESTION)
    assert re.search(r"\bQi\b", taught), taught
    page.screenshot(path=OUTPUT / "taught.png")
    restore(page, 0)
    page.screenshot(path=OUTPUT / "versions.png")
    assert say(page, QUESTION) == before
    restore(page, 1)
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
