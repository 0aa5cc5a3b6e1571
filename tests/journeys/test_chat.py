"""Living in the chat: reloads, branches, stopping, settings that stay, two tabs, shortcuts, long conversations."""

import re
import time
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect, sync_playwright

from tests.journeys.driving import (
    OUTPUT,
    SLOW,
    bring_back,
    go_to,
    launch,
    new_chat,
    open_window,
    say,
    send,
    wait_for_answer,
)  # fmt: skip
from tests.serving import serving

pytestmark = pytest.mark.journey

COUNT = "Count from one to fifty in words."


def set_longest(page: Page, tokens: int) -> None:
    """Limit the answers' length."""
    settings = page.locator("#chat-settings").get_by_role("button").first
    settings.click()
    box = page.locator("#chat-max-tokens input[type=number]")
    expect(box).to_be_visible()
    page.wait_for_timeout(500)
    box.fill(str(tokens))
    box.press("Tab")
    page.wait_for_timeout(500)
    expect(box).to_have_value(str(tokens))
    settings.click()


def bot(page: Page):  # noqa: ANN201 - Playwright's Locator
    """The answers that are shown."""
    return page.locator("#chat-messages .message.bot")


def test_an_answer_goes_on_after_a_reload(page: Page, address: str) -> None:
    send(page, COUNT)
    expect(bot(page)).to_contain_text(re.compile("two", re.I), timeout=SLOW)
    open_window(page, address)
    expect(bot(page)).to_contain_text(re.compile("two", re.I), timeout=20_000)
    before = len(bot(page).inner_text())
    page.wait_for_function(
        f"document.querySelector('#chat-messages .message.bot').innerText.length > {before}", timeout=SLOW
    )
    page.keyboard.press("Escape")
    expect(bot(page)).to_contain_text(re.compile("stopped|fifty", re.I), timeout=15_000)
    expect(page.locator("#chat-meter")).to_contain_text("first token", timeout=15_000)


def test_after_an_edit_the_old_question_and_answer_are_a_click_away(page: Page) -> None:
    answer = say(page, "What is the capital of Peru? One word.")
    page.locator("#chat-messages").get_by_role("button", name="Edit").click()
    page.locator("#chat-messages textarea").first.fill("What is the capital of France? One word.")
    page.locator("#chat-messages").get_by_role("button", name="Submit").click()
    expect(bot(page)).to_contain_text("Paris", timeout=SLOW)
    expect(page.locator("#branch-position")).to_contain_text("2 / 2", timeout=SLOW)
    page.locator("#branch-previous").click()
    expect(page.locator("#chat-messages .message.user")).to_contain_text("Peru", timeout=20_000)
    expect(bot(page)).to_contain_text(answer[:20])
    page.locator("#chat-messages").get_by_role("button", name="Retry").click()
    expect(page.locator("#branch-position")).to_contain_text("2 / 2", timeout=SLOW)
    page.locator("#branch-fork input").click()  # now there are two places with alternatives
    page.get_by_role("option", name=re.compile(r"^\W*1\. What is")).click()
    expect(page.locator("#branch-position")).to_contain_text("1 / 2", timeout=20_000)
    page.screenshot(path=OUTPUT / "forks.png")
    page.locator("#branch-next").click()
    expect(page.locator("#chat-messages .message.user")).to_contain_text("France", timeout=20_000)


def test_a_stop_while_the_question_is_read_takes_effect_at_once(page: Page) -> None:
    send(page, "Say yes. " + "These words only make the question long, so that it takes long to read. " * 90)
    expect(page.locator("#chat-meter")).to_contain_text("reading", timeout=20_000)
    page.keyboard.press("Escape")
    started = time.monotonic()
    expect(page.locator("#chat-again")).to_be_visible(timeout=20_000)
    took = time.monotonic() - started
    assert took < 2, f"{took:.1f} s"
    page.locator("#chat-again").click()
    expect(page.locator("#chat-meter")).to_contain_text("reading", timeout=20_000)
    page.keyboard.press("Escape")
    expect(page.locator("#chat-again")).to_be_visible(timeout=20_000)


def test_a_cut_answer_is_continued(page: Page) -> None:
    set_longest(page, 16)
    send(page, COUNT)
    expect(page.locator("#chat-continue")).to_be_visible(timeout=SLOW)
    expect(page.locator("#chat-meter")).to_contain_text("cut")
    first = bot(page).inner_text()
    page.locator("#chat-continue").click()
    expect(page.locator("#branch-position")).to_contain_text("2 / 2", timeout=SLOW)
    longer = bot(page).inner_text()
    assert longer.startswith(first.split("version")[0].strip()[:20]) and len(longer) > len(first) + 10


