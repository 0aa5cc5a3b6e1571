"""Conversations in the window: branches, edits, long chats, stopping, going on; and what a tab is shown, and when."""

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import MagicMock

import gradio as gr
import pytest

from app import words
from app.events.chat import ChatEvents
from app.present.chat import chat_messages, chat_style, is_cut, last_stats, meter
from app.presets import Preset, from_settings, settings_of
from app.session import Fork, Session
from app.wishes import Wish
from qfcore.errors import ChatBusy
from qfcore.runtime.prompt import Prompts
from qfcore.runtime.protocol import Sampling
from qfcore.runtime.template import open_template
from qfcore.store.records import Message
from tests.scripted_chat import CONTEXT, ScriptedRuntime, scripted_engine

WORDS = ("one", "two", "three", "four")


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    """A session over a scripted model."""
    engine = scripted_engine(tmp_path / "home", WORDS)
    opened = Session(engine)
    yield opened
    engine.runtime.go.set()
    opened.answering.close()
    engine.store.close()


def runtime_of(session: Session) -> ScriptedRuntime:
    """The scripted runtime."""
    return session.engine.runtime


def ask(session: Session, chat_id: int | None, text: str, **more: object) -> int:
    """Say and wait for the answer."""
    chat_id = session.say(chat_id, text)
    assert session.answer(chat_id, **more).ended.wait(10)
    return chat_id


def said(session: Session, chat_id: int) -> list[str]:
    """Texts of the shown branch."""
    return [m.content.strip() for m in session.path(chat_id)]


def test_after_an_edit_the_old_question_and_its_answers_are_a_step_away(session: Session) -> None:
    chat_id = ask(session, None, "Peru?")
    session.back_to_question(chat_id)
    session.answer(chat_id).ended.wait(10)
    session.edit(chat_id, 0, "France?")
    session.answer(chat_id).ended.wait(10)
    assert session.forks(session.path(chat_id)) == [Fork(0, 2, 2)]
    session.turn(chat_id, -1)
    assert said(session, chat_id)[0] == "Peru?"
    assert session.forks(session.path(chat_id)) == [Fork(0, 1, 2), Fork(1, 2, 2)]
    session.turn(chat_id, -1)  # the last fork: the answers to Peru
    assert session.forks(session.path(chat_id)) == [Fork(0, 1, 2), Fork(1, 1, 2)]
    session.turn(chat_id, +1, 0)  # the first: the questions
    assert said(session, chat_id)[0] == "France?"
    session.turn(chat_id, +1, 0)  # there is no further one
    assert said(session, chat_id)[0] == "France?"


def test_an_edit_changes_the_message_that_was_shown_there(session: Session) -> None:
    chat_id = session.import_chat(
        '[{"role": "system", "content": "Be brief."}, {"role": "user", "content": "A?"},'
        ' {"role": "assistant", "content": "a"}, {"role": "user", "content": "B?"}]'
    )
    session.edit(chat_id, 2, "C?")
    assert said(session, chat_id) == ["Be brief.", "A?", "a", "C?"]
    session.edit(chat_id, 0, "D?")
    assert said(session, chat_id) == ["Be brief.", "D?"]
    assert session.question_and_answer(chat_id, 0) == ("D?", "D?")


def test_that_an_answer_was_stopped_is_shown_but_not_said_to_the_model(session: Session) -> None:
    runtime_of(session).words = ["word"] * 1_000_000
    chat_id = session.say(None, "Count.")
    run = session.answer(chat_id, sampling=Sampling(max_tokens=1_000_000))
    while not run.text:
        time.sleep(0.005)
    session.answering.stop(chat_id, wait=10)
    assert run.ended.is_set()
    runtime_of(session).words = list(WORDS)
    assert chat_messages(session.path(chat_id))[-1]["content"].endswith(words.STOPPED)
    assert words.STOPPED not in session.path(chat_id)[-1].content
    old = session.import_chat(  # as earlier programs stored it
        json.dumps([{"role": "user", "content": "A?"}, {"role": "assistant", "content": "a" + words.STOPPED}])
    )
    assert chat_messages(session.path(old))[-1]["content"] == "a" + words.STOPPED
    runtime_of(session).go.set()
    ask(session, old, "B?")
    assert [m["content"] for m in runtime_of(session).seen[-1]] == ["A?", "a", "B?"]


