"""Take the README's pictures of a running window: python benchmarks/pictures.py http://127.0.0.1:7860 assets/pictures.

Start `qfchat run --home` on a new folder first: the lesson is really taught, and the answers are the model's own.
"""

import shutil
import sys
from pathlib import Path

from playwright.sync_api import Page, expect, sync_playwright

FACT, QUESTION = "Corvina Ashdell, the cartographer, was born in Lisbon.", "Where was Corvina Ashdell born?"
SLOW = 240_000


def ask(page: Page, text: str) -> None:
    """Ask in a new conversation and wait for the whole answer."""
    page.get_by_role("tab", name="Chat").click()
    if page.locator("#chat-messages .message.user").count():
        page.locator("#new-chat").click()
        expect(page.locator("#chat-messages .message.user")).to_have_count(0)
    page.locator("#chat-box textarea").fill(text)
    page.locator("#chat-box textarea").press("Enter")
    expect(page.locator("#chat-meter")).to_contain_text("tokens/s", timeout=SLOW)


def main(address: str, folder: Path) -> None:
    """Teach in the light window; show it in the light, the dark and the narrow one."""
    folder.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
        )

        def window(width: int, height: int, scheme: str) -> Page:
            page = browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)
            page.goto(address)
            expect(page.locator("#chat-box textarea")).to_be_visible(timeout=60_000)
            return page

        page = window(1200, 780, "light")
        ask(page, QUESTION)
        page.get_by_role("tab", name="Teach").click()
        page.locator("#teach-fact textarea").fill(FACT)
        page.locator("#teach-question textarea, #teach-question input").first.fill(QUESTION)
        page.locator("#teach-preview").click()
        expect(page.locator("#teach-apply")).to_be_enabled(timeout=SLOW)
        page.screenshot(path=folder / "teach.png")
        page.locator("#teach-apply").click()
        expect(page.locator("#teach-chip")).to_contain_text("learned", ignore_case=True, timeout=SLOW)
        ask(page, QUESTION)
        page.screenshot(path=folder / "chat.png")
        page.get_by_role("tab", name="Versions").click()
        page.wait_for_timeout(1_500)
        page.screenshot(path=folder / "versions.png")
        for name, width, height, scheme in (("dark", 1200, 780, "dark"), ("narrow", 390, 780, "light")):
            page = window(width, height, scheme)
            ask(page, QUESTION)
            page.screenshot(path=folder / f"{name}.png")
        browser.close()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
