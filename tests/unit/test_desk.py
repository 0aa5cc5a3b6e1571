"""The teacher's desk over a scripted model: stopping, and previews that are kept."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from app.desk import TEACH, Desk, Form
from qfcore.contradiction import KEEP
from qfcore.errors import Cancelled, ExportError, LessonError, NotFound, StoreBusy
from qfcore.lesson import check_lesson
from tests.scripted_engine import scripted_engine


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    """A desk over an engine."""
    engine = scripted_engine(tmp_path / "home")
    yield Desk(engine)
    engine.close()


def _form(name: str) -> Form:
    return Form((check_lesson(f"The {name} is called Momo.", f"What is the {name} called?"),), "fast")


def test_a_stop_counts_for_work_that_was_asked_for_twice(desk: Desk) -> None:
    desk.ready("tab", TEACH)
    stopped = []

    def tell(*_: object) -> None:
        if not stopped:
            desk.ready("tab", TEACH)  # Preview is pressed again while the first one works
            desk.cancel("tab", TEACH)
            stopped.append(True)

    with pytest.raises(Cancelled):
        desk.preview(_form("otter"), (), (), "tab", tell)
    desk.ready("tab", TEACH)
    assert desk.preview(_form("otter"), (), (), "tab", lambda *_: None).made.report


def test_the_preview_of_a_file_is_kept_however_many_forms_are_previewed(desk: Desk) -> None:
    study = desk.begin_study(list(_form("heron").lessons), "fast", KEEP)
    for _ in study.follow():
        pass
    for number in range(9):
        last = desk.preview(_form(f"otter {number}"), (), (), "tab", lambda *_: None).number
    with pytest.raises(NotFound, match="no preview"):
        desk.apply(last - 8, lambda: _form("otter 0"), ())
    version, _ = desk.apply(study.number, lambda: Form((), "fast"), ())
    assert len(version.entries) == 1
    with pytest.raises(StoreBusy, match="Press Preview again"):
        desk.apply(last, lambda: _form("otter 8"), ())


def test_a_file_whose_preview_is_stale_says_what_to_press(desk: Desk) -> None:
    study = desk.begin_study(list(_form("heron").lessons), "fast", KEEP)
    for _ in study.follow():
        pass
    trial = desk.preview(_form("otter"), (), (), "tab", lambda *_: None)
    desk.apply(trial.number, lambda: _form("otter"), ())
    with pytest.raises(StoreBusy, match="Press Study these lessons again"):
        desk.apply(study.number, lambda: Form((), "fast"), ())


@pytest.mark.parametrize(
    ("path", "error"), [("~nobody-of-this-name/x.gguf", NotFound), ("x" * 300, ExportError), (" ", LessonError)]
)
def test_a_path_that_cannot_be_is_told(desk: Desk, path: str, error: type[Exception]) -> None:
    for kind in ("adapter", "bundle", "peft"):
        with pytest.raises(error):
            desk.export(kind, 0, path)
