"""Conversations as files and presets: what is kept comes back, what is foreign is refused in words."""

import json
from dataclasses import astuple
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app import chat_files
from app.chat_files import to_markdown
from app.presets import DEFAULT, Preset, Presets, preset_of, settings_of
from qfcore.errors import ChatFileError, LessonError, NotFound
from qfcore.runtime.thoughts import join_thoughts
from qfcore.store.records import Chat, Message
from qfcore.store.store import Store
from tests.soaking import examples


def test_a_conversation_with_branches_comes_back_whole(store: Store) -> None:
    chats = store.chats
    chat = chats.create("Trip: “Lisbon” / 2026")
    question = chats.add_message(chat.id, None, "user", "Where?")
    porto = chats.add_message(chat.id, question.id, "assistant", "Porto", version=0, stats={"stopped": True})
    chats.add_message(chat.id, question.id, "assistant", "Lisbon 🙂", version=3)
    chats.set_leaf(chat.id, porto.id)
    chats.keep_settings(chat.id, settings_of(3, "Be brief.", 0.0, 64, 0.9, 40, 1.1, 7, False))
    content = chat_files.to_json(chats.get(chat.id), chats.tree(chat.id))
    read = chat_files.from_json(content)
    back = chats.add_tree(read.title, read.messages, settings=read.settings, shown=read.shown)
    assert back.title == chat.title and back.id != chat.id
    shown = [(m.role, m.content, m.version) for m in chats.path(back.id)]
    assert shown == [("user", "Where?", None), ("assistant", "Porto", 0)]  # the branch that was shown
    assert [m.content for m in chats.siblings(chats.path(back.id)[1].id)] == ["Porto", "Lisbon 🙂"]
    assert back.settings == chats.get(chat.id).settings != {}
    assert [m.stats for m in chats.tree(back.id)] == [{}, {"stopped": True}, {}]
    assert chat_files.file_name(chat, "json") == "Trip-Lisbon-2026.json"


def test_markdown_shows_the_branch_with_its_versions(store: Store) -> None:
    chat = store.chats.create("Trip")
    question = store.chats.add_message(chat.id, None, "user", "Where?")
    store.chats.add_message(chat.id, question.id, "assistant", "Lisbon", version=3)
    text = chat_files.to_markdown(chat, store.chats.path(chat.id))
    assert text.startswith("# Trip\n") and "## You\n\nWhere?" in text and "## Model (version 3)\n\nLisbon" in text


def test_a_plain_list_of_messages_is_taken_too() -> None:
    read = chat_files.from_json('[{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]')
    assert (read.title, read.settings, read.shown) == ("Hi", {}, 1) and [m["parent"] for m in read.messages] == [None, 0]


@pytest.mark.parametrize(
    "given", [3, [], {"temperature": 9, "max_tokens": "many", "version": [], "system": None, "seed": -1}]
)
def test_settings_that_are_none_count_as_the_default(given: object) -> None:
    value = {"messages": [{"role": "user", "content": "Hi"}], "settings": given, "shown": 7}
    read = chat_files.from_json(json.dumps(value))
    assert read.settings in ({}, settings_of("live", *astuple(DEFAULT))) and read.shown == 0


@pytest.mark.parametrize(
    "content",
    [
        "", "{", "[]", "{}", "3", '"a"', "[1]", '[{"role": "tool", "content": "x"}]', '[{"role": "user", "content": 3}]',
        '[{"role": "user", "content": "a", "parent": 0}]', '[{"role": "user", "content": "a", "parent": -1}]',
        '[{"role": "user", "content": "\\ud800"}]', '{"title": 3, "messages": [{"role": "user", "content": "a"}]}',
        "[" * 100_000, '[{"role": "user", "content": "a"}, {"role": "user", "content": "b", "parent": true}]',
    ],
)  # fmt: skip
def test_what_is_no_conversation_is_refused_in_words(content: str) -> None:
    with pytest.raises(ChatFileError, match="expected|before it|half a character"):
        chat_files.from_json(content)


def test_a_long_conversation_comes_back_and_one_beyond_all_bounds_is_told_its_size(store: Store, tmp_path: Path) -> None:
    text = "An answer of two thousand characters, more or less. " * 40
    said = [{"role": role, "content": text, "parent": None, "version": None} for role in ("user", "assistant")] * 2_000
    messages = [{**m, "parent": n - 1 if n else None} for n, m in enumerate(said)]
    chat = store.chats.add_tree("Long", messages)
    content = chat_files.to_json(chat, store.chats.tree(chat.id))
    assert len(content) > 8_000_000
    assert [m["content"] for m in chat_files.from_json(content).messages] == [m["content"] for m in messages]
    big = tmp_path / "big.json"
    with big.open("wb") as file:
        file.truncate(chat_files.MAX_BYTES + (1 << 20))
    with pytest.raises(ChatFileError, match="33.0 MB; a conversation of up to 32 MB"):
        chat_files.read_file(big)
    many = json.dumps([{"role": "user", "content": "a"}] * (chat_files.MAX_MESSAGES + 1))
    with pytest.raises(ChatFileError, match="100,001 messages"):
        chat_files.from_json(many)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=4)
    | st.dictionaries(st.sampled_from(["role", "content", "parent", "messages", "title", "x"]), inner, max_size=5),
    max_leaves=12,
)


@settings(max_examples=examples(200), deadline=None)
@given(value=values)
def test_any_json_is_a_conversation_or_refused(value: object) -> None:
    try:
        messages = chat_files.from_json(json.dumps(value)).messages
    except ChatFileError:
        return
    assert messages and all(m["parent"] is None or m["parent"] < i for i, m in enumerate(messages))


def test_thoughts_are_quoted_before_their_answer() -> None:
    chat, said = Chat(1, "Who?", "2026-11-24T10:00", "", 1), join_thoughts("Hm.\nQi?", "Qi did.")
    written = to_markdown(chat, [Message(1, 1, None, "assistant", said, 2, {}, "")])
    assert "## Model (version 2)\n\n> Hm.\n> Qi?\n\nQi did.\n" in written and "<think>" not in written


def test_presets_are_kept_and_dropped(tmp_path: Path) -> None:
    presets = Presets(tmp_path / "presets.json")
    made = preset_of("Be brief.", 0.2, 100.0, 0.9, 10, 1.1, None, True)
    assert presets.all() == {} and presets.keep("  Short   answers ", made) == "Short answers"
    assert Presets(tmp_path / "presets.json").all() == {"Short answers": made}
    assert (made.sampling.max_tokens, made.sampling.temperature, made.sampling.seed) == (100, 0.2, None)
    presets.drop("Short answers")
    assert presets.all() == {}
    with pytest.raises(NotFound):
        presets.drop("Short answers")
    with pytest.raises(LessonError):
        presets.keep(" ", made)


def test_empty_controls_count_as_the_default() -> None:
    assert preset_of(*[None] * 8) == DEFAULT == Preset()


@pytest.mark.parametrize("content", ["", "[]", "{", '{"a": 3}', "\x00"])
def test_damaged_presets_count_as_none(tmp_path: Path, content: str) -> None:
    (tmp_path / "p.json").write_text(content)
    assert Presets(tmp_path / "p.json").all() == {}
