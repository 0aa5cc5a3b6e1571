"""A file that is being studied: followed by any tab, stopped, and never left hanging."""

import queue
import threading
from types import SimpleNamespace

import pytest

from app.studying import Study
from qfcore.bulk import LessonState
from qfcore.errors import Cancelled, RuntimeFailure
from qfcore.lesson import check_lesson

LESSONS = [check_lesson("A."), check_lesson("B."), check_lesson("A.")]


def test_tabs_follow_it_to_the_preview() -> None:
    study, go = Study(LESSONS, "fast"), threading.Event()
    state, made = LessonState(0, LESSONS[0], "observed"), SimpleNamespace()

    def work(tell, on_lesson, _cancel):  # noqa: ANN001, ANN202
        tell(0.5, "Lesson 1 of 2")
        on_lesson(state)
        go.wait(10)
        return made, [state]

    study.begin(work, lambda preview: 7 if preview is made else 0)
    seen = study.follow()
    next(seen)
    assert (study.of, study.fraction, study.states, study.running) == (2, 0.5, [state], True)
    go.set()
    assert list(seen) == [] and not study.running
    assert (study.number, study.preview, study.error) == (7, made, None)


def test_it_stops_when_told() -> None:
    study = Study(LESSONS, "fast")

    def work(_tell, _on_lesson, cancel):  # noqa: ANN001, ANN202
        assert cancel.wait(10)
        raise Cancelled("Stopped.")

    study.begin(work, lambda _: 0)
    study.stop(wait=10)
    assert not study.running and str(study.error) == "Stopped." and study.preview is None


@pytest.mark.parametrize("failure", [ValueError("odd"), MemoryError(), KeyError("x")])
def test_whatever_goes_wrong_ends_it_in_words(failure: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    study, shown = Study(LESSONS, "fast"), queue.Queue()
    monkeypatch.setattr(threading, "excepthook", lambda told: shown.put(told.exc_value))

    def work(*_: object):  # noqa: ANN202
        raise failure

    study.begin(work, lambda _: 0)
    assert list(study.follow()) == [] and not study.running
    assert isinstance(study.error, RuntimeFailure) and "Studying failed" in str(study.error)
    assert shown.get(timeout=10) is failure  # the terminal shows why
