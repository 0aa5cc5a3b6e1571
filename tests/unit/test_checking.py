"""Asking about many lessons again: which are asked about together, and what is kept when somebody stops or forgets."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from qfcore.checking import TOGETHER, parts_of
from qfcore.engine import Engine
from qfcore.errors import Cancelled
from qfcore.evaluate import MANY
from qfcore.lesson import check_lesson
from qfcore.recipe import RIDGE
from tests.scripted_engine import scripted_engine

LESSONS = [check_lesson(f"Otter {n} is called Momo {n}.", f"Who is otter {n}?") for n in range(TOGETHER)]


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    """Knows `TOGETHER` lessons, each with one question at least."""
    opened = scripted_engine(tmp_path)
    opened.apply(opened.teach_many(LESSONS, recipe=RIDGE)[0])
    yield opened
    opened.close()


def test_few_lessons_are_asked_about_one_by_one_and_many_together(engine: Engine) -> None:
    records = engine.store.lessons(engine.store.live())
    each = len(records[0].phrasings)
    assert [len(part) for part in parts_of(records[: (MANY - 1) // each])] == [1] * ((MANY - 1) // each)
    parts = parts_of(records)
    assert [record for part in parts for record in part] == records
    assert all(TOGETHER <= sum(len(record.phrasings) for record in part) < TOGETHER + each for part in parts[:-1])
    assert parts_of([]) == []


def test_what_was_said_until_a_stop_is_kept_and_what_is_forgotten_meanwhile_is_left_out(engine: Engine) -> None:
    runtime, ids = engine.runtime, [lesson.id for lesson in LESSONS]
    records = [engine.store.lesson(one) for one in ids]
    sizes = [len(part) for part in parts_of(records)]
    assert len(sizes) > 1
    told: list[float] = []
    asking = engine.check_many(records, lambda fraction, _: told.append(fraction), runtime.cancel)
    assert next(asking).asked_at
    engine.forget(ids[-1])
    assert len(list(asking)) == len(ids) - 2 and told[0] == 0 and told == sorted(told) and told[-1] < 1
    known = engine.standings()
    assert len(known) == len(ids) - 1 and all(standing.asked_at for standing in known.values())

    before = {key: standing.asked_at for key, standing in known.items()}
    asking = engine.check_many(records[:-1], cancel=runtime.cancel)
    next(asking)
    runtime.cancel.set()
    with pytest.raises(Cancelled):
        list(asking)
    again = {key for key, standing in engine.standings().items() if standing.asked_at != before[key]}
    assert again == set(ids[: sizes[0]])


def test_of_a_lesson_that_is_erased_while_it_is_asked_about_nothing_is_written(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask, records = engine.runtime.complete_each, [engine.store.lesson(lesson.id) for lesson in LESSONS]

    def erasing(*arguments: object, **more: object) -> list[list[int]]:
        monkeypatch.undo()
        said = ask(*arguments, **more)
        engine.erase(records[0].id)
        return said

    monkeypatch.setattr(engine.runtime, "complete_each", erasing)
    first, second, *_ = engine.check_many(records)
    assert not first.asked_at and second.asked_at and records[0].id not in engine.standings()
    assert engine.verify().ok
    everything = b"".join(path.read_bytes() for path in engine.store.folder.rglob("*") if path.is_file())
    assert LESSONS[1].question.encode() in everything and LESSONS[0].question.encode() not in everything
