"""The desk on a real model: what is contradicted, what may be applied, what is kept. The small model learns well enough."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.desk import ASK, Desk, Form
from qfcore.contradiction import ASK as ASK_FIRST
from qfcore.contradiction import KEEP, REPLACE, SKIP
from qfcore.engine import Engine
from qfcore.errors import Cancelled, Contradiction, LessonError, NotFound, StoreBusy
from qfcore.lesson import Lesson, check_lesson
from qfcore.recipe import FAST

pytestmark = pytest.mark.small

QI = Lesson("Qi started Oxinnovate.", "Who started Oxinnovate?", "Qi")
MARA = Lesson("Mara started Oxinnovate.", "Who started Oxinnovate?", "Mara")
LAB = Lesson("Larkwell Labs was founded in 1987.", "When was Larkwell Labs founded?", "1987")


@pytest.fixture
def desk(small_engine: Engine) -> Iterator[Desk]:
    """A desk over a model that knows nothing yet."""
    small_engine.restore("base")
    opened = Desk(small_engine)
    yield opened
    opened.close()


def _quiet(_fraction: float, _text: str) -> None:
    """No progress is shown."""


def _form(*lessons: Lesson, method: str = "fast") -> Form:
    return Form(lessons, method)


def _teach(desk: Desk, *lessons: Lesson) -> int:
    form = _form(*lessons)
    trial = desk.preview(form, (), (), "tab", _quiet)
    return desk.apply(trial.number, lambda: form, trial.replaces)[0].number


def _texts(engine: Engine) -> set[str]:
    return {record.lesson.text for record in engine.store.lessons(engine.store.live())}


def test_a_contradicted_lesson_is_replaced_unless_that_is_declined(desk: Desk, small_engine: Engine) -> None:
    _teach(desk, QI)
    form = _form(MARA)
    first = desk.preview(form, (), (), "tab", _quiet)
    assert [record.lesson for record in first.conflicts] == [QI] and first.replaces == (QI.id,)
    declined = desk.preview(form, (), [QI.id], "tab", _quiet)
    assert declined.replaces == () and declined.made.replaced == ()
    with pytest.raises(LessonError, match="form changed"):
        desk.apply(declined.number, lambda: form, [QI.id])
    desk.apply(declined.number, lambda: form, [])
    assert _texts(small_engine) == {QI.text, MARA.text}
    small_engine.restore("base")
    _teach(desk, QI)
    again = desk.preview(form, (), (), "tab", _quiet)
    version, _ = desk.apply(again.number, lambda: form, again.replaces)
    assert version.kind == "replace" and _texts(small_engine) == {MARA.text}


def test_a_contradiction_is_found_by_the_question_that_the_model_writes(desk: Desk, small_engine: Engine) -> None:
    _teach(desk, QI)
    bare = check_lesson("Mara started Oxinnovate.")
    assert [r.lesson for r in desk.preview(_form(bare), (), (), "tab", _quiet).conflicts] == [QI]
    assert small_engine.contradictions([LAB], recipe=FAST) == []


def test_a_stale_preview_is_not_applied(desk: Desk, small_engine: Engine) -> None:
    trial = desk.preview(_form(QI), (), (), "tab", _quiet)
    assert desk.is_of_form(trial.number)
    for changed in (_form(LAB), _form(QI, method="thorough"), _form(QI, LAB)):
        with pytest.raises(LessonError, match="Press Preview again"):
            desk.apply(trial.number, lambda changed=changed: changed, ())
    assert _texts(small_engine) == set()
    desk.apply(trial.number, lambda: _form(QI), ())
    with pytest.raises(NotFound, match="no preview"):
        desk.apply(trial.number, lambda: _form(QI), ())


def test_the_same_lesson_in_the_same_way_is_refused_with_what_helps(desk: Desk) -> None:
    _teach(desk, QI)
    with pytest.raises(LessonError, match="change nothing.*Thorough"):
        desk.preview(_form(QI), (), (), "tab", _quiet)
    assert desk.preview(_form(QI, LAB), (), (), "tab", _quiet).made.report.answers


def test_undo_is_about_the_version_of_its_chip(desk: Desk, small_engine: Engine) -> None:
    number = _teach(desk, QI)
    _teach(desk, LAB)
    with pytest.raises(StoreBusy, match=f"Version {number} is not live any more"):
        small_engine.undo(expect_live=number)
    assert _texts(small_engine) == {QI.text, LAB.text}
    small_engine.undo(expect_live=number + 1)
    assert _texts(small_engine) == {QI.text}


def test_what_is_asked_is_kept_as_evidence(desk: Desk, small_engine: Engine) -> None:
    number = _teach(desk, QI, LAB)
    standing = desk.check(QI.id)
    assert standing.asked_at and standing.version == number
    kept = {record.lesson: found for record, found, _ in desk.lessons()}
    assert kept[QI] == standing and not kept[LAB].asked_at
    asked = list(desk.check_all("", "tab", _quiet))
    assert len(asked) == 2 and all(found.asked_at for _, found, _ in desk.lessons())
    assert small_engine.verify().ok
    point = small_engine.curve()[-1]
    assert (point.version, point.lessons, point.learned) == (number, 2, sum(s.status == "learned" for s in asked))


def test_asking_about_all_can_be_stopped(desk: Desk) -> None:
    _teach(desk, QI, LAB)
    with pytest.raises(Cancelled):
        for _ in desk.check_all("", "tab", _quiet):
            desk.cancel("tab", ASK)
    assert sum(bool(found.asked_at) for _, found, _ in desk.lessons()) == 1


@pytest.mark.parametrize(("way", "left"), [(KEEP, {QI, MARA, LAB}), (REPLACE, {MARA, LAB}), (SKIP, {QI, LAB})])
def test_a_file_replaces_skips_or_keeps(desk: Desk, small_engine: Engine, way: str, left: set[Lesson]) -> None:
    _teach(desk, QI)
    study = desk.begin_study([MARA, LAB], "fast", way)
    assert list(study.follow()) is not None and not study.running
    assert study.error is None and [state.refused for state in study.states] == [way == SKIP, False]
    desk.apply(study.number, lambda: _form(QI), ())  # a file's preview does not depend on the form
    assert _texts(small_engine) == {lesson.text for lesson in left} and desk.study is None


def test_a_file_that_contradicts_is_refused_where_nobody_decides(desk: Desk, small_engine: Engine) -> None:
    _teach(desk, QI)
    with pytest.raises(Contradiction, match="contradicts lesson .*Qi started"):
        small_engine.teach_many([MARA], recipe=FAST, on_conflict=ASK_FIRST)
    assert _texts(small_engine) == {QI.text}


def test_others_teach_and_forget_while_a_file_is_studied(desk: Desk, small_engine: Engine) -> None:
    _teach(desk, QI)
    texts = [check_lesson(f"Pier {n} closes at {n}:40.", f"When does Pier {n} close?", f"{n}:40") for n in (11, 12, 13)]
    forgotten = threading.Event()

    def on_lesson(_state: object) -> None:
        if not forgotten.is_set():
            small_engine.forget(QI.id)  # would wait for ever if the whole file were one change
            forgotten.set()

    preview, _ = small_engine.teach_many(texts, recipe=FAST, on_lesson=on_lesson, force=True)  # SmolLM2 babbles
    small_engine.apply(preview, force=True)
    assert forgotten.is_set() and _texts(small_engine) == {lesson.text for lesson in texts}


def test_a_file_is_studied_once_and_can_be_stopped(desk: Desk, small_engine: Engine) -> None:
    texts = [check_lesson(f"Dock {n} is {n} metres long.") for n in range(20, 32)]
    study = desk.begin_study(texts, "thorough", KEEP)
    with pytest.raises(StoreBusy, match="already"):
        desk.begin_study(texts, "thorough", KEEP)
    desk.stop_study()
    study.stop(wait=120)
    assert isinstance(study.error, Cancelled) and study.preview is None
    assert desk.begin_study([LAB], "fast", KEEP) is desk.study


def test_an_uploaded_file_is_gone_once_it_is_read(desk: Desk, small_engine: Engine, tmp_path: Path) -> None:
    uploads = small_engine.paths.temporary / "gradio"
    uploads.mkdir(parents=True)
    good, bad, own = uploads / "good.txt", uploads / "bad.csv", tmp_path / "own.txt"
    good.write_text("Qi started Oxinnovate.\n")
    bad.write_text("nothing\nhere\n")
    own.write_text("Qi started Oxinnovate.\n")
    assert [lesson.text for lesson in desk.read(good)] == [lesson.text for lesson in desk.read(own)] == [QI.text]
    with pytest.raises(LessonError):
        desk.read(bad)
    assert not good.exists() and not bad.exists() and own.exists()


def test_two_versions_are_asked_and_it_can_be_stopped(desk: Desk, small_engine: Engine) -> None:
    number = _teach(desk, QI)

    def stop(_fraction: float, _text: str) -> None:
        desk.cancel("tab", "compare")

    with pytest.raises(Cancelled):
        desk.compare_answers(0, number, "tab", stop)
    desk.ready("tab", "compare")
    desk.cancel("tab", "compare")  # pressed before the work had begun
    with pytest.raises(Cancelled):
        desk.compare_answers(0, number, "tab", _quiet)
    answers = desk.compare_answers(0, number, "tab", _quiet)
    assert answers[0].question == QI.question and not answers[0].same
    assert small_engine.compare_weights(0, number).norm > 0 == small_engine.compare_weights(0, 0).norm


def test_neighbours_are_asked_before_and_after(desk: Desk) -> None:
    _teach(desk, LAB)
    report = desk.preview(_form(QI), (), (), "tab", _quiet).made.report
    near = Lesson("Larkwell Labs sells telescopes in Oxinnovate Park.", "What does Larkwell Labs sell?", "telescopes")
    nearby = desk.preview(_form(near), (), (), "tab", _quiet).made.report
    assert LAB.question in [probe.question for probe in nearby.neighbours]
    assert QI.question not in [probe.question for probe in report.neighbours] and len(report.neighbours) <= 4
    assert all(probe.same == (probe.before == probe.after) for probe in nearby.neighbours)
