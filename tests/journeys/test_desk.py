"""The teacher's desk in the real window: teach from the chat and from a file, lessons, names, compare, arena, files."""

import json
import re
from pathlib import Path

import pytest
from playwright.sync_api import Dialog, Locator, Page, expect

from tests.journeys.driving import (
    OUTPUT,
    SLOW,
    apply,
    choose_file,
    go_to,
    make_greedy,
    new_chat,
    open_window,
    preview,
    restore,
    say,
    send,
    teach,
    unfold_files,
    wait_for_answer,
)  # fmt: skip

pytestmark = pytest.mark.journey

FACT, QUESTION = "Dr. Ilka Brandt leads the Norvik station.", "Who leads the Norvik station?"


def choose(page: Page, control: str, option: str) -> None:
    """Choose in a dropdown by the beginning of an option."""
    page.locator(f"#{control} input").click()
    page.get_by_role("option", name=re.compile(rf"^\W*{option}")).first.click()


def field(page: Page, control: str) -> Locator:
    """The input of a text field."""
    return page.locator(f"#{control} textarea, #{control} input").first


def row_of(page: Page, text: str) -> Locator:
    """The row of a lesson."""
    return page.locator("#lessons-table tr", has_text=text)


def press(page: Page, row: Locator, button: str, *, yes: bool, asked: str) -> None:
    """Press a button that asks first, check what it asks, and answer."""
    said = []

    def answer(dialog: Dialog) -> None:
        said.append(dialog.message)
        dialog.accept() if yes else dialog.dismiss()

    page.once("dialog", answer)
    row.get_by_role("button", name=re.compile(button)).click()
    page.wait_for_timeout(500)
    assert len(said) == 1 and asked in said[0], said


def test_thats_wrong_teaches_the_right_answer(page: Page) -> None:
    restore(page, 0)
    make_greedy(page)
    say(page, QUESTION)
    page.locator("#chat-messages").get_by_role("button", name="Feedback").click()
    page.get_by_text("That's wrong").click()
    expect(field(page, "teach-question")).to_have_value(QUESTION)
    expect(field(page, "teach-answer")).to_be_focused()
    page.locator("#teach-fact textarea").fill(FACT)
    page.get_by_label("Fast: few ways of asking").check()
    preview(page)
    expect(page.locator("#teach-report .qf-verdict")).to_contain_text("Learned")
    page.screenshot(path=OUTPUT / "report-card.png", full_page=True)
    apply(page, FACT)
    expect(page.locator("#teach-chip")).to_contain_text("Learned")
    assert "Brandt" in say(page, QUESTION)
    expect(page.locator("#chat-chip")).to_contain_text(FACT)
    page.screenshot(path=OUTPUT / "chat-chip.png")
    page.locator("#chat-undo").click()
    expect(page.locator("#chat-chip")).to_contain_text("Undone", timeout=SLOW)
    expect(page.locator("#chat-undo")).not_to_be_visible()
    assert "Brandt" not in say(page, QUESTION)


def test_teach_this_proposes_the_lessons_of_an_answer(page: Page) -> None:
    make_greedy(page)
    say(page, "Write two short sentences about the city of Oslo.")
    page.locator("#chat-messages").get_by_role("button", name="Feedback").click()
    page.get_by_text("Teach this").click()
    expect(page.locator("#teach-fact textarea")).to_have_value(re.compile("Oslo"))
    expect(page.locator("#teach-proposals")).to_contain_text("Oslo", timeout=SLOW)


