"""The bytes of knowledge: a function of the set of lessons, whatever its history, and of the subset in scope."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import gguf
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qfcore.errors import LessonError
from qfcore.knowledge import Knowledge
from qfcore.lesson import Lesson
from qfcore.models.norms import down_norm
from qfcore.recipe import FAST, PAPER, RIDGE
from qfcore.replay import Replay
from qfcore.routing import Routing
from qfcore.rows import Rows
from qfcore.scope import Scope
from qfcore.store.records import PendingLesson
from qfcore.store.store import Store
from qfcore.teach import check_together
from tests.conftest import IDENTITY, make_rows
from tests.soaking import examples

TEXTS = tuple(f"Fact {letter}." for letter in "ABCDE")


def _replay() -> Replay:
    keys = np.random.default_rng(0).normal(size=(30, 24)).astype(np.float32)
    return Replay(keys, np.arange(30) % 5 == 0, "digest")


def _pending(text: str, answer: str = "") -> PendingLesson:
    return PendingLesson(Lesson(text, "Q?", answer), make_rows(sum((text + answer).encode())), RIDGE.rows_key)


class _Home:
    """A store and its knowledge, as the engine holds them."""

    def __init__(self, folder: Path) -> None:
        self.store = Store.open(folder, IDENTITY)
        self.knowledge = Knowledge(self.store, "llama", _replay)
        self.settings = self.knowledge.solve_settings(RIDGE)

    def commit(self, keep: Sequence[tuple[str, str]], *new: PendingLesson) -> None:
        self.store.commit(keep=keep, new=new, solve=self.settings, kind="teach", message="m", expect_live=None)

    def teach(self, *lessons: PendingLesson) -> None:
        gone = {p.lesson.id for p in lessons}
        self.commit([e for e in self.store.live().entries if e[0] not in gone], *lessons)

    def bytes(self) -> bytes:
        path = self.knowledge.adapter(self.store.live())
        if path is None:
            return b""
        data = path.read_bytes()
        path.unlink()  # a cache: the next one is solved again
        return data


def test_lessons_of_another_method_or_layer_are_not_mixed(tmp_path: Path) -> None:
    home = _Home(tmp_path)
    home.teach(_pending(TEXTS[0]), _pending(TEXTS[1]))
    live = home.store.live()
    check_together(live, live.entries, RIDGE)
    check_together(live, live.entries, FAST)
    check_together(live, (), PAPER)  # nothing is kept
    with pytest.raises(LessonError, match="knows 2 lessons taught with the method thorough or fast at layer -1; paper"):
        check_together(live, live.entries, PAPER)
    with pytest.raises(LessonError, match="at layer -1; thorough or fast, at layer -2"):
        check_together(live, live.entries, replace(RIDGE, layer=-2))
    home.store.close()


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("teach"), st.sets(st.integers(0, 4), min_size=1)),
        st.tuples(st.just("forget"), st.integers(0, 4)),
        st.tuples(st.just("replace"), st.integers(0, 4)),
        st.tuples(st.just("restore"), st.integers(0, 10)),
    ),
    max_size=8,
)


@settings(max_examples=examples(40), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(history=STEPS)
def test_any_history_that_ends_in_the_same_set_gives_the_same_bytes(history: list, tmp_path_factory) -> None:  # noqa: ANN001
    home, known = _Home(tmp_path_factory.mktemp("long")), [frozenset()]
    current: frozenset[tuple[str, str]] = frozenset()
    for kind, what in history:
        if kind == "teach":
            added = {(TEXTS[i], "") for i in what}
            home.teach(*(_pending(text) for text, _ in sorted(added)))
            current |= added
        elif kind == "restore":
            number = what % len(known)
            home.store.restore(number)
            current = known[number]
        else:  # forget a lesson; a replaced one comes back with another answer
            text = TEXTS[what]
            gone = {_pending(t, a).lesson.id for t, a in current if t == text}
            new = [_pending(text, "other")] if kind == "replace" else []
            home.commit([e for e in home.store.live().entries if e[0] not in gone], *new)
            current = frozenset((t, a) for t, a in current if t != text) | {(text, "other") for _ in new}
        known.append(current)
    direct = _Home(tmp_path_factory.mktemp("direct"))
    if current:
        direct.teach(*(_pending(text, answer) for text, answer in sorted(current, reverse=True)))
    assert home.bytes() == direct.bytes()
    assert bool(current) == bool(direct.store.live().entries)
    home.store.close()
    direct.store.close()


@pytest.fixture
def home(tmp_path: Path):
    opened = _Home(tmp_path)
    opened.teach(*(_pending(text) for text in TEXTS))
    yield opened
    opened.store.close()


def test_a_question_gets_the_weights_of_the_lessons_it_mentions(home: _Home, tmp_path_factory) -> None:  # noqa: ANN001
    version = home.store.live()
    scopes = {_pending(text).entry: Scope(text[5].casefold(), {text[5].casefold(): 1.0}) for text in TEXTS}
    routing = Routing(home.knowledge, version.entries, scopes, version.solve, lambda entry: home.store.rows(entry[1]))
    assert routing.of_text("x y z").adapter is None
    chosen = routing.of_text("What of d, and B?")
    assert set(chosen.lesson_ids) == {_pending("Fact B.").lesson.id, _pending("Fact D.").lesson.id}
    alone = _Home(tmp_path_factory.mktemp("alone"))
    alone.teach(_pending("Fact B."), _pending("Fact D."))
    assert chosen.adapter.read_bytes() == alone.bytes()
    alone.store.close()
    said = [{"role": "user", "content": "a?"}, {"role": "assistant", "content": "b"}, {"role": "user", "content": "More."}]
    assert routing.of(said).lesson_ids == (_pending("Fact A.").lesson.id,)
    everything = Routing(
        home.knowledge, version.entries, scopes, version.solve, lambda entry: home.store.rows(entry[1]), everything=True
    )
    assert everything.of_text("x").adapter == home.knowledge.adapter(version)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_rows_that_are_no_numbers_are_refused_with_the_reason(value: float) -> None:
    rows = make_rows(1)
    keys = rows.keys.copy()
    keys[0, 0] = value
    with pytest.raises(LessonError, match="NaN or infinite"):
        Rows(rows.layer, keys, rows.targets, rows.weights)


def test_a_lesson_that_contradicts_itself_is_refused(home: _Home) -> None:
    rows = make_rows(2)
    targets = np.stack([rows.targets[0], -rows.targets[0]])
    twice = Rows(rows.layer, np.repeat(rows.keys[:1], 2, axis=0), targets, np.full(2, 1e30, np.float32))
    with pytest.raises(LessonError, match="degenerate|precision"):
        home.knowledge.solve([("x", twice)], home.settings)


@pytest.mark.parametrize("scale", [1e4, 1e8, 1e30])
def test_a_change_that_would_drown_the_weight_is_refused(home: _Home, scale: float) -> None:
    knowledge = Knowledge(home.store, "llama", _replay, base_norm=lambda _: 10.0)
    rows = make_rows(3)
    assert knowledge.solve([("x", rows)], home.settings).norm < 100.0
    large = Rows(rows.layer, rows.keys, rows.targets * np.float32(scale), rows.weights)
    with pytest.raises(LessonError, match="times as large as the model's|NaN"):
        knowledge.solve([("x", large)], home.settings)


@pytest.mark.parametrize("kind", ["F32", "Q8_0"])
def test_the_norm_of_a_weight_is_read_from_the_file(tmp_path: Path, kind: str) -> None:
    weight = np.random.default_rng(0).normal(size=(300, 64)).astype(np.float32)
    writer, chosen = gguf.GGUFWriter(tmp_path / "m.gguf", "llama"), gguf.GGMLQuantizationType[kind]
    data = weight if kind == "F32" else gguf.quantize(weight, chosen)
    writer.add_tensor("blk.1.ffn_down.weight", data, raw_dtype=chosen)
    for write in (writer.write_header_to_file, writer.write_kv_data_to_file, writer.write_tensors_to_file, writer.close):
        write()
    assert down_norm(tmp_path / "m.gguf", 1) == pytest.approx(np.linalg.norm(weight), rel=0.01)
    assert down_norm(tmp_path / "m.gguf", 0) is None


def _flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))


@pytest.mark.parametrize("restarted", [False, True])
def test_a_damaged_adapter_is_never_used_but_solved_again_to_the_same_bytes(home: _Home, restarted: bool) -> None:
    version = home.store.live()
    path = home.knowledge.adapter(version)
    sound = path.read_bytes()
    for damage in (_flip, lambda path: path.write_bytes(sound[:100]), Path.unlink):
        damage(path)
        knowledge = Knowledge(home.store, "llama", _replay) if restarted else home.knowledge
        assert knowledge.adapter(version) == path and path.read_bytes() == sound


def test_the_adapter_of_other_lessons_is_not_taken_for_these(home: _Home) -> None:
    path = home.knowledge.adapter(home.store.live())
    sound = path.read_bytes()
    home.commit(home.store.live().entries[:2])
    other = home.knowledge.adapter(home.store.live())
    hashed = other.stem.partition("-")[2]
    forged = path.with_name(f"{path.stem.partition('-')[0]}-{hashed}.gguf")  # its bytes have the hash in its name
    path.unlink()
    forged.write_bytes(other.read_bytes())
    again = Knowledge(home.store, "llama", _replay).adapter(home.store.version(1))
    assert again.read_bytes() == sound and not forged.exists()


def test_damaged_adapters_are_found_and_dropped_when_all_are_checked(home: _Home, monkeypatch) -> None:  # noqa: ANN001
    first = home.knowledge.adapter(home.store.live())
    home.commit(home.store.live().entries[:2])
    second = home.knowledge.adapter(home.store.live())
    assert home.knowledge.check_files() == (2, [])
    sound = second.read_bytes()
    _flip(second)
    count, [problem] = home.knowledge.check_files()
    assert count == 2 and second.stem[:12] in problem and "solves it anew" in problem
    assert first.exists() and not second.exists() and home.knowledge.check_files() == (1, [])
    assert home.knowledge.adapter(home.store.live()).read_bytes() == sound
    _flip(second)

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "unlink", refuse)
    assert "could not be deleted (Permission denied), and is never used" in home.knowledge.check_files()[1][0]
    assert Knowledge(home.store, "llama", _replay).adapter(home.store.live()).read_bytes() == sound
