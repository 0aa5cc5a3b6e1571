"""The teacher's desk in the real window: teach from the chat and from a file, lessons, names, compare, arena, files."""

import json
import re
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.journeys.driving import OUTPUT, SLOW, go_to, make_greedy, new_chat, open_window, say

pytestmark = pytest.mark.journey

FACT, QUESTION = "Dr. Ilka Brandt leads the Norvik station.", "Who leads the Norvik station?"


def choose(page: Page, control: str, option: str) -> None:
    """Choose in a dropdown by the beginning of an option."""
    page.locator(f"#{control} input").click()
    page.get_by_role("option", name=re.compile(rf"^\W*{option}")).first.click()


def test_thats_wrong_teaches_the_right_answer(page: Page) -> None:
    make_greedy(page)
    say(page, QUESTION)
    page.locator("#chat-messages").get_by_role("button", name="Feedback").click()
    page.get_by_text("That's wrong").click()
    expect(page.locator("#teach-question textarea, #teach-question input").first).to_have_value(QUESTION)
    page.locator("#teach-fact textarea").fill(FACT)
    page.get_by_label("Fast: one way of asking").check()
    page.locator("#teach-preview").click()
    expect(page.locator("#teach-report .qf-verdict")).to_contain_text("Learned", timeout=SLOW)
    page.locator("#teach-apply").click()
    expect(page.locator("#teach-chip")).to_contain_text("Learned", timeout=SLOW)
    assert "Brandt" in say(page, QUESTION)


def test_a_lesson_is_asked_now_and_forgotten(page: Page) -> None:
    go_to(page, "Lessons")
    row = page.locator("#lessons-table tr", has_text=FACT)
    expect(row).to_contain_text("learned")
    row.get_by_role("button", name=re.compile("Ask now")).click()
    expect(row).to_contain_text("asked just now", timeout=SLOW)
    page.screenshot(path=OUTPUT / "lessons.png")
    page.locator("#lessons-search textarea, #lessons-search input").first.fill("no such words")
    expect(page.locator("#lessons-table")).to_contain_text("No lesson contains")
    page.locator("#lessons-search textarea, #lessons-search input").first.fill("norvik")
    expect(row).to_be_visible()
    page.on("dialog", lambda dialog: dialog.accept())
    row.get_by_role("button", name=re.compile("Forget")).click()
    expect(page.locator("#lessons-chip")).to_contain_text("Forgotten", timeout=SLOW)
    expect(row).to_have_count(0)


def test_a_text_is_split_into_lessons(page: Page) -> None:
    go_to(page, "Teach")
    page.locator("#teach-fact textarea").fill(
        "The harbour ferry Solveig sails to Tarn Island. She was built in Gdansk in 1994. Her captain is Mara Lindqvist."
    )
    page.locator("#teach-split").click()
    table = page.locator("#teach-proposals")
    expect(table).to_contain_text("Solveig", timeout=SLOW)
    expect(table).to_contain_text("1994")
    page.screenshot(path=OUTPUT / "split.png")


def test_a_file_of_lessons_is_taught_and_undone(page: Page, tmp_path: Path) -> None:
    path = tmp_path / "station.csv"
    path.write_text(
        "text,question\nThe Ulvsund lamp is green.,What colour is the Ulvsund lamp?\n"
        "Pier 12 closes at 21:40.,When does Pier 12 close?\n"
    )
    go_to(page, "Teach")
    page.get_by_label("Fast: one way of asking").check()
    page.locator("#teach-many > button, #teach-many .label-wrap").first.click()
    page.locator("#teach-file input[type=file]").set_input_files(path)
    expect(page.locator("#teach-plan")).to_contain_text("2 new", timeout=SLOW)
    page.locator("#teach-file-start").click()
    expect(page.locator("#teach-states")).to_contain_text("2 of 2", timeout=SLOW)
    expect(page.locator("#teach-apply")).to_be_enabled(timeout=SLOW)
    page.screenshot(path=OUTPUT / "file.png")
    page.locator("#teach-apply").click()
    expect(page.locator("#teach-chip")).to_contain_text("Learned", timeout=SLOW)
    expect(page.locator("#model-badge")).to_contain_text("knows")
    page.locator("#teach-undo").click()
    expect(page.locator("#teach-chip")).to_contain_text("Undone", timeout=SLOW)