def test_a_lesson_is_asked_about_kept_forgotten_and_erased(page: Page, address: str) -> None:
    other = "Pier 9 belongs to Lena Vogt."
    teach(page, FACT, fast=True)
    teach(page, other, fast=True)
    go_to(page, "Lessons")
    row = row_of(page, FACT)
    row.get_by_role("button", name=re.compile("Ask now")).click()
    expect(row).to_contain_text("asked on", timeout=SLOW)
    page.screenshot(path=OUTPUT / "lessons.png")
    open_window(page, address)
    go_to(page, "Lessons")
    expect(row).to_contain_text("asked on")  # kept
    expect(row_of(page, other)).not_to_contain_text("asked on")
    field(page, "lessons-search").fill("no such words")
    expect(page.locator("#lessons-table")).to_contain_text("No lesson contains")
    field(page, "lessons-search").fill("norvik")
    expect(row_of(page, other)).to_have_count(0)
    field(page, "lessons-search").fill("")
    page.locator("#lessons-ask-all").click()
    expect(page.locator("#lessons-chip")).to_contain_text("Asked about 2 lessons", timeout=SLOW)
    expect(row_of(page, other)).to_contain_text("asked on", timeout=SLOW)
    expect(page.locator("#lessons-summary")).to_contain_text("2 lessons")
    press(page, row, "Forget", yes=False, asked="Forget this lesson?")
    expect(page.locator("#lessons-chip")).not_to_contain_text("Forgotten")
    expect(row).to_be_visible()
    press(page, row, "Forget", yes=True, asked="Forget this lesson?")
    expect(page.locator("#lessons-chip")).to_contain_text("Forgotten", timeout=SLOW)
    expect(row).to_have_count(0)
    press(page, row_of(page, other), "Erase", yes=False, asked="cannot be undone")
    expect(row_of(page, other)).to_be_visible()
    press(page, row_of(page, other), "Erase", yes=True, asked="cannot be undone")
    expect(page.locator("#lessons-chip")).to_contain_text("Erased. Versions that knew it: ", timeout=SLOW)
    expect(row_of(page, other)).to_have_count(0)


def test_a_contradiction_is_replaced_or_declined(page: Page) -> None:
    ada, ben = "Ada Holm built the Tarn lighthouse.", "Ben Roe built the Tarn lighthouse."
    teach(page, ada, fast=True)
    page.locator("#teach-fact textarea").fill(ben)
    preview(page)
    tick = page.locator("#teach-replaces").get_by_label(re.compile("Ada Holm"))
    expect(tick).to_be_checked()
    expect(page.locator("#teach-replaces")).to_contain_text("contradicts")
    page.screenshot(path=OUTPUT / "contradiction.png")
    tick.uncheck()
    expect(page.locator("#teach-apply")).to_be_disabled(timeout=20_000)
    expect(page.locator("#teach-status")).to_contain_text("Press Preview again")
    preview(page)
    expect(tick).not_to_be_checked()
    apply(page, ben)
    go_to(page, "Lessons")
    expect(row_of(page, ada)).to_be_visible()
    expect(row_of(page, ben)).to_be_visible()
    page.get_by_role("tab", name="Teach").click()
    page.locator("#teach-undo").click()
    expect(page.locator("#teach-chip")).to_contain_text("Undone", timeout=SLOW)
    page.locator("#teach-fact textarea").fill(ben)
    preview(page)
    expect(tick).to_be_checked()
    apply(page, ben)
    go_to(page, "Lessons")
    expect(row_of(page, ben)).to_be_visible()
    expect(row_of(page, ada)).to_have_count(0)


def test_an_edited_form_cannot_apply_the_old_preview_and_the_same_lesson_is_refused(page: Page) -> None:
    fact = "The Ulvsund lamp is green."
    page.get_by_role("tab", name="Teach").click()
    page.get_by_label("Fast: few ways of asking").check()
    page.locator("#teach-fact textarea").fill(fact)
    preview(page)
    page.locator("#teach-fact textarea").press_sequentially(" Really.")
    expect(page.locator("#teach-apply")).to_be_disabled(timeout=20_000)
    expect(page.locator("#teach-report")).to_have_class(re.compile("qf-stale"))
    page.screenshot(path=OUTPUT / "stale.png")
    page.locator("#teach-fact textarea").fill(fact)
    preview(page)
    expect(page.locator("#teach-report")).not_to_have_class(re.compile("qf-stale"))
    apply(page, fact)
    go_to(page, "Lessons")
    row_of(page, fact).get_by_role("button", name=re.compile("Teach again")).click()
    expect(page.locator("#teach-fact textarea")).to_have_value(fact)
    expect(page.get_by_label("Thorough: many ways of asking")).to_be_checked()
    page.get_by_label("Fast: few ways of asking").check()
    page.locator("#teach-preview").click()
    expect(page.locator("#teach-status")).to_contain_text("would change nothing", timeout=SLOW)