def test_everything_is_as_it_was_after_a_restart(default_model: Path, tmp_path: Path) -> None:
    with sync_playwright() as playwright:
        browser = launch(playwright)
        page = browser.new_page()
        with serving(tmp_path, OUTPUT / "restart-1.log") as address:
            open_window(page, address)
            set_longest(page, 32)
            page.locator("#chat-settings").get_by_role("button").first.click()
            page.locator("#chat-system textarea").fill("Answer in one word.")
            page.locator("#chat-version input").click()
            page.get_by_role("option", name=re.compile(r"^\W*0 ")).first.click()
            page.locator("#chat-settings").get_by_role("button").first.click()
            send(page, "What is the capital of Peru?")
            wait_for_answer(page)
            answer = bot(page).inner_text()
            new_chat(page)
        with serving(tmp_path, OUTPUT / "restart-2.log") as address:
            open_window(page, address)
            page.locator("#chat-list label", has_text="Peru").click()
            expect(bot(page)).to_contain_text(answer[:20], timeout=20_000)
            page.locator("#chat-settings").get_by_role("button").first.click()
            expect(page.locator("#chat-system textarea")).to_have_value("Answer in one word.")
            expect(page.locator("#chat-max-tokens input[type=number]")).to_have_value("32")
            expect(page.locator("#chat-version input")).to_have_value(re.compile(r"^0 "))
        browser.close()


def test_two_tabs_do_not_trample_each_other(page: Page, address: str) -> None:
    say(page, "What is the capital of Norway? One word.")
    other = page.context.new_page()
    open_window(other, address)
    say(other, "What is the capital of Spain? One word.")
    page.reload()
    expect(page.locator("#chat-messages .message.user")).to_contain_text("Norway", timeout=20_000)
    other.reload()
    expect(other.locator("#chat-messages .message.user")).to_contain_text("Spain", timeout=20_000)
    page.locator("#chat-list label", has_text="Spain").first.click()
    expect(page.locator("#chat-messages .message.user")).to_contain_text("Spain", timeout=20_000)
    send(other, COUNT)  # the answer grows in both
    expect(bot(page)).to_have_count(2, timeout=SLOW)
    expect(bot(page).last).to_contain_text(re.compile("two", re.I), timeout=SLOW)
    page.keyboard.press("Escape")
    expect(bot(other).last).to_contain_text(re.compile("stopped|fifty", re.I), timeout=15_000)
    other.close()


def test_shortcuts_and_their_sheet(page: Page) -> None:
    page.locator("#help-button").click()
    expect(page.locator("#qf-help")).to_be_visible()
    page.screenshot(path=OUTPUT / "help.png")
    page.keyboard.press("Escape")
    expect(page.locator("#qf-help")).to_be_hidden()
    expect(page.locator("#help-button")).to_be_focused()
    page.keyboard.press("Control+/")
    expect(page.locator("#qf-help")).to_be_visible()
    page.locator("[data-close=qf-help]").click()
    expect(page.locator("#qf-help")).to_be_hidden()
    page.keyboard.press("Control+k")
    expect(page.locator("#chat-search input, #chat-search textarea").first).to_be_focused()
    page.keyboard.press("Control+Shift+L")
    expect(page.locator("#teach-fact textarea")).to_be_visible()
    go_to(page, "Chat")
    say(page, "What is the capital of Chile? One word.")
    page.keyboard.press("Control+Shift+O")
    expect(page.locator("#chat-messages .message")).to_have_count(0, timeout=20_000)


def test_escape_in_an_edit_leaves_the_answer_alone(page: Page) -> None:
    say(page, "What is the capital of Peru? One word.")
    send(page, COUNT)
    expect(bot(page).last).to_contain_text(re.compile("two", re.I), timeout=SLOW)
    page.locator("#chat-messages").get_by_role("button", name="Edit").first.click()
    page.locator("#chat-messages textarea").first.press("Escape")
    page.wait_for_timeout(1_500)
    expect(bot(page).last).not_to_contain_text("(stopped)")
    page.locator("#chat-box textarea").press("Escape")
    expect(bot(page).last).to_contain_text(re.compile("stopped|fifty", re.I), timeout=15_000)


def test_light_and_dark_are_chosen_and_kept(page: Page) -> None:
    dark = page.locator("body.dark")
    page.locator("[data-look=dark]").click()
    expect(dark).to_have_count(1)
    page.reload()
    expect(dark).to_have_count(1)
    expect(page.locator("[data-look=dark]")).to_have_attribute("aria-pressed", "true", timeout=20_000)
    page.emulate_media(color_scheme="dark")
    page.locator("[data-look=light]").click()
    expect(dark).to_have_count(0)
    page.locator("[data-look=system]").click()
    expect(dark).to_have_count(1)
    page.emulate_media(color_scheme="light")
    expect(dark).to_have_count(0)


