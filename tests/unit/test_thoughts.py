"""Thoughts are told from the answer, however the text is cut into pieces."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app import words
from app.present.chat import chat_messages, first_shown, parts_of, position_of
from app.wishes import chat_drawn, first_drawn, stamp
from qfcore.runtime.protocol import Thought
from qfcore.runtime.template import ChatTemplate
from qfcore.runtime.thoughts import (
    HARMONY,
    KNOWN,
    THINK,
    Marks,
    ThoughtSplitter,
    join_thoughts,
    marks_in,
    split_thoughts,
    without_thoughts,
)
from qfcore.store.records import Message


def split(pieces: list[str], *, opened: bool = False, marks: Marks = THINK) -> tuple[str, str]:
    """(thoughts, answer) of a text in pieces."""
    splitter = ThoughtSplitter(marks, opened=opened)
    found = [part for piece in pieces for part in splitter.push(piece)] + list(splitter.finish())
    assert all(part.text if isinstance(part, Thought) else part for part in found), "no piece is empty"
    thoughts = "".join(part.text for part in found if isinstance(part, Thought))
    return thoughts, "".join(part for part in found if isinstance(part, str))


@pytest.mark.parametrize(
    ("text", "opened", "thoughts", "answer"),
    [
        ("<think>\nIt is Qi.\n</think>\n\nQi did.", False, "It is Qi.\n", "Qi did."),
        ("It is Qi.\n</think>\n\nQi did.", True, "It is Qi.\n", "Qi did."),
        ("<think>\n\n</think>\n\nQi did.", False, "", "Qi did."),
        ("\n<think>Hm</think>Qi", False, "Hm", "Qi"),
        ("  Qi did.\n", False, "", "  Qi did.\n"),
        ("In HTML, <think> is no tag and </think> neither.", False, "", "In HTML, <think> is no tag and </think> neither."),
        ("<think>cut off </thi", False, "cut off </thi", ""),
        ("cut off", True, "cut off", ""),
        ("a < b", True, "a < b", ""),
        ("<thin", False, "", "<thin"),
        (" ", False, "", " "),
        ("", True, "", ""),
        ("<think>a</think>b</think>c", False, "a", "b</think>c"),
    ],
)
def test_thoughts_stand_before_the_answer(text: str, opened: bool, thoughts: str, answer: str) -> None:
    assert split([text], opened=opened) == (thoughts, answer)
    assert split(list(text), opened=opened) == (thoughts, answer)


def test_other_makers_have_other_marks() -> None:
    assert [marks_in(text) for text in ("{{ '[THINK]' }}", "{{ '<channel|>' }}", "</think>", "think")] == [
        KNOWN[1], KNOWN[2], THINK, None
    ]  # fmt: skip
    for marks in KNOWN:
        text = f"{marks.open}\nHm.\n{marks.close}\nQi."
        splitter = ThoughtSplitter(marks, opened=False)
        found = [part for letter in text for part in splitter.push(letter)] + list(splitter.finish())
        assert "".join(part for part in found if isinstance(part, str)) == "Qi."
        assert split_thoughts(text, marks) == ("Hm.", "Qi.")


ANALYSIS, FINAL, NEXT = "<|channel|>analysis<|message|>", "<|channel|>final<|message|>", "<|end|><|start|>assistant"


@pytest.mark.parametrize(
    ("text", "opened", "thoughts", "answer"),
    [
        (f"{ANALYSIS}It is Qi.{NEXT}{FINAL}Qi did.", False, "It is Qi.", "Qi did."),
        (f"It is Qi.{NEXT}{FINAL}Qi did.", True, "It is Qi.", "Qi did."),
        (f"{ANALYSIS}Who?{NEXT}{ANALYSIS}Qi.{NEXT}{FINAL}Qi did.", False, "Who?\n\nQi.", "Qi did."),
        (f"{FINAL}Qi did.", False, "", "Qi did."), (f"{ANALYSIS}{NEXT}{FINAL}Qi did.", False, "", "Qi did."),
        (f"{ANALYSIS}cut off{NEXT}", False, f"cut off{NEXT}", ""), ("Qi did.", False, "", "Qi did."),
        (f"{ANALYSIS}Hm{NEXT}{FINAL}The mark is {ANALYSIS}.", False, "Hm", f"The mark is {ANALYSIS}."),
        ("<|channel|>", False, "", "<|channel|>"), ("<|channel|>x", False, "", "<|channel|>x"),
    ],
)
def test_the_channels_of_gpt_oss_are_told_apart_token_by_token(
    text: str, opened: bool, thoughts: str, answer: str
) -> None:
    tokens = re.findall(r"<\|\w+\|>|\w+|\W", text)  # as gpt-oss cuts it: each control token is one piece
    assert "".join(tokens) == text
    for pieces in ([text], tokens, list(text)):
        assert split(pieces, opened=opened, marks=HARMONY) == (thoughts, answer)


def test_gpt_oss_is_known_by_its_template_and_answers_at_once_when_told_to() -> None:
    source = (
        "{% for m in messages %}<|start|>{{ m.role }}{% if m.role == 'assistant' %}<|channel|>final{% endif %}<|message|>"
        "{{ m.content }}<|end|>{% endfor %}{# <|channel|>analysis<|message|> #}"
        "{% if add_generation_prompt %}<|start|>assistant{% endif %}"
    )
    template = ChatTemplate(source)
    assert template.marks == HARMONY and HARMONY.ending == HARMONY.close
    asked = [{"role": "user", "content": "Who?"}]
    assert template.render(asked).endswith("<|end|><|start|>assistant")
    template.begins_to_think = True  # what trying it shows
    assert template.render(asked).endswith(f"<|start|>assistant{FINAL}")
    assert template.render(asked, think=True).endswith("<|start|>assistant")


@given(st.text("<>/think \na", max_size=30), st.booleans(), st.data())
def test_where_a_text_is_cut_makes_no_difference(text: str, opened: bool, data: st.DataObject) -> None:
    text = data.draw(st.sampled_from(["", "<think>"])) + text + data.draw(st.sampled_from(["", "</think>\n\nYes"]))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=8)))
    pieces = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    assert split(pieces, opened=opened) == split([text], opened=opened)


@given(st.text("ab \n"), st.text("ab<think>").filter(lambda text: text == text.strip() and not text.startswith("<think>")))
def test_joined_thoughts_are_split_again(thoughts: str, answer: str) -> None:
    assert split_thoughts(join_thoughts(thoughts, answer)) == (thoughts.strip(), answer)


def test_a_model_does_not_read_what_it_thought_before() -> None:
    asked = {"role": "user", "content": "<think>mine</think> stays"}
    said = {"role": "assistant", "content": join_thoughts("Hm, Qi?", "Qi did.")}
    assert without_thoughts([asked, said, asked]) == [asked, {"role": "assistant", "content": "Qi did."}, asked]


def message(role: str, content: str) -> Message:
    return Message(1, 1, None, role, content, None, {}, "")


def test_thoughts_are_shown_on_their_own_and_positions_are_found_again() -> None:
    path = [
        message("system", "Be brief."), message("user", "Who?"), message("assistant", join_thoughts("Hm.", "Qi.")),
        message("user", "Sure?"), message("assistant", "Yes."),
    ]  # fmt: skip
    shown = chat_messages(path)
    assert [(m["role"], m["content"]) for m in shown] == [
        ("user", "Who?"), ("assistant", "Hm."), ("assistant", "Qi."), ("user", "Sure?"), ("assistant", "Yes."),
    ]  # fmt: skip
    assert shown[1]["metadata"] == {"title": words.THOUGHTS, "status": "done"}
    assert [position_of(path, index) for index in range(-1, 6)] == [None, 1, 2, 2, 3, 4, None]
    assert [position_of(path, index, 3) for index in range(-1, 3)] == [None, 3, 4, None]


def test_only_the_end_of_a_long_conversation_is_drawn_until_more_is_asked_for() -> None:
    path = [message("user", f"Number {number}") for number in range(305)]
    starts = [first_shown(path[:length]) for length in (0, 1, 60, 79, 80, 99, 100, 305)]
    assert starts == [0, 0, 0, 0, 20, 20, 40, 240]
    assert [first_shown(path, earlier) for earlier in (1, 2, 4, 5, 50)] == [180, 120, 0, 0, 0]
    index = next(i for i, m in enumerate(chat_messages(path[240:])) if m["content"] == "Number 250")
    assert position_of(path, index, 240) == 250
    drawn = stamp(7, path, 240, False, "ab" * 32)
    assert first_drawn(drawn) == 240 and chat_drawn(drawn, "ab" * 32) == 7
    assert chat_drawn(drawn, "cd" * 32) is None  # the same number of another model is another conversation
    assert chat_drawn(stamp(None, [], 0, False, "ab" * 32), "ab" * 32) is None
    for damaged in (None, "", "7:1:idle", "a:b:c:d:abababab", 7, "7" * 1000):
        assert first_drawn(damaged) == 0 and chat_drawn(damaged, "ab" * 32) is None


def test_thoughts_without_an_answer_say_so() -> None:
    parts = parts_of("assistant", join_thoughts("Hm", ""))
    assert [part["content"] for part in parts] == ["Hm", words.NO_ANSWER]


def test_a_growing_answer_shows_that_it_thinks() -> None:
    assert parts_of("assistant", "", growing=True) == [{"role": "assistant", "content": words.READING}]
    thinking = parts_of("assistant", join_thoughts("Hm", ""), growing=True)
    assert [part["metadata"]["status"] for part in thinking] == ["pending"]
    answering = parts_of("assistant", join_thoughts("Hm", "Q"), growing=True)
    assert answering[0]["metadata"]["status"] == "done" and answering[1]["content"] == "Q"
