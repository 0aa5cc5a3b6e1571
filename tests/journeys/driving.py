"""Driving the window in Chromium; used by the journeys and by benchmarks/pictures.py."""

import shutil

from playwright.sync_api import Browser, Page, Playwright, expect

SLOW = 240_000
_ARGUMENTS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip


def launch(playwright: Playwright) -> Browser:
    """Debian's Chromium, headless, that contacts nobody by itself."""
    path = shutil.which("chromium") or shutil.which("chromium-browser") or "/usr/bin/chromium"
    return playwright.chromium.launch(executable_path=path, args=_ARGUMENTS)


def open_window(page: Page, address: str) -> None:
    """Go to the window and wait until it is drawn."""
    page.goto(address)
    expect(page.locator("#chat-box textarea")).to_be_visible(timeout=60_000)


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
    """Wait until the answer is whole: then the meter tells its speed."""
    expect(page.locator("#chat-meter")).to_contain_text("tokens/s", timeout=SLOW)
