"""Parts of the HTTP interface that need no model."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from app.api.openai import base_name
from app.api.schemas import ChatRequest
from app.api.stopping import StopText
from qfcore.runtime.protocol import Sampling


@given(st.text("ab<|>", max_size=40), st.lists(st.text("ab<|>", min_size=1, max_size=4), max_size=3), st.data())
def test_an_answer_ends_before_the_first_stop_however_it_is_cut(text: str, stops: list[str], data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=10)))
    pieces = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    stopper = StopText(stops)
    shown = "".join(stopper.push(piece) for piece in pieces) + stopper.finish()
    # The reference: the shortest prefix that holds a stop string, cut before the earliest one in it.
    ends = [text.index(stop) + len(stop) for stop in stops if stop in text]
    found = text[: min(ends)] if ends else text
    starts = [found.index(stop) for stop in stops if stop in found]
    if all(len(piece) == 1 for piece in pieces):  # letter by letter
        assert shown == found[: min(starts, default=None)]
    assert not any(stop in shown for stop in stops)
    assert text.startswith(shown) and stopper.found == bool(ends)


def test_null_counts_as_not_given() -> None:
    body = ChatRequest(
        model="m", messages=[{"role": "user", "content": "Hi"}], temperature=None, stop=None, tools=None, max_tokens=None
    )
    assert body.sampling() == Sampling() and body.stop == []


def test_greedy_asks_for_no_penalty() -> None:
    body = ChatRequest(model="m", messages=[{"role": "user", "content": "Hi"}], temperature=0, stop="x", seed=7)
    assert body.sampling().repeat_penalty == 1.0 and body.stop == ["x"] and body.sampling(9).max_tokens == 9


def test_pictures_are_refused() -> None:
    picture = {"type": "image_url", "image_url": {"url": "data:"}}
    with pytest.raises(ValidationError):
        ChatRequest(model="m", messages=[{"role": "user", "content": [picture]}])


def test_a_models_name_can_be_typed() -> None:
    assert base_name("Qwen2.5-Coder 1.5B Instruct (Q4_K_M)") == "qwen2.5-coder-1.5b-instruct-q4_k_m"


@pytest.mark.parametrize(
    ("more", "thinks"),
    [
        ({}, False), ({"reasoning_effort": "none"}, False), ({"reasoning_effort": "low"}, True),
        ({"chat_template_kwargs": {"enable_thinking": True}}, True), ({"chat_template_kwargs": {}}, False),
        ({"reasoning_effort": "high", "chat_template_kwargs": {}}, True), ({"reasoning_effort": None}, False),
        ({"reasoning_effort": "high", "chat_template_kwargs": {"enable_thinking": True}}, True),
    ],
)  # fmt: skip
def test_thinking_is_wished_in_openais_way_or_in_vllms(more: dict, thinks: bool) -> None:
    assert ChatRequest(model="m", messages=[{"role": "user", "content": "Hi"}], **more).thinks is thinks


def test_wishes_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(ValidationError, match="contradict"):
        ChatRequest(
            model="m", messages=[{"role": "user", "content": "Hi"}], reasoning_effort="high",
            chat_template_kwargs={"enable_thinking": False},
        )  # fmt: skip