def test_a_stop_ends_an_answer_that_stands_in_the_queue(session: Session) -> None:
    with runtime_of(session).busy:  # teaching
        chat_id = session.say(None, "Count.")
        run = session.answer(chat_id)
        started = time.monotonic()
        session.answering.stop(chat_id, wait=10)
        assert run.ended.is_set() and time.monotonic() - started < 2
        assert said(session, chat_id) == ["Count."]
    assert session.answer(chat_id).ended.wait(10)  # answered again
    assert said(session, chat_id) == ["Count.", "one two three four"]


def test_a_long_conversation_drops_its_oldest_turns_and_says_so(session: Session) -> None:
    chat_id = None
    for number in range(30):
        chat_id = ask(session, chat_id, f"Question {number}. " + "word " * 60, system="Be brief.")
    starts = []
    for seen in runtime_of(session).seen:
        assert seen[0]["role"] == "system" and seen[1]["role"] == "user"
        assert runtime_of(session).count_tokens(seen) <= CONTEXT
        starts.append(int(seen[1]["content"].split()[1].rstrip(".")))
    assert starts == sorted(starts) and starts[-1] > 15
    assert len(set(starts)) < 6  # the beginning stays for several turns, so that what was computed is used again
    unread = last_stats(session.path(chat_id))["unread"]
    assert unread == 2 * starts[-1] and f"{unread} earlier messages are not read" in meter(last_stats(session.path(chat_id)))


def test_the_last_question_is_asked_alone_when_nothing_else_fits(session: Session) -> None:
    chat_id = ask(session, None, "word " * 400)
    ask(session, chat_id, "word " * 700)
    assert len(runtime_of(session).seen[-1]) == 1
    chat_id = session.say(chat_id, "word " * 2000)
    run = session.answer(chat_id)
    assert run.ended.wait(10) and "do not fit" in str(run.error)


def test_a_cut_answer_goes_on_and_the_short_one_is_kept(session: Session) -> None:
    chat_id = ask(session, None, "Count.", sampling=Sampling(max_tokens=2))
    assert is_cut(session.path(chat_id)) and words.CUT in meter(last_stats(session.path(chat_id)))
    session.go_on(chat_id, sampling=Sampling(max_tokens=9)).ended.wait(10)
    assert runtime_of(session).seen[-1][-1] == {"role": "assistant", "content": "one two "}
    assert said(session, chat_id) == ["Count.", "one two one two three four"]
    assert session.forks(session.path(chat_id)) == [Fork(1, 2, 2)]
    assert session.go_on(chat_id) is None


def test_an_answer_that_is_stopped_before_a_word_leaves_the_old_one_shown(session: Session) -> None:
    chat_id = ask(session, None, "Count.")
    with runtime_of(session).busy:  # teaching
        session.back_to_question(chat_id)
        session.answer(chat_id)
        session.answering.stop(chat_id, wait=10)
    assert said(session, chat_id) == ["Count.", "one two three four"] and session.forks(session.path(chat_id)) == []


def test_going_on_without_a_word_stores_nothing(session: Session) -> None:
    chat_id = ask(session, None, "Count.", sampling=Sampling(max_tokens=2))
    before = session.path(chat_id)
    with runtime_of(session).busy:
        session.go_on(chat_id)
        session.answering.stop(chat_id, wait=10)
    assert session.path(chat_id) == before and is_cut(session.path(chat_id))
    assert len(session.engine.store.chats.tree(chat_id)) == 2


def test_an_answer_is_marked_with_its_version_where_messages_share_a_row(session: Session) -> None:
    chat_id = session.say(None, "A?")
    session.engine.store.chats.add_message(chat_id, session.path(chat_id)[-1].id, "user", "B?")
    session.answer(chat_id).ended.wait(10)
    assert ":nth-child(2 of .message-row)" in chat_style(session.path(chat_id))


def test_search_finds_words_in_any_case_of_any_alphabet(session: Session) -> None:
    session.say(None, "Wo liegt ÄHTÄRI?")
    session.say(None, "100% sure_thing")
    chats = session.engine.store.chats
    assert len(chats.all("ähtäri")) == len(chats.all("WO LIEGT")) == len(chats.all("0% sure_")) == 1
    assert chats.all("0%sure") == [] and len(chats.all("")) == 2