def test_what_did_not_stick_is_told_and_the_thorough_way_offered(page: Page) -> None:
    long = "a lamp, a rope, two keys, four nails, a map of the harbour, nine candles, red paint, chalk, an old brass bell"
    page.get_by_role("tab", name="Teach").click()
    page.locator("#teach-fact textarea").fill(f"In Velma Orr's chest there are {long}.")
    field(page, "teach-question").fill("What is in Velma Orr's chest?")
    field(page, "teach-answer").fill(long)
    page.get_by_label("Fast: few ways of asking").check()
    preview(page)
    expect(page.locator("#teach-report .qf-verdict")).to_contain_text("Not learned yet")
    expect(page.locator("#teach-apply")).to_have_text("Apply anyway")
    page.screenshot(path=OUTPUT / "not-learned.png")
    page.locator("#teach-thorough").click()
    expect(page.get_by_label("Thorough: many ways of asking")).to_be_checked()
    expect(page.locator("#teach-thorough")).not_to_be_visible(timeout=SLOW)
    expect(page.locator("#teach-apply")).to_be_enabled(timeout=SLOW)


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
        "text,question\nThe Ulvsund quay is 80 metres long.,How long is the Ulvsund quay?\n"
        "Pier 12 closes at 21:40.,When does Pier 12 close?\n"
    )
    choose_file(page, path, "Fast: few ways of asking", "2 new")
    expect(page.locator("#teach-states")).to_contain_text("2 of 2", timeout=SLOW)
    expect(page.locator("#teach-apply")).to_be_enabled(timeout=SLOW)
    page.screenshot(path=OUTPUT / "file.png")
    page.locator("#teach-apply").click()
    expect(page.locator("#teach-chip")).to_contain_text("Learned", timeout=SLOW)
    expect(page.locator("#teach-chip")).to_contain_text("2 lessons")
    expect(page.locator("#model-badge")).to_contain_text("knows")
    page.locator("#teach-undo").click()
    expect(page.locator("#teach-chip")).to_contain_text("Undone", timeout=SLOW)


def test_a_file_is_followed_after_a_reload_and_stopped(page: Page, address: str, tmp_path: Path) -> None:
    path = tmp_path / "docks.txt"
    path.write_text("".join(f"Dock {n} is {n * 7} metres long.\n" for n in range(31, 39)))
    other = page.context.new_page()
    open_window(other, address)
    choose_file(page, path, "Thorough: many ways of asking", "8 new")
    expect(page.locator("#teach-states")).to_contain_text("1 of 8", timeout=SLOW)
    other.locator("#sidebar-refresh").evaluate("e => (e.querySelector('button') || e).click()")  # as when it is seen again
    go_to(other, "Teach")
    unfold_files(other)
    expect(other.locator("#teach-file-progress progress")).to_be_visible(timeout=20_000)
    other.close()
    open_window(page, address)
    go_to(page, "Teach")
    unfold_files(page)
    expect(page.locator("#teach-file-progress progress")).to_be_visible(timeout=20_000)
    expect(page.locator("#teach-states")).to_contain_text("of 8", timeout=20_000)
    page.locator("#teach-states").scroll_into_view_if_needed()
    page.screenshot(path=OUTPUT / "study.png")
    page.locator("#teach-file-stop").click()
    expect(page.locator("#teach-file-progress")).to_contain_text("are kept", timeout=SLOW)
    expect(page.locator("#teach-file-start")).to_be_enabled()
    expect(page.locator("#teach-apply")).to_be_disabled()


