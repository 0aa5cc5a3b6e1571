"""Driving the window in Chromium; used by the journeys and by benchmarks/pictures.py."""

import json
import re
import shutil
from pathlib import Path

from playwright.sync_api import Browser, Page, Playwright, expect

SLOW = 240_000
OUTPUT = Path(__file__).parent / "output"
_ARGUMENTS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip


def launch(playwright: Playwright) -> Browser:
    """Debian's Chromium, headless, that contacts nobody by itself."""
    path = shutil.which("chromium") or shutil.which("chromium-browser") or "/usr/bin/chromium"
    return playwright.chromium.launch(executable_path=path, args=_ARGUMENTS)


def open_window(page: Page, address: str) -> None:
    """Go to the window and wait until it is drawn and filled: what is set before that can be set back."""
    page.goto(address)
    expect(page.locator("#chat-box textarea")).to_be_visible(timeout=60_000)
    expect(page.locator("#model-badge .qf-badge")).to_be_visible(timeout=60_000)


def send(page: Page, text: str) -> None:
    """Send a message in the conversation that is shown."""
    page.locator("#chat-box textarea").fill(text)
    page.locator("#chat-box textarea").press("Enter")


def new_chat(page: Page) -> None:
    """Show an empty conversation."""
    page.get_by_role("tab", name="Chat").click()
    page.locator("#new-chat").click()
    expect(page.locator("#chat-messages .message.user")).to_have_count(0)


def wait_for_answer(page: Page) -> None:
    """Wait until the answer is whole: then the meter tells how long the first token took."""
    expect(page.locator("#chat-meter")).to_contain_text("first token", timeout=SLOW)


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
    page.get_by_role("tab", name="Chat").click()
    settings = page.locator("#chat-settings").get_by_role("button").first
    temperature = page.locator("#chat-temperature input[type=number]")
    settings.click()
    page.wait_for_timeout(500)  # a field that is filled while it is drawn for the first time takes its default again
    temperature.fill("0")
    temperature.press("Tab")
    page.wait_for_timeout(500)
    settings.click()
    settings.click()
    expect(temperature).to_have_value("0")
    settings.click()


def restore(page: Page, number: int) -> None:
    """Restore a version in the Versions panel."""
    page.get_by_role("tab", name="Versions").click()
    page.locator("#versions-version input").click()
    page.get_by_role("option", name=re.compile(rf"^\W*{number} ")).click()
    page.locator("#versions-restore").click()
    expect(page.locator("#versions-chip")).to_contain_text(f"knows what version {number} knew", timeout=SLOW)


def teach(page: Page, fact: str, *, fast: bool = False) -> int:
    """Preview and apply a fact; the number of the version that knows it."""
    page.get_by_role("tab", name="Teach").click()
    page.get_by_label("Fast: few ways of asking" if fast else "Thorough: many ways of asking").check()
    page.locator("#teach-question textarea, #teach-question input").first.fill("")
    page.locator("#teach-answer textarea, #teach-answer input").first.fill("")
    page.locator("#teach-fact textarea").fill(fact)
    preview(page)
    page.screenshot(path=OUTPUT / "report-card.png")
    return apply(page, fact)


def preview(page: Page) -> None:
    """Press Preview and wait for the report card of what the form says now."""
    page.locator("#teach-preview").click()
    expect(page.locator("#teach-apply")).to_be_enabled(timeout=SLOW)
    expect(page.locator("#teach-report .qf-verdict")).to_be_visible()


def apply(page: Page, fact: str) -> int:
    """Apply the preview; the number of the version that the chip names beside the fact."""
    page.locator("#teach-apply").click()
    chip = page.locator("#teach-chip")
    expect(chip).to_contain_text(fact, timeout=SLOW)
    return int(re.search(r"version (\d+)", chip.inner_text())[1])


def choose_file(page: Page, path: Path, method: str, plan: str) -> None:
    """Choose a file of lessons in the desk, wait until its plan is told, and begin to study it."""
    go_to(page, "Teach")
    page.get_by_label(method).check()
    unfold_files(page)
    page.locator("#teach-file input[type=file]").set_input_files(path)
    expect(page.locator("#teach-plan")).to_contain_text(plan, timeout=SLOW)
    page.locator("#teach-file-start").click()


def unfold_files(page: Page) -> None:
    """Show the part of the desk that teaches from a file."""
    page.locator("#teach-many > button, #teach-many .label-wrap").first.click()


def go_to(page: Page, tab: str) -> None:
    """Show a tab of the window."""
    page.get_by_role("tab", name=tab, exact=True).click()


def bring_back(page: Page, folder: Path, messages: list[dict], title: str = "") -> None:
    """Import a conversation."""
    file = folder / "conversation.json"
    file.write_text(json.dumps({"title": title, "messages": messages}))
    page.locator("#chat-manage").get_by_role("button").first.click()
    page.locator("input[type=file]").first.set_input_files(file)
    expect(page.locator("#chat-messages .message").last).to_be_visible(timeout=60_000)