def test_settings_are_kept_with_the_conversation_and_damaged_ones_are_defaults(session: Session) -> None:
    chats, chat_id = session.engine.store.chats, session.say(None, "A?")
    kept = settings_of(3, "Be brief.", 0.2, 100, 0.9, 10, 1.1, 7, True)
    chats.keep_settings(chat_id, kept)
    assert from_settings(chats.get(chat_id).settings) == (3, Preset("Be brief.", 0.2, 100, 0.9, 10, 1.1, 7, True))
    assert from_settings({}) == ("live", Preset())
    damaged = {"version": None, "system": 3, "temperature": "hot", "top_k": True, "think": 1}
    assert from_settings(damaged) == ("live", Preset())


# -- what a tab is shown ----------------------------------------------------------------------------------------


@pytest.fixture
def events(session: Session) -> ChatEvents:
    """The handlers, over controls that are not drawn."""
    chat = MagicMock()
    chat.settings.values = list(range(8))
    return ChatEvents(session, gr.State(None), MagicMock(), chat, MagicMock())


def tab(name: str) -> gr.Request:
    """A request of a browser tab."""
    return SimpleNamespace(session_hash=name)


def part(events: ChatEvents, view: tuple, name: str) -> object:
    """What a view draws into one component of the chat."""
    return view[events.outputs.index(getattr(events._chat, name))]


def shown(view: tuple) -> list[str] | None:
    """Texts of the messages that a view draws; None when it leaves them alone."""
    return None if isinstance(view[1], dict) else [m["content"] for m in view[1]]