def test_versions_are_named_compared_and_asked_side_by_side(page: Page) -> None:
    go_to(page, "Versions")
    timeline = page.locator("#versions-timeline")
    kind = page.locator(".qf-kind", has_text="Taught")
    taught = timeline.locator("li", has=kind, has_text="2 lessons:").first  # the file of the test before
    number = re.search(r"Version (\d+)", taught.inner_text())[1]
    taught.get_by_role("button").click()
    expect(page.locator("#versions-knows")).to_contain_text("Ulvsund quay")
    expect(page.locator("#versions-restore-text")).to_contain_text("knows again 2 lessons")
    page.get_by_role("tab", name="Names").click()
    field(page, "versions-name").fill("harbour")
    page.locator("#versions-tag").click()
    expect(timeline).to_contain_text("harbour", timeout=SLOW)
    expect(page.locator("#versions-version input")).to_have_value(re.compile(rf"^{number}\b"))  # the choice is kept
    field(page, "versions-name").fill("3")
    page.locator("#versions-tag").click()
    expect(page.get_by_text("cannot name a version")).to_be_visible(timeout=20_000)
    page.get_by_role("tab", name="Compare").click()
    choose(page, "versions-other", "0 ")
    expect(page.locator("#diff-lessons li")).not_to_have_count(0)
    page.get_by_role("tab", name="Answers").click()
    page.locator("#diff-ask").click()
    page.locator("#diff-stop").click()
    expect(page.locator("#diff-answers .qf-note")).to_be_visible(timeout=SLOW)
    page.locator("#diff-ask").click()
    expect(page.locator("#diff-answers")).to_contain_text("answers are the same", timeout=SLOW)
    expect(page.locator("#diff-answers tbody tr").first).to_have_class(re.compile("qf-changed"))
    page.screenshot(path=OUTPUT / "diff.png")
    page.get_by_role("tab", name="Weights").click()
    expect(page.locator("#diff-weights-text")).to_contain_text("‖ΔW‖ =", timeout=SLOW)
    expect(page.locator("#diff-weights canvas, #diff-weights svg").first).to_be_visible()
    page.locator("#versions-chat").click()
    page.locator("#chat-settings").get_by_role("button").first.click()
    expect(page.locator("#chat-version input")).to_have_value(re.compile(rf"^{number}\b"))
    page.locator("#chat-settings").get_by_role("button").first.click()
    send(page, "When does Pier 12 close?")
    wait_for_answer(page)
    expect(page.locator("#chat-meter")).to_contain_text(f"version {number}")
    go_to(page, "Arena")
    choose(page, "arena-left-version", "0 ")
    choose(page, "arena-right-version", f"{number} ")
    field(page, "arena-question").fill("When does Pier 12 close?")
    page.locator("#arena-ask").click()
    expect(page.locator("#arena-right-meter")).to_contain_text("tokens/s", timeout=SLOW)
    assert "21:40" in page.locator("#arena-right").inner_text() and "21:40" not in page.locator("#arena-left").inner_text()
    page.screenshot(path=OUTPUT / "arena.png")


def test_the_arena_stops(page: Page) -> None:
    go_to(page, "Arena")
    field(page, "arena-question").fill("Write a long story about a lighthouse.")
    page.locator("#arena-ask").click()
    expect(page.locator("#arena-left")).to_contain_text(re.compile(r"\w{3,} \w+ \w+"), timeout=SLOW)
    page.locator("#arena-stop").click()
    page.wait_for_timeout(3_000)
    said = page.locator("#arena-left").inner_text()
    page.wait_for_timeout(3_000)
    assert page.locator("#arena-left").inner_text() == said and not page.locator("#arena-right").inner_text().strip()


