"""No change goes live with which the model repeats itself: it is made smaller, or refused with a reason."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from qfcore.engine import Engine
from qfcore.errors import LessonError
from qfcore.evaluate import Loop
from qfcore.examine import something_else
from qfcore.export.adapter import read_adapter
from qfcore.lesson import Lesson, Phrasing, check_lesson
from qfcore.loops import loop_in, loops
from qfcore.recipe import FAST, RIDGE
from qfcore.store.records import PendingLesson
from tests.conftest import make_pending
from tests.scripted_engine import ScriptedRuntime, scripted_engine

MOMO = check_lesson("The otter is called Momo.", "What is the otter called?")
ALMA = check_lesson("The heron is called Alma.", "What is the heron called?")
LOOP = "Momo Momo Momo Momo Momo"


class _Babbling(ScriptedRuntime):
    """Repeats itself where an adapter's change is larger than `bearable`, and a question has the word."""

    word: str
    bearable: float

    def complete_many(self, conversations: Sequence, *, adapter: Path | None = None, **how: object) -> list[list[int]]:
        said = super().complete_many(conversations, **how)
        if adapter is None or read_adapter(adapter)[0].norm <= self.bearable:
            return said
        asked = [talk[-1]["content"] for talk in conversations]
        return [self.tokenize_answer(LOOP) if self.word in q else a for q, a in zip(asked, said, strict=True)]

    def complete_each(self, conversations: Sequence, adapters: Sequence, **how: object) -> list[list[int]]:
        pairs = zip(conversations, adapters, strict=True)
        return [self.complete_many([talk], adapter=adapter, **how)[0] for talk, adapter in pairs]


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    opened = scripted_engine(tmp_path)
    opened.recipe = FAST
    yield opened
    opened.close()


def _babbles(engine: Engine, share: float, word: str = "otter") -> None:
    """Let the engine's model bear a share of the otter's change, and babble with more."""
    norm = engine.teacher.learn([MOMO], FAST).change
    engine.runtime.__class__ = _Babbling
    engine.runtime.word, engine.runtime.bearable = word, share * norm


@pytest.mark.parametrize(
    "text",
    [
        "has 4744444444444444", "Some Some Some Some Some", "TheTheTheTheThe", "Le code du code du code du code",
        "!!!!!!!!!!!!!!",
        "It was first held in 1968. It was first held in 1968. It was", "前の前の前の前の前の前の前の前の",
    ],
)  # fmt: skip
def test_what_repeats_itself_is_seen_in_any_language(text: str) -> None:
    assert loop_in(text) and loops(text, "An answer.") and not loops(text, text)


@pytest.mark.parametrize(
    "text",
    [
        "", "ha ha ha!", "1,000,000,000 or 100000000", "| --- | --- | --- |\n| a | b | c |", "--------------------",
        "2, 4, 6, 8, 10, 12", "The bridge has 47 arches. The tower has 312 flats.", "Row, row, row your boat",
        "    if a:\n        if b:\n            return c",
    ],
)  # fmt: skip
def test_what_does_not_is_left_alone(text: str) -> None:
    assert not loop_in(text)


def test_something_else_is_asked_about_what_a_lesson_and_its_question_share() -> None:
    def asked(lesson: Lesson, question: str) -> list[str]:
        pending = make_pending(lesson.text)
        return something_else(PendingLesson(lesson, pending.rows, "", (Phrasing(question, ""),)))

    bridge = asked(check_lesson("The Halvery Bridge has 47 arches."), "How many arches does the Halvery Bridge have?")
    assert bridge[0] == "Tell me something else about The Halvery Bridge."
    assert asked(check_lesson("Answer in French."), "What is photosynthesis?") == []


def test_a_smaller_change_is_taken_where_the_whole_makes_the_model_repeat_itself(engine: Engine) -> None:
    _babbles(engine, 0.75)
    preview = engine.preview([MOMO])
    assert preview.report.softened == {MOMO.id: 0.7} and not preview.report.loops
    version = engine.apply(preview)
    assert engine.store.lesson(MOMO.id).evidence["strength"] == 0.7
    assert engine.knowledge.delta(version).norm < engine.runtime.bearable
    again = engine.preview([MOMO])  # the same lesson, the same bytes
    assert [p.entry for p in again.pending] == [p.entry for p in preview.pending]


def test_what_no_smaller_change_mends_is_refused_unless_forced(engine: Engine) -> None:
    _babbles(engine, 0.1)
    preview = engine.preview([MOMO])
    assert preview.report.broken == {MOMO.id} and LOOP in preview.report.loops[0].text
    with pytest.raises(LessonError, match="repeats itself.*Nothing was changed"):
        engine.apply(preview)
    assert engine.store.live().entries == ()
    assert engine.apply(preview, force=True).lesson_ids == (MOMO.id,)


def test_of_many_lessons_those_that_break_answers_are_left_out_with_the_reason(engine: Engine) -> None:
    _babbles(engine, 0.1)
    preview, states = engine.teach_many([MOMO, ALMA])
    assert [state.refused for state in states] == [True, False] and "repeats itself" in states[0].detail
    assert engine.apply(preview).lesson_ids == (ALMA.id,)
    with pytest.raises(LessonError, match="None of the 1 lessons"):
        engine.teach_many([MOMO])
    forced, states = engine.teach_many([MOMO], force=True)
    assert forced.report.loops and not states[0].refused


def test_a_preview_changes_no_scope_of_what_is_live(engine: Engine) -> None:
    engine.apply(engine.preview([MOMO]))
    routing = engine.teacher.routing(engine.store.live())
    before = [routing.in_scope(question) for question in ("What is the otter called?", "Which animal is called Momo?")]
    engine.preview([check_lesson(MOMO.text, MOMO.question)], recipe=RIDGE)
    assert [routing.in_scope(q) for q in ("What is the otter called?", "Which animal is called Momo?")] == before


def test_a_loop_says_what_was_asked_and_what_to_do() -> None:
    text = Loop("id", "Who?", "no " * 60).text
    assert "“Who?”" in text and "…" in text and "Word the lesson" in text
