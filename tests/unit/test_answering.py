"""Answers in progress: one per conversation, stored whatever happens to the tab or the model."""

import threading
import time
from collections.abc import Iterator

import pytest

from app.answering import Answering
from qfcore.errors import ChatBusy, RuntimeFailure
from qfcore.runtime.protocol import Thought
from qfcore.runtime.thoughts import join_thoughts


def pieces_until(go: threading.Event):  # noqa: ANN201
    """A model that says one word, waits for `go` or stop, then says another."""

    def pieces(stop: threading.Event) -> Iterator[str]:
        yield "one"
        while not (go.is_set() or stop.is_set()):
            time.sleep(0.005)
        if not stop.is_set():
            yield " two"

    return pieces


def test_a_conversation_has_one_answer_at_a_time_and_others_are_free() -> None:
    answering, go, kept = Answering(), threading.Event(), []
    first = answering.begin(1, pieces_until(go), lambda text, _stats: kept.append(text))
    second = answering.begin(1, pieces_until(go), lambda text, _stats: kept.append(text))
    assert first is second
    with pytest.raises(ChatBusy, match="not finished"):
        answering.check_idle(1)
    answering.check_idle(2)
    go.set()
    first.ended.wait(5)
    assert kept == ["one two"]
    answering.check_idle(1)


def test_every_follower_sees_the_answer_grow_to_its_end() -> None:
    answering, go = Answering(), threading.Event()
    run = answering.begin(1, pieces_until(go), lambda _text, _stats: None)
    follower = run.follow()
    while not run.text:
        time.sleep(0.005)
    assert next(follower) == "one"
    go.set()
    assert list(follower) in ([], ["one two"])
    assert run.text == "one two" and list(run.follow()) == []


def test_stop_and_close_keep_what_was_said() -> None:
    for end in (lambda a: a.stop(1), lambda a: a.close()):
        answering, kept = Answering(), []
        run = answering.begin(1, pieces_until(threading.Event()), lambda text, _stats, kept=kept: kept.append(text))
        while not run.text:
            time.sleep(0.005)
        end(answering)
        assert run.ended.wait(5) and kept == ["one"]


def test_a_failure_reaches_every_follower_and_frees_the_conversation() -> None:
    def pieces(_stop: threading.Event) -> Iterator[str]:
        yield "half"
        raise RuntimeFailure("The model broke.")

    answering, kept = Answering(), []
    run = answering.begin(1, pieces, lambda text, _stats: kept.append(text))
    with pytest.raises(RuntimeFailure, match="broke"):
        list(run.follow())
    assert kept == ["half"]
    answering.check_idle(1)


def test_thoughts_are_followed_and_kept_with_their_answer() -> None:
    go, kept = threading.Event(), []

    def pieces(_stop: threading.Event) -> Iterator[str | Thought]:
        yield Thought("Hm")
        go.wait(5)
        yield "Qi."

    run = Answering().begin(1, pieces, lambda text, _stats: kept.append(text))
    assert next(run.follow()) == join_thoughts("Hm", "")
    go.set()
    assert run.ended.wait(5) and kept == [join_thoughts("Hm", "Qi.")] and run.text == "Qi."


@pytest.mark.parametrize("said", [(), ("one",)])  # in the queue behind teaching, or while it reads; and in its text
def test_a_stop_takes_effect_within_a_second(said: tuple[str, ...]) -> None:
    busy = threading.Event()

    def pieces(stop: threading.Event) -> Iterator[str]:
        yield from said
        (stop if said else busy).wait(10)  # a model that is busy with something else does not look

    answering, kept = Answering(), []
    run = answering.begin(1, pieces, lambda text, _stats: kept.append(text))
    while run.text != "".join(said):
        time.sleep(0.005)
    pressed = time.monotonic()
    answering.stop(1, wait=5)
    assert run.ended.is_set() and time.monotonic() - pressed < 1 and kept == list(said)
    busy.set()
