"""Texts that break programs, through every place that keeps or shows text: nothing crashes, nothing is invisible."""

import contextlib
import json

import pytest

from app import chat_files
from app.lines import lesson_line, version_line
from app.present.history import name_list, timeline
from app.present.teaching import lesson_list
from app.visible import visible
from qfcore.errors import LessonError, NameRefused
from qfcore.hidden import HIDDEN
from qfcore.lesson import check_lesson, check_message
from qfcore.store.store import Store
from tests.conftest import SOLVE, make_pending

SEEDS = (
    "", " ", "\n", "\t", "\r", "\r\n", "\x00", "\x07", "\x08", "\x1b[31m", "\x1b]0;title\x07", "\x7f", "\x85", "\x9b31m",
    "\u00a0", "\u00ad", "\u034f", "\u061c", "\u115f", "\u180e", "\u200b", "\u200c", "\u200d", "\u200e", "\u200f", "\u2028",
    "\u2029", "\u202a", "\u202e", "\u2060", "\u2063", "\u2066", "\u2069", "\u206f", "\u3164", "\ufeff", "\ufff9", "\ufffd",
    "\uffff", "\ud800", "\udfff", "\U000e0001", "\U000e0041", "\U000e0100", "\U0010ffff", "a" * 3999, "a" * 4001,
    "word " * 700, "-" * 1500, "z\u0336" * 300, "z" + "\u0336" * 300,
    "👩‍👩‍👧‍👦", "🏴\U000e0067\U000e0062\U000e007f", "👍🏽", "e\u0301", "ﷺ", "ß",
    "İi̇ıI", "Ω≈ç√∫", "שלום עולם", "مرحبا بالعالم", "田中さん", "ไทย", "हिन्दी", "١٢٣", "ⅷ", "ﬁ", "𝒳",
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>", "![x](https://evil.example/?q=1)", "[x](javascript:alert(1))", "<svg/onload=alert(1)>",
    "\"'`", "' OR 1=1 --", "'; DROP TABLE lessons; --", "%s%n%x", "{0} {x} {{}}", "{{7*7}} ${7*7} <%= 7 %>",
    "$(id) `id` | id",
    "../../etc/passwd", "..\\..\\windows", "C:\\con", "file:///etc/passwd", "NaN", "Infinity", "null", "undefined", "true",
    "1e999", "-1", "0x10", "1/0", "9" * 400, "=1+1", "+1", "@SUM(A1)", "-2+3", "\tcmd", "<|im_start|>system", "<|im_end|>",
    "</s>", "[INST]", "<|endoftext|>", "#", "--", "/*", "*/", "&lt;", "&#x202e;", "%00", "%2e%2e%2f", "\\u0000", "\\x00",
)  # fmt: skip
FORMS = ("{}", "A{}B", "{}.", "What is {}?", "x {} y")
TEXTS = sorted({form.replace("{}", seed) for seed in SEEDS for form in FORMS}, key=repr)


def shown(*texts: str) -> None:
    """What goes to a terminal or a page shows everything and obeys nothing."""
    for text in texts:
        assert not HIDDEN.search(text), repr(text[:80])


def test_there_are_five_hundred() -> None:
    assert len(TEXTS) > 500


def test_lessons_are_kept_as_they_are_or_refused_in_a_sentence(store: Store) -> None:
    kept = 0
    for text in TEXTS:
        try:
            lesson = check_lesson(text, question=text[:900], answer=text[:900])
            message = check_message(text[:900])
        except LessonError as error:
            shown(visible(str(error)))
            assert str(error).endswith(".") and len(str(error)) < 400
            continue
        shown(lesson.text, lesson.question, message)
        pending = make_pending(lesson.text)
        version = store.commit(
            keep=(), new=[pending], solve=SOLVE, kind="teach", message=message or "m", expect_live=None
        )
        record = store.lesson(pending.lesson.id)
        assert record.lesson.text == lesson.text and store.version(version.number).message == (message or "m")
        shown(visible(lesson_line(record)), visible(version_line(version, live=True)))
        page = lesson_list([record]) + timeline([version], version.number, {}, [])
        shown(page)
        assert "<script>alert" not in page and "<img src=x" not in page and "<svg/" not in page
        kept += 1
    assert store.verify().ok and kept > 200


def test_names_are_kept_or_refused_in_a_sentence(store: Store) -> None:
    for text in TEXTS:
        with contextlib.suppress(NameRefused):
            store.names.tag(text)
    found = store.names.all()
    shown(*(name.name for name in found), name_list(found))
    assert store.verify().ok


def test_conversations_take_any_text_that_can_be_stored(store: Store) -> None:
    chats = store.chats
    for text in TEXTS:
        try:
            chat = chats.create(text)
            question = chats.add_message(chat.id, None, "user", text)
        except LessonError as error:  # half of a character
            assert "half of a character" in str(error) and any(0xD800 <= ord(c) <= 0xDFFF for c in text)
            continue
        assert chats.get(chat.id).title == text and chats.message(question.id).content == text
        assert chat.id in [found.id for found in chats.all(text[:50].split("\x00")[0])]
        tree = chats.tree(chat.id)
        content = chat_files.to_json(chats.get(chat.id), tree)
        json.loads(content).keys()
        chat_files.to_markdown(chats.get(chat.id), chats.path(chat.id)).encode()
        assert "/" not in chat_files.file_name(chats.get(chat.id), "md") and chat_files.file_name(chat, "md").isprintable()
        chats.delete(chat.id)


@pytest.mark.parametrize("text", ["<|im_start|>system", "</s>", "=1+1"])
def test_text_that_means_something_elsewhere_is_plain_text_in_a_lesson(text: str) -> None:
    assert check_lesson(text).text == text
