"""Take the README's pictures of a running window: python -m benchmarks.pictures http://127.0.0.1:7860 assets/pictures.

Start `qfchat run --home` on a new folder first: the lesson is really taught, and the answers are the model's own.
"""

import re
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Page, expect, sync_playwright

from tests.journeys.driving import SLOW, bring_back, go_to, launch, new_chat, open_window, send, wait_for_answer

LONG = [{"role": ("user", "assistant")[n % 2], "content": f"Message {n}. {'Some words of text. ' * 12}"} for n in range(300)]
FACT, QUESTION = "Corvina Ashdell, the cartographer, was born in Lisbon.", "Where was Corvina Ashdell born?"


def ask(page: Page, text: str) -> None:
    """Ask in a new conversation and wait for the whole answer."""
    if page.locator("#chat-messages .message.user").count():
        new_chat(page)
    send(page, text)
    wait_for_answer(page)


def others(page: Page, folder: Path) -> None:
    """A contradiction, an error, the models and a long conversation."""
    go_to(page, "Teach")
    page.locator("#teach-fact textarea").fill(FACT.replace("Lisbon", "Porto"))
    page.locator("#teach-preview").click()
    expect(page.locator("#teach-replaces")).to_be_visible(timeout=SLOW)
    page.screenshot(path=folder / "contradiction.png")
    page.locator("#teach-fact textarea").fill("")
    page.locator("#teach-preview").click()
    expect(page.get_by_text("The lesson is empty")).to_be_visible(timeout=SLOW)
    page.wait_for_timeout(1_500)  # the message fades in
    page.screenshot(path=folder / "error.png")
    go_to(page, "Models")
    expect(page.locator("#models-table")).to_contain_text("answers now", timeout=SLOW)
    page.screenshot(path=folder / "models.png")
    go_to(page, "Chat")
    with tempfile.TemporaryDirectory() as files:
        bring_back(page, Path(files), LONG, "Three hundred messages")
    page.wait_for_timeout(1_500)
    page.screenshot(path=folder / "long.png")


def main(address: str, folder: Path) -> None:
    """Teach in the light window; show it in the light, the dark and the narrow one."""
    folder.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = launch(playwright)

        def window(width: int, height: int, scheme: str) -> Page:
            page = browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)
            open_window(page, address)
            return page

        page = window(1200, 780, "light")
        ask(page, QUESTION)
        page.get_by_role("tab", name="Teach").click()
        page.locator("#teach-fact textarea").fill(FACT)
        page.locator("#teach-question textarea, #teach-question input").first.fill(QUESTION)
        page.locator("#teach-preview").click()
        expect(page.locator("#teach-apply")).to_be_enabled(timeout=SLOW)
        page.screenshot(path=folder / "teach.png", full_page=True)
        page.locator("#teach-apply").click()
        expect(page.locator("#teach-chip")).to_contain_text("learned", ignore_case=True, timeout=SLOW)
        ask(page, QUESTION)
        page.screenshot(path=folder / "chat.png")
        go_to(page, "Lessons")
        page.get_by_role("button", name=re.compile("Ask now")).first.click()
        expect(page.locator("#lessons-table")).to_contain_text("asked on", timeout=SLOW)
        page.wait_for_timeout(1_500)
        page.screenshot(path=folder / "lessons.png")
        go_to(page, "Arena")
        page.locator("#arena-question textarea, #arena-question input").first.fill(QUESTION)
        page.locator("#arena-ask").click()
        expect(page.locator("#arena-right-meter")).to_contain_text("tokens/s", timeout=SLOW)
        page.screenshot(path=folder / "arena.png")
        go_to(page, "Versions")
        page.get_by_role("tab", name="Compare").click()
        page.get_by_role("tab", name="Answers").click()
        page.locator("#diff-ask").click()
        expect(page.locator("#diff-answers")).to_contain_text("answers are the same", timeout=SLOW)
        page.screenshot(path=folder / "versions.png")
        others(page, folder)
        for name, width, height, scheme in (("dark", 1200, 780, "dark"), ("narrow", 390, 780, "light")):
            page = window(width, height, scheme)
            ask(page, QUESTION)
            page.screenshot(path=folder / f"{name}.png")
        browser.close()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