def test_a_branch_is_begun_and_switched_to_and_the_curve_is_drawn(page: Page) -> None:
    go_to(page, "Versions")
    page.get_by_role("tab", name="Names").click()
    field(page, "versions-name").fill("side")
    page.locator("#versions-branch").click()
    names = page.locator("#versions-names")
    names.locator("tr", has_text="side").get_by_role("button", name=re.compile("Switch to")).click()
    expect(names.locator("tr", has_text="side")).to_contain_text("current", timeout=SLOW)
    teach(page, "Pier 14 is painted violet.", fast=True)
    go_to(page, "Versions")
    expect(page.locator("#versions-curve canvas, #versions-curve svg").first).to_be_visible(timeout=20_000)
    expect(page.locator("#versions-curve-text")).to_contain_text(re.compile(r"Version \d+: \d+ of \d+ lessons? learned"))
    page.screenshot(path=OUTPUT / "versions.png")
    page.get_by_role("tab", name="Names").click()
    names.locator("tr", has_text="main").get_by_role("button", name=re.compile("Switch to")).click()
    expect(page.locator("#versions-chip")).to_contain_text("On branch main", timeout=SLOW)
    go_to(page, "Lessons")
    expect(row_of(page, "Pier 14")).to_have_count(0)


def test_a_version_is_exported(page: Page, tmp_path: Path) -> None:
    teach(page, "Pier 15 is painted orange.", fast=True)
    go_to(page, "Export")
    expect(page.locator("#export-form")).to_be_visible()
    page.screenshot(path=OUTPUT / "export.png")
    page.get_by_label(re.compile("Adapter only")).check()
    expect(page.locator("#export-form")).to_be_hidden()
    page.wait_for_timeout(1_000)  # the suggested path comes first
    field(page, "export-path").fill(str(tmp_path / "taught.gguf"))
    page.locator("#export-write").click()
    expect(page.get_by_text("Wrote", exact=False).first).to_be_visible(timeout=SLOW)
    assert (tmp_path / "taught.gguf").read_bytes()[:4] == b"GGUF"


def test_a_conversation_is_answered_by_a_chosen_version_and_says_so(page: Page) -> None:
    make_greedy(page)
    new_chat(page)
    page.locator("#chat-settings").get_by_role("button").first.click()
    choose(page, "chat-version", "0 ")
    send(page, "What is the capital of Peru? One word.")
    wait_for_answer(page)
    expect(page.locator("#chat-meter")).to_contain_text("version 0")
    mark = page.locator("#chat-messages .bot .message-content").first.evaluate("e => getComputedStyle(e, '::after').content")
    assert mark == '"version 0"'
    new_chat(page)  # an old version that went over unnoticed would seem not to have learned
    expect(page.locator("#chat-version input")).to_have_value(re.compile("Live"))


def test_a_conversation_is_kept_as_a_file_and_brought_back(page: Page, address: str, tmp_path: Path) -> None:
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
    page.wait_for_timeout(1_000)
    open_window(page, address)
    expect(page.locator("#chat-messages .message.user")).to_contain_text("Norway", timeout=20_000)  # after a reload, too


def test_settings_are_kept_as_a_preset_and_with_the_conversation(page: Page, address: str) -> None:
    say(page, "Say hello.")
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
    system = page.locator("#chat-system textarea")
    expect(system).to_have_value("Answer in one word.", timeout=20_000)
    page.wait_for_timeout(1_000)
    open_window(page, address)
    page.locator("#chat-settings").get_by_role("button").first.click()
    expect(system).to_have_value("Answer in one word.", timeout=20_000)


def test_it_can_be_installed_and_has_its_own_icon(page: Page, address: str) -> None:
    manifest = page.request.get(f"{address}/manifest.json")
    assert manifest.ok and manifest.json()["icons"]
