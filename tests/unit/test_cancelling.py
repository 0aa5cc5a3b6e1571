"""Stopping a teaching at any moment leaves the live version as it was, and the same teaching goes well afterwards."""

import random
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from qfcore.engine import Engine
from qfcore.errors import Cancelled, LessonError, NotFound, StoreBusy
from qfcore.lesson import check_lesson
from qfcore.recipe import RIDGE
from qfcore.store.store import Store
from tests.conftest import IDENTITY, SOLVE, make_pending
from tests.scripted_engine import scripted_engine


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    opened = scripted_engine(tmp_path)
    yield opened
    opened.close()


LESSON = check_lesson("The otter is called Momo.", "What is the otter called?")


def _preview(engine: Engine, cancel: threading.Event | None = None):  # noqa: ANN202
    return engine.preview([LESSON], recipe=RIDGE, cancel=cancel)


def test_stopped_at_random_moments_nothing_changes_and_the_next_try_is_the_same(engine: Engine, tmp_path: Path) -> None:
    runtime = engine.runtime
    _preview(engine)
    total = runtime.calls
    assert total > 8
    other = scripted_engine(tmp_path / "other")
    wanted = other.apply(_preview(other)).content
    other.close()
    choose, stopped = random.Random(20261124), 0
    for _ in range(20):
        runtime.calls, runtime.stop_at, runtime.cancel = 0, choose.randint(1, total), threading.Event()
        before = engine.store.versions()
        engine.teacher._observed.clear()  # each try studies the lesson anew
        try:
            _preview(engine, runtime.cancel)
        except Cancelled as error:
            stopped += 1
            assert "Nothing was changed" in str(error)
        assert engine.store.versions() == before and engine.store.lessons() == []
        assert engine.store.verify().ok
    runtime.stop_at = 0
    assert stopped > 10
    assert engine.apply(_preview(engine)).content == wanted


def test_many_lessons_stopped_between_go_on_where_they_were(engine: Engine) -> None:
    runtime = engine.runtime
    lessons = [check_lesson(f"Otter {n} is called Momo {n}.", f"Who is otter {n}?") for n in range(4)]
    choose = random.Random(20261124)
    for _ in range(8):
        runtime.calls, runtime.stop_at, runtime.cancel = 0, choose.randint(1, 30), threading.Event()
        try:
            engine.teach_many(lessons, recipe=RIDGE, cancel=runtime.cancel)
        except Cancelled:
            pass
        assert engine.store.live().number == 0 and engine.store.verify().ok
    runtime.stop_at = 0
    preview, states = engine.teach_many(lessons, recipe=RIDGE)
    assert len(engine.apply(preview).entries) == 4 and not any(state.refused for state in states)


def test_comparing_and_checking_can_be_stopped(engine: Engine) -> None:
    engine.apply(_preview(engine))
    stop = threading.Event()
    assert engine.compare("base", "live", cancel=stop).answers and engine.check("1", cancel=stop).asked
    stop.set()
    for attempt in (lambda: engine.compare("base", "live", cancel=stop), lambda: engine.check("1", cancel=stop)):
        with pytest.raises(Cancelled):
            attempt()


def test_who_forgets_need_not_wait_for_a_preview(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    engine.apply(engine.preview([check_lesson("The heron is called Ash.", "What is the heron called?")], recipe=RIDGE))
    at_work, go_on, made = threading.Event(), threading.Event(), []
    observe = engine.runtime.observe

    def slow(*arguments: object, **more: object):  # noqa: ANN202
        at_work.set()
        assert go_on.wait(20)
        return observe(*arguments, **more)

    monkeypatch.setattr(engine.runtime, "observe", slow)
    thread = threading.Thread(target=lambda: made.append(_preview(engine)))
    thread.start()
    assert at_work.wait(20)
    version = engine.forget("1")
    go_on.set()
    thread.join(20)
    assert engine.store.live() == version and version.entries == ()
    with pytest.raises(StoreBusy, match="changed meanwhile"):  # it was made of what was known then
        engine.apply(made[0])
    assert engine.apply(_preview(engine)).number == version.number + 1


def test_only_a_live_lesson_can_be_replaced(engine: Engine) -> None:
    engine.apply(engine.preview([check_lesson("The heron is called Ash.", "What is the heron called?")], recipe=RIDGE))
    engine.forget("1")
    with pytest.raises(NotFound, match="does not know lesson 1"):
        engine.preview([LESSON], replaces=["1"], recipe=RIDGE)


def test_nothing_to_teach_is_said(engine: Engine) -> None:
    with pytest.raises(LessonError, match="no lesson"):
        engine.teach_many([])


def test_undo_of_two_at_once_undoes_both(engine: Engine) -> None:
    for text in ("A.", "B.", "C."):
        live = engine.store.live()
        engine.store.commit(
            keep=live.entries, new=[make_pending(text, len(text))], solve=SOLVE, kind="teach", message=text, expect_live=None
        )
    threads = [threading.Thread(target=engine.undo) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    parents = [version.message for version in engine.store.versions()[:2]]
    assert parents[1] == "Undid version 3: C." and parents[0].startswith("Undid version 4")


def test_the_routing_of_many_versions_at_once(engine: Engine) -> None:
    versions = [
        engine.store.commit(
            keep=(), new=[make_pending(f"Fact {n}.", n)], solve=SOLVE, kind="teach", message="m", expect_live=None
        )
        for n in range(12)
    ]
    failed: list[BaseException] = []

    def ask() -> None:
        try:
            for _ in range(40):
                for version in versions:
                    assert engine.teacher.routing(version) is not None
        except BaseException as error:  # noqa: BLE001
            failed.append(error)

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []


def test_a_clock_that_goes_back_does_not_reorder_the_history(tmp_path: Path) -> None:
    now = datetime(2026, 11, 24, tzinfo=UTC)

    def clock() -> str:
        nonlocal now
        now -= timedelta(hours=7)
        return now.isoformat(timespec="milliseconds")

    store = Store.open(tmp_path / "s", IDENTITY, clock=clock)
    for text in ("A.", "B.", "C."):
        store.commit(
            keep=store.live().entries, new=[make_pending(text, len(text))], solve=SOLVE, kind="teach", message=text,
            expect_live=None,
        )  # fmt: skip
    assert [v.number for v in store.versions()] == [3, 2, 1, 0] and store.live().number == 3
    assert [r.lesson.text for r in store.lessons()] == ["A.", "B.", "C."]
    assert store.restore(1).number == 4 and store.verify().ok
    store.close()