def test_conversations_are_found_renamed_and_deleted(page: Page, tmp_path: Path) -> None:
    bring_back(page, tmp_path, [{"role": "user", "content": "Zwölf BÄRENJÄGER"}], "Of hunters")
    search = page.locator("#chat-search input, #chat-search textarea").first
    search.fill("no such words")
    expect(page.locator("#chat-list label")).to_have_count(0, timeout=20_000)
    search.fill("bärenjäger")
    expect(page.locator("#chat-list label")).to_have_count(1, timeout=20_000)
    title = page.locator("#chat-title input, #chat-title textarea").first
    expect(title).to_have_value("Of hunters")
    title.fill("Of bears")
    page.locator("#chat-rename").click()
    expect(page.locator("#chat-list label")).to_contain_text("Of bears", timeout=20_000)
    page.once("dialog", lambda dialog: dialog.dismiss())
    page.locator("#chat-delete").click()
    page.wait_for_timeout(1_000)
    expect(page.locator("#chat-list label")).to_have_count(1)
    page.once("dialog", lambda dialog: dialog.accept())
    page.locator("#chat-delete").click()
    expect(page.locator("#chat-list label")).to_have_count(0, timeout=20_000)
    expect(page.locator("#chat-messages .message")).to_have_count(0)


def test_answers_are_drawn_with_tables_code_and_formulas(page: Page, tmp_path: Path) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    answer = (
        "**Bold**, a table:\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n```python\nprint('copied')\n```\n\n"
        "Euler: $$e^{i\\pi} + 1 = 0$$\n\n<script>document.title = 'bad'</script><img src=x onerror=\"document.title='bad'\">"
    )
    asked = [{"role": "user", "content": "Show."}, {"role": "user", "content": "Please."}]  # the first was not answered
    bring_back(page, tmp_path, [*asked, {"role": "assistant", "content": answer, "version": 0}], "Drawn")
    shown = bot(page).last
    expect(shown.locator("strong")).to_have_text("Bold")
    mark = page.locator("#chat-messages .bot .message-content").last.evaluate("e => getComputedStyle(e, '::after').content")
    assert mark == '"version 0"'
    expect(shown.locator("td").first).to_have_text("1")
    expect(shown.locator(".katex").first).to_be_visible()
    expect(shown.locator("pre code")).to_contain_text("print('copied')")
    page.screenshot(path=OUTPUT / "drawn.png")
    shown.locator("pre").hover()
    shown.locator("pre button, .code_wrap button").first.click()
    assert page.evaluate("navigator.clipboard.readText()").strip() == "print('copied')"
    assert page.title() != "bad"


def test_a_long_conversation_is_answered_and_typing_stays_quick(page: Page, tmp_path: Path) -> None:
    roles = ("user", "assistant")
    messages = [{"role": roles[n % 2], "content": f"Message {n}. " + "Some words of text. " * 20} for n in range(300)]
    bring_back(page, tmp_path, messages, "Three hundred messages")
    set_longest(page, 128)
    send(page, "Tell a story about a lighthouse.")
    expect(page.locator("#chat-messages .message.user").last).to_contain_text("lighthouse", timeout=20_000)
    expect(bot(page)).to_have_count(31, timeout=SLOW)  # of 151: the end of a long conversation is drawn
    expect(bot(page).last).to_contain_text(re.compile(r"\w{3,} \w+ \w+"), timeout=SLOW)
    box = page.locator("#chat-box textarea")
    delays = []
    for letter in "typed while it streams":
        started = time.monotonic()
        box.press_sequentially(letter)
        delays.append(time.monotonic() - started)
    expect(box).to_have_value("typed while it streams")
    assert sorted(delays)[len(delays) // 2] < 0.5, delays
    wait_for_answer(page)
    expect(page.locator("#chat-meter")).to_contain_text("earlier messages are not read")
    page.screenshot(path=OUTPUT / "long-answered.png")
    for _ in range(4):
        page.locator("#chat-earlier").click()
        page.wait_for_timeout(300)
    expect(bot(page)).to_have_count(151, timeout=SLOW)
    expect(page.locator("#chat-earlier")).to_be_hidden()
    new_chat(page)
    page.locator("#chat-list label", has_text="Three hundred messages").click()
    expect(page.locator("#chat-messages")).to_contain_text("lighthouse", timeout=20_000)
