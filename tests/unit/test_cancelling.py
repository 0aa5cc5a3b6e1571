"""Stopping a teaching at any moment leaves the live version as it was, and the same teaching goes well afterwards."""

import random
import threading
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from qfcore.engine import Engine
from qfcore.errors import Cancelled, LessonError
from qfcore.lesson import check_lesson
from qfcore.recipe import RIDGE
from qfcore.runtime.protocol import ModelFacts, Observed
from qfcore.settings import Paths
from qfcore.store.store import Store
from tests.conftest import IDENTITY, SOLVE, make_pending

INPUTS, OUTPUTS, VOCABULARY = 24, 8, 40


class ScriptedRuntime:
    """Computes nothing: its answers and what is seen in its layer depend on the words alone. Tokens are characters.

    stop_at: the call at which somebody presses Stop.
    """

    def __init__(self, folder: Path) -> None:
        self.facts = ModelFacts(folder / "none.gguf", "scripted", "llama", 2, OUTPUTS, VOCABULARY, 4096)
        self.calls, self.stop_at, self.cancel = 0, 0, threading.Event()

    def _step(self, cancel: threading.Event | None) -> None:
        self.calls += 1
        if self.calls == self.stop_at:
            self.cancel.set()
        if cancel is not None and cancel.is_set():
            raise Cancelled("Stopped. Nothing was changed.")

    def complete_many(
        self, conversations: Sequence, *, cancel: threading.Event | None = None, **_: object
    ) -> list[list[int]]:
        self._step(cancel)
        return [self.tokenize_answer(f"Otter, says {talk[-1]['content'].splitlines()[-1]}") for talk in conversations]

    def observe(self, scripts: Sequence, *, layer: int, adapter: Path | None = None) -> list[Observed]:
        self._step(None)
        return [_seen(str(script.messages), len(script.answer)) for script in scripts]

    def replay(self, _conversations: Sequence, *, cancel: threading.Event | None = None, **_: object) -> tuple:
        self._step(cancel)
        return np.random.default_rng(0).normal(size=(30, INPUTS)).astype(np.float32), np.arange(30) % 5 == 0

    def tokenize_answer(self, text: str) -> list[int]:
        return [*map(ord, text), 0]

    def detokenize(self, tokens: Sequence[int]) -> str:
        return "".join(chr(token) for token in tokens if token)

    def check_teachable(self, layer: int) -> None:
        """It can be taught."""

    def close(self) -> None:
        """Nothing is open."""


def _seen(text: str, count: int) -> Observed:
    draw = np.random.default_rng(sum(text.encode()))

    def values(width: int) -> np.ndarray:
        return draw.normal(size=(count, width)).astype(np.float32)

    return Observed(values(INPUTS), values(OUTPUTS), values(VOCABULARY))


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    paths = Paths(tmp_path)
    (tmp_path / "models").mkdir()
    opened = Engine(paths, ScriptedRuntime(tmp_path), Store.open(paths.stores, IDENTITY))
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
    other = Engine(Paths(tmp_path / "other"), ScriptedRuntime(tmp_path), Store.open(tmp_path / "other" / "stores", IDENTITY))
    wanted = other.apply(_preview(other)).content
    other.close()
    choose, stopped = random.Random(20261124), 0
    for _ in range(20):
        runtime.calls, runtime.stop_at, runtime.cancel = 0, choose.randint(1, total), threading.Event()
        before = engine.store.versions()
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
