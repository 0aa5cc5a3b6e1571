"""Living in the chat: reloads, branches, stopping, settings that stay, two tabs, long conversations. On the tiny model."""

import re
import time
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect, sync_playwright

from tests.journeys.driving import (
    OUTPUT,
    SLOW,
    bring_back,
    launch,
    new_chat,
    open_window,
    say,
    send,
    wait_for_answer,
)  # fmt: skip
from tests.serving import serving
from tests.tiny_app import COUNT, SILENT

pytestmark = pytest.mark.journey

COUNTING = re.compile(r"\b2\b")


@pytest.fixture(scope="module")
def address(tiny_address: str) -> str:
    """Nothing here depends on what a model says."""
    return tiny_address


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
    expect(bot(page)).to_contain_text(COUNTING, timeout=SLOW)
    open_window(page, address)
    expect(bot(page)).to_contain_text(COUNTING, timeout=20_000)
    before = len(bot(page).inner_text())
    page.wait_for_function(
        f"document.querySelector('#chat-messages .message.bot').innerText.length > {before}", timeout=SLOW
    )
    page.keyboard.press("Escape")
    expect(bot(page)).to_contain_text("(stopped)", timeout=15_000)
    expect(page.locator("#chat-meter")).to_contain_text("first token", timeout=15_000)


def test_an_answer_goes_on_while_another_conversation_is_shown(page: Page) -> None:
    send(page, COUNT)
    expect(bot(page)).to_contain_text(COUNTING, timeout=SLOW)
    send(page, "A second question before the first is answered")
    expect(page.get_by_text("is not finished")).to_be_visible(timeout=20_000)
    expect(page.locator("#chat-messages .message.user")).to_have_count(1)
    expect(page.locator("#chat-box textarea")).to_have_value("A second question before the first is answered")
    page.locator("#new-chat").click()
    expect(page.locator("#chat-messages .message")).to_have_count(0)
    page.wait_for_timeout(2_000)
    expect(page.locator("#chat-messages .message")).to_have_count(0)
    page.locator("#chat-list label", has_text=COUNT).first.click()
    expect(bot(page)).to_contain_text(COUNTING, timeout=20_000)
    page.keyboard.press("Escape")
    expect(bot(page)).to_contain_text("(stopped)", timeout=SLOW)
    expect(bot(page)).to_have_count(1)


def test_after_an_edit_the_old_question_and_answer_are_a_click_away(page: Page) -> None:
    assert say(page, "Say Lima") == "Lima"
    page.locator("#chat-messages").get_by_role("button", name="Edit").click()
    page.locator("#chat-messages textarea").first.fill("Say Paris")
    page.locator("#chat-messages").get_by_role("button", name="Submit").click()
    expect(bot(page)).to_contain_text("Paris", timeout=SLOW)
    expect(page.locator("#chat-messages .message.user")).to_have_count(1)
    position = page.locator("#branch-position")
    expect(position).to_have_text("Message 1, “Say Paris”: 2 / 2", timeout=SLOW)
    page.locator("#branch-previous").click()
    expect(page.locator("#chat-messages .message.user")).to_contain_text("Lima", timeout=20_000)
    expect(bot(page)).to_contain_text("Lima")
    page.locator("#chat-messages").get_by_role("button", name="Retry").click()
    expect(position).to_have_text("Message 2, “Lima”: 2 / 2", timeout=SLOW)
    page.locator("#branch-fork input").click()  # now there are two places with alternatives
    page.get_by_role("option", name=re.compile(r"^\W*1\. Say")).click()
    expect(position).to_have_text("Message 1, “Say Lima”: 1 / 2", timeout=20_000)
    page.screenshot(path=OUTPUT / "forks.png")
    page.locator("#branch-next").click()
    expect(page.locator("#chat-messages .message.user")).to_contain_text("Paris", timeout=20_000)


def test_a_stop_while_the_question_is_read_takes_effect_at_once(page: Page) -> None:
    send(page, SILENT)
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
    assert first.split() == [str(n + 1) for n in range(16)]
    assert bot(page).inner_text().split() == [str(n + 1) for n in range(32)]


def test_everything_is_as_it_was_after_a_restart(tiny_model: Path, tmp_path: Path) -> None:
    app = {"app": "tests.tiny_app"}
    with sync_playwright() as playwright:
        browser = launch(playwright)
        page = browser.new_page()
        with serving(tmp_path, OUTPUT / "restart-1.log", "--model", str(tiny_model), **app) as address:
            open_window(page, address)
            set_longest(page, 32)
            page.locator("#chat-settings").get_by_role("button").first.click()
            page.locator("#chat-system textarea").fill("Answer in one word.")
            page.locator("#chat-version input").click()
            page.get_by_role("option", name=re.compile(r"^\W*0 ")).first.click()
            page.locator("#chat-settings").get_by_role("button").first.click()
            send(page, "Say Lima in Peru")
            wait_for_answer(page)
            new_chat(page)
        with serving(tmp_path, OUTPUT / "restart-2.log", "--model", str(tiny_model), **app) as address:
            open_window(page, address)
            page.locator("#chat-list label", has_text="Peru").click()
            expect(bot(page)).to_contain_text("Lima in Peru", timeout=20_000)
            page.locator("#chat-settings").get_by_role("button").first.click()
            expect(page.locator("#chat-system textarea")).to_have_value("Answer in one word.")
            expect(page.locator("#chat-max-tokens input[type=number]")).to_have_value("32")
            expect(page.locator("#chat-version input")).to_have_value(re.compile(r"^0 "))
        browser.close()