def test_versions_are_named_compared_and_asked_side_by_side(page: Page) -> None:
    go_to(page, "Versions")
    timeline = page.locator("#versions-timeline")
    kind = page.locator(".qf-kind", has_text="Taught")
    taught = timeline.locator("li", has=kind, has_text="2 lessons:").first  # the file of the test before
    number = re.search(r"Version (\d+)", taught.inner_text())[1]
    taught.get_by_role("button").click()
    expect(page.locator("#versions-knows")).to_contain_text("Ulvsund")
    page.get_by_role("tab", name="Names").click()
    page.locator("#versions-name textarea, #versions-name input").first.fill("harbour")
    page.locator("#versions-tag").click()
    expect(timeline).to_contain_text("harbour", timeout=SLOW)
    page.locator("#versions-name textarea, #versions-name input").first.fill("3")
    page.locator("#versions-tag").click()
    expect(page.get_by_text("cannot name a version")).to_be_visible(timeout=20_000)
    taught.get_by_role("button").click()
    page.get_by_role("tab", name="Compare").click()
    choose(page, "versions-other", "0 ")
    expect(page.locator("#diff-lessons li")).not_to_have_count(0)
    page.get_by_role("tab", name="Answers").click()
    page.locator("#diff-ask").click()
    expect(page.locator("#diff-answers")).to_contain_text("answers are the same", timeout=SLOW)
    page.screenshot(path=OUTPUT / "diff.png")
    page.get_by_role("tab", name="Weights").click()
    expect(page.locator("#diff-weights-text")).to_contain_text("‖ΔW‖ =")
    expect(page.locator("#diff-weights canvas, #diff-weights svg").first).to_be_visible()
    go_to(page, "Arena")
    choose(page, "arena-left-version", "0 ")
    choose(page, "arena-right-version", f"{number} ")
    page.locator("#arena-question textarea, #arena-question input").first.fill("When does Pier 12 close?")
    page.locator("#arena-ask").click()
    expect(page.locator("#arena-right-meter")).to_contain_text("tokens/s", timeout=SLOW)
    assert "21:40" in page.locator("#arena-right").inner_text() and "21:40" not in page.locator("#arena-left").inner_text()
    page.screenshot(path=OUTPUT / "arena.png")


def test_a_conversation_is_answered_by_a_chosen_version_and_says_so(page: Page) -> None:
    make_greedy(page)
    page.locator("#chat-settings").get_by_role("button").first.click()
    choose(page, "chat-version", "0 ")
    page.locator("#chat-settings").get_by_role("button").first.click()
    say(page, "What is the capital of Peru? One word.")
    expect(page.locator("#chat-meter")).to_contain_text("version 0")
    mark = page.locator("#chat-messages .bot .message-content").first.evaluate("e => getComputedStyle(e, '::after').content")
    assert mark == '"version 0"'


def test_a_conversation_is_kept_as_a_file_and_brought_back(page: Page, tmp_path: Path) -> None:
    say(page, "What is the capital of Norway? One word.")
    page.locator("#chat-manage").get_by_role("button").first.click()
    with page.expect_download() as markdown:
        page.locator("#chat-markdown").click()
    assert "What is the capital of Norway" in Path(markdown.value.path()).read_text()
    with page.expect_download() as kept:
        page.locator("#chat-json").click()
    file = tmp_path / "kept.json"
    kept.value.save_as(file)
    value = json.loads(file.read_text())
    value["title"] = "Brought back"
    file.write_text(json.dumps(value))
    page.locator("input[type=file]").first.set_input_files(file)
    expect(page.locator("#chat-list")).to_contain_text("Brought back", timeout=20_000)
    expect(page.locator("#chat-messages .message.user")).to_contain_text("Norway")