def test_no_generator_ends_without_a_value_or_with_a_view(
    events: ChatEvents, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Gradio draws None into every output of a generator that yields nothing: an empty page."""
    monkeypatch.setattr(gr, "Warning", lambda *_arguments, **_more: None)
    values = [None] * 8
    for chosen in (None, 1, 999):
        for stream in (
            events.follow(chosen, "", tab("a")), events.answer(tab("a"), chosen, "", None, *values),
            events.go_on(tab("a"), chosen, "", None, *values), events.resume("", tab("a")),
        ):  # fmt: skip
            assert shown(list(stream)[-1]) is None
    chat_id = ask(session, None, "A?")
    events.show(chat_id, "", tab("a"))
    views = list(events.follow(chat_id, "", tab("a")))  # the answer ended before it could be followed
    assert shown(views[0])[-1].startswith("one") and shown(views[-1]) is None


def test_a_late_view_of_an_older_wish_draws_nothing(
    events: ChatEvents, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    chat_id = ask(session, None, "A?")
    slow, go = threading.Event(), threading.Event()
    real = ChatEvents._view

    def view(self: ChatEvents, wish: Wish, *arguments: object, **more: object) -> tuple:
        drawn = real(self, wish, *arguments, **more)
        if wish.chosen is None:  # New chat takes its time
            slow.set()
            go.wait(10)
        return drawn

    monkeypatch.setattr(ChatEvents, "_view", view)
    late: list[tuple] = []
    thread = threading.Thread(target=lambda: late.append(events.new("", tab("a"))))
    thread.start()
    slow.wait(10)
    assert shown(events.show(chat_id, "", tab("a")))[0] == "A?"
    go.set()
    thread.join(10)
    assert shown(late[0]) is None


def test_what_follows_an_answer_lets_go_before_another_conversation_is_drawn(events: ChatEvents, session: Session) -> None:
    runtime_of(session).go.clear()
    chat_id = session.say(None, "Count.")
    events.show(chat_id, "", tab("a"))
    drawn: list[object] = []

    def draw() -> None:
        for view in events.answer(tab("a"), chat_id, "", "live", *[None] * 8):
            drawn.append(shown(view))

    thread = threading.Thread(target=draw)
    thread.start()
    while not drawn:
        time.sleep(0.005)
    events.new("", tab("a"))
    count = len(drawn)
    runtime_of(session).go.set()
    thread.join(10)
    assert len(drawn) == count and drawn[-1] is None
    assert session.answering.run(chat_id) is None or session.answering.run(chat_id).ended.wait(10)


def test_a_page_that_was_open_before_this_start_goes_on_with_what_it_shows(events: ChatEvents, session: Session) -> None:
    chat_id = ask(session, None, "A?")
    drawn = part(events, events.show(chat_id, "", tab("before")), "drawn")
    assert type(events.look(drawn, tab("a"))) is int
    assert next(events.resume("", tab("a")))[0] == chat_id
    assert isinstance(events.look(drawn, tab("a")), dict)
    of_another_model = drawn.rpartition(":")[0] + ":00000000"
    assert type(events.look(of_another_model, tab("b"))) is int
    assert next(events.resume("", tab("b")))[0] is None


def test_the_page_is_put_right_when_it_shows_something_else(events: ChatEvents, session: Session) -> None:
    chat_id = ask(session, None, "A?")
    drawn = part(events, events.show(chat_id, "", tab("a")), "drawn")
    assert isinstance(events.look(drawn, tab("a")), dict)  # as it should be: nothing is done
    assert isinstance(events.look(None, tab("unknown")), dict)  # it was not drawn yet
    assert isinstance(events.look("::idle", tab("a")), int)
    assert shown(next(events.resume("", tab("a"))))[0] == "A?"
    session.say(chat_id, "asked in another tab")
    assert isinstance(events.look(drawn, tab("a")), int)
    assert shown(next(events.resume("", tab("a"))))[-1] == "asked in another tab"
    session.delete(chat_id)
    assert isinstance(events.look(drawn, tab("a")), int)
    assert shown(next(events.resume("", tab("a")))) == []


def test_two_tabs_follow_one_answer(events: ChatEvents, session: Session) -> None:
    runtime_of(session).go.clear()
    chat_id = session.say(None, "Count.")
    session.answer(chat_id)
    ends: dict[str, object] = {}
    for name in ("a", "b"):
        events.show(chat_id, "", tab(name))

    def follow(name: str) -> None:
        ends[name] = [shown(view) for view in events.follow(chat_id, "", tab(name))]

    threads = [threading.Thread(target=follow, args=(name,)) for name in "ab"]
    for thread in threads:
        thread.start()
    time.sleep(0.3)
    with pytest.raises(ChatBusy):
        session.say(chat_id, "another")
    runtime_of(session).go.set()
    for thread in threads:
        thread.join(10)
    for name in "ab":
        assert ends[name][-2] == ["Count.", "one two three four "] and ends[name][-1] is None


def test_a_failed_answer_leaves_a_button_to_answer_again(
    events: ChatEvents, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = []
    monkeypatch.setattr(gr, "Warning", lambda text, **_more: told.append(text))
    chat_id = session.say(None, "word " * 2000)
    events.show(chat_id, "", tab("a"))
    views = list(events.answer(tab("a"), chat_id, "", "live", *[None] * 8))
    style = part(events, views[-2], "style")
    assert "do not fit" in told[0] and "#chat-again" not in style and "#chat-continue" in style


def test_controls_are_offered_when_they_have_something_to_do() -> None:
    asked = Message(1, 1, None, "user", "A?", None, {}, "")
    cut = Message(2, 1, 1, "assistant", "one", 0, {"cut": True}, "")

    def offered(*path: Message, **state: object) -> set[str]:
        hidden = chat_style(list(path), **state).removeprefix("<style>").split("{")[0].split(",")
        return {
            "#chat-box .submit-button", "#chat-box .stop-button", "#chat-again", "#chat-continue", "#chat-earlier",
            "#chat-branches", "#branch-fork",
        } - set(hidden)  # fmt: skip

    assert offered() == {"#chat-box .submit-button"}
    assert offered(asked) == {"#chat-box .submit-button", "#chat-again"}
    assert offered(asked, asked=True) == {"#chat-box .submit-button"}
    assert offered(asked, busy=True, forks=2) == {"#chat-box .stop-button", "#branch-fork"}
    assert offered(asked, cut, forks=1) == {"#chat-box .submit-button", "#chat-continue", "#chat-branches"}
    assert offered(asked, cut, earlier=True) == {"#chat-box .submit-button", "#chat-continue", "#chat-earlier"}


def test_an_answer_that_goes_on_is_read_as_the_models_own_words() -> None:
    model = MagicMock()
    model.special_texts.return_value = ["<|im_end|>"]
    model.tokenize.side_effect = lambda text, **how: [(text, how["parse_special"])]
    prompts = Prompts.__new__(Prompts)
    prompts._model, prompts._template, prompts._bos, prompts.thinks = model, open_template(None), "", False
    question = [{"role": "user", "content": "Count."}]
    tokens, _ = prompts.chat(question, think=False)
    going_on, splitter = prompts.chat([*question, {"role": "assistant", "content": "one <|im_end|> two"}], think=False)
    assert going_on == [*tokens, ("one <|im_end|> two", False)] and splitter is None