def test_two_tabs_do_not_trample_each_other(page: Page, address: str) -> None:
    say(page, "Say Oslo in Norway")
    other = page.context.new_page()
    open_window(other, address)
    say(other, "Say Madrid in Spain")
    page.reload()
    expect(page.locator("#chat-messages .message.user")).to_contain_text("Norway", timeout=20_000)
    other.reload()
    expect(other.locator("#chat-messages .message.user")).to_contain_text("Spain", timeout=20_000)
    page.locator("#chat-list label", has_text="Spain").first.click()
    expect(page.locator("#chat-messages .message.user")).to_contain_text("Spain", timeout=20_000)
    send(other, COUNT)  # the answer grows in both
    expect(bot(page)).to_have_count(2, timeout=SLOW)
    expect(bot(page).last).to_contain_text(COUNTING, timeout=SLOW)
    page.keyboard.press("Escape")
    expect(bot(other).last).to_contain_text("(stopped)", timeout=15_000)
    other.close()


def test_no_edit_begins_while_an_answer_grows_and_escape_stops_it(page: Page) -> None:
    say(page, "Say Lima")
    send(page, COUNT)
    expect(bot(page).last).to_contain_text(COUNTING, timeout=SLOW)
    expect(page.locator("#chat-messages").get_by_role("button", name="Edit").first).to_be_disabled()
    page.locator("#chat-box textarea").press("Escape")
    expect(bot(page).last).to_contain_text("(stopped)", timeout=15_000)


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
    send(page, COUNT)
    expect(page.locator("#chat-messages .message.user").last).to_contain_text(COUNT, timeout=20_000)
    expect(bot(page)).to_have_count(31, timeout=SLOW)  # of 151: the end of a long conversation is drawn
    expect(bot(page).last).to_contain_text(COUNTING, timeout=SLOW)
    box = page.locator("#chat-box textarea")
    delays = []
    for letter in "typed while it streams":
        started = time.monotonic()
        box.press_sequentially(letter)
        delays.append(time.monotonic() - started)
    expect(box).to_have_value("typed while it streams")
    assert sorted(delays)[len(delays) // 2] < 0.5, delays
    expect(bot(page).last).not_to_contain_text("(stopped)")
    page.keyboard.press("Escape")
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
    expect(page.locator("#chat-messages")).to_contain_text(COUNT, timeout=20_000)


def test_a_conversation_of_megabytes_that_was_kept_is_brought_back(page: Page, tmp_path: Path) -> None:
    text = "Lighthouses stand where the land ends, and tell ships so. " * 800
    messages = [{"role": role, "content": text} for _ in range(30) for role in ("user", "assistant")]
    bring_back(page, tmp_path, messages, "Megabytes")
    with page.expect_download(timeout=60_000) as kept:
        page.locator("#chat-json").click()
    file = tmp_path / "kept.json"
    kept.value.save_as(file)
    assert 2_500_000 < file.stat().st_size < 4_000_000
    file.write_text(file.read_text().replace("Megabytes", "Back again"))
    page.locator("input[type=file]").first.set_input_files(file)
    expect(page.locator("#chat-list")).to_contain_text("Back again", timeout=60_000)
    expect(page.locator("#chat-messages .message").last).to_contain_text("tell ships so", timeout=60_000)


def test_a_file_that_is_refused_is_told_and_covers_nothing(page: Page, tmp_path: Path) -> None:
    bring_back(page, tmp_path, [{"role": "user", "content": "Kept?"}, {"role": "assistant", "content": "Kept."}])
    expect(page.locator("#chat-messages .message").last).to_contain_text("Kept.")
    for name, content, told in (("bad", "[{]", "no valid JSON"), ("big", f'["{"x" * (33 << 20)}"]', "up to 32 MB")):
        file = tmp_path / f"{name}.json"
        file.write_text(content)
        page.locator("input[type=file]").first.set_input_files(file)
        expect(page.locator(".toast-item", has_text=told)).to_be_visible(timeout=60_000)
    covering = page.locator("#chat-messages [data-testid=status-tracker] .error")
    expect(covering).to_have_count(1)
    expect(covering).to_be_hidden()