def test_the_shown_conversation_survives_a_reload(page: Page, address: str) -> None:
    answer = say(page, "What is the capital of Sweden? One word.")
    page.wait_for_timeout(1_000)
    open_window(page, address)
    expect(page.locator("#chat-messages .message.bot")).to_contain_text(answer[:20], timeout=20_000)


def test_settings_are_kept_as_a_preset(page: Page) -> None:
    page.locator("#chat-settings").get_by_role("button").first.click()
    page.locator("#chat-system textarea").fill("Answer in one word.")
    page.locator("#chat-more").get_by_role("button").first.click()
    page.locator("#chat-preset-name textarea, #chat-preset-name input").first.fill("One word")
    page.locator("#chat-preset-keep").click()
    expect(page.get_by_text("Saved the preset")).to_be_visible(timeout=20_000)
    page.locator("#chat-system textarea").fill("")
    page.reload()
    page.locator("#chat-settings").get_by_role("button").first.click()
    page.locator("#chat-more").get_by_role("button").first.click()
    choose(page, "chat-preset", "One word")
    expect(page.locator("#chat-system textarea")).to_have_value("Answer in one word.", timeout=20_000)


def test_a_chat_of_300_messages_stays_quick(page: Page, tmp_path: Path) -> None:
    roles = ("user", "assistant")
    messages = [{"role": roles[n % 2], "content": f"Message {n}. " + "Some words of text. " * 20} for n in range(300)]
    file = tmp_path / "long.json"
    file.write_text(json.dumps(messages))
    page.locator("#chat-manage").get_by_role("button").first.click()
    page.locator("input[type=file]").first.set_input_files(file)
    expect(page.locator("#chat-messages")).to_contain_text("Message 299", timeout=60_000)
    page.screenshot(path=OUTPUT / "long.png")
    new_chat(page)
    page.locator("#chat-list label", has_text="Message 0").first.click()
    expect(page.locator("#chat-messages")).to_contain_text("Message 299", timeout=20_000)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_serious_fault_of_accessibility(page: Page, address: str, scheme: str) -> None:
    page.emulate_media(color_scheme=scheme)
    open_window(page, address)
    faults = {}
    for tab in ("Chat", "Teach", "Lessons", "Versions", "Arena", "Export"):
        go_to(page, tab)
        page.wait_for_timeout(700)
        page.screenshot(path=OUTPUT / f"{scheme}-{tab.lower()}.png")
        for fault in Axe().run(page).response["violations"]:
            if fault["impact"] in ("serious", "critical"):
                for node in fault["nodes"]:
                    faults.setdefault(fault["id"], set()).add(f"{tab}: {node['html'][:160]}")
    assert not faults, json.dumps({k: sorted(v) for k, v in faults.items()}, indent=1)


@pytest.mark.parametrize("width", [390, 768])
def test_narrow_screens_do_not_scroll_sideways(page: Page, address: str, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    open_window(page, address)
    for tab in ("Teach", "Lessons", "Versions", "Arena", "Export", "Chat"):
        page.evaluate(f"[...document.querySelectorAll('[role=tab]')].find(t => t.textContent.trim() === '{tab}')?.click()")
        page.wait_for_timeout(500)
        page.screenshot(path=OUTPUT / f"narrow-{width}-{tab.lower()}.png")
        assert page.evaluate("document.documentElement.scrollWidth") <= width + 1, tab


def test_it_can_be_installed_and_has_its_own_icon(page: Page, address: str) -> None:
    manifest = page.request.get(f"{address}/manifest.json")
    assert manifest.ok and manifest.json()["icons"]
