"""A question in new words is learned while it is asked: which answer follows on which messages, and by what change."""

from pathlib import Path
from types import SimpleNamespace
from unittest.mock import MagicMock

import numpy as np
import pytest

from qfcore.choosing import Choice
from qfcore.delta import Delta
from qfcore.export.adapter import read_adapter
from qfcore.knowledge import BESIDE, Knowledge
from qfcore.recipe import RIDGE
from qfcore.routing import Routing
from qfcore.runtime.protocol import Observed
from qfcore.scope import Scope
from qfcore.store.store import Store
from qfcore.wordings import Wordings, least_change, mark_of
from tests.conftest import IDENTITY, make_rows
from tests.unit.test_knowledge import _Home, _pending, _replay

BRIDGE, TOWER, LIGHT = "How many arches has Halvery?", "How many flats has Mirabrook?", "When is Mirabrook lit?"
ANSWERS = {BRIDGE: "Halvery has 47 arches.", TOWER: "Mirabrook has 312 flats", LIGHT: "At nine."}
HEADS = {BRIDGE: "halvery", TOWER: "mirabrook", LIGHT: "mirabrook"}
ALONG = {BRIDGE: 0, TOWER: 1, LIGHT: 2}


def test_the_answers_of_what_was_chosen_are_put_after_what_was_heard() -> None:
    scopes = {("a", "1"): Scope("a", {"a": 1.0}, answer="It is red"), ("b", "1"): Scope("b", {"b": 1.0}, answer="No.")}
    knowledge, hearing = MagicMock(), MagicMock()
    routing = Routing(knowledge, sorted(scopes), scopes, {}, MagicMock(), hearing=hearing)
    said = ({"role": "user", "content": "a and b?"},)
    routing._chooser = MagicMock()  # noqa: SLF001
    routing._chooser.of.return_value = Choice(tuple(scopes), tuple(scopes.values()), said)  # noqa: SLF001
    assert routing.of(said).lesson_ids == ("a", "b")
    entries, *_, mark, further = knowledge.adapter_beside.call_args.args
    assert entries == tuple(scopes) and mark == mark_of(said, "It is red. No.")
    further(Path("lessons.gguf"), 3)
    assert hearing.wordings.further.call_args.args == (said, "It is red. No.", Path("lessons.gguf"), 3)
    routing._chooser.of.return_value = Choice(tuple(scopes))  # noqa: SLF001
    assert routing.of(said).adapter is knowledge.adapter_of.return_value
    routing._chooser.of.return_value = Choice(())  # noqa: SLF001
    assert routing.of(said).adapter is None


@pytest.fixture
def head() -> MagicMock:
    rows = np.eye(8, dtype=np.float32) + 0.1
    return MagicMock(epsilon=1e-6, rows=lambda tokens: rows[tokens])


def _model(head: MagicMock, layers: int = 4) -> tuple[MagicMock, Observed, list[int]]:
    rng, answer = np.random.default_rng(6), [1, 2, 3]
    keys = (rng.normal(size=(3, 20)) + 1.0).astype(np.float32)
    residuals = rng.normal(size=(3, 8)).astype(np.float32)
    size = np.sqrt(np.mean(residuals**2, axis=1, keepdims=True))
    seen = Observed(keys, residuals, residuals / size @ head.rows(np.arange(8)).T)
    runtime = MagicMock(facts=SimpleNamespace(n_layer=layers))
    runtime.tokenize_answer.return_value, runtime.observe.return_value = answer, [seen]
    return runtime, seen, answer


def test_after_the_change_every_token_of_the_answer_leads(head: MagicMock) -> None:
    runtime, seen, answer = _model(head)
    change = Wordings(runtime, lambda: head).further([{"role": "user", "content": "Hm?"}], "It.", Path("l.gguf"), 3)
    script = runtime.observe.call_args.args[0][0]
    assert (script.messages, script.answer) == ((("user", "Hm?"),), tuple(answer))
    assert runtime.observe.call_args.kwargs == {"layer": 3, "adapter": Path("l.gguf")}
    moved = seen.residuals + seen.keys @ change.a.T @ change.b.T
    assert (moved @ head.rows(np.arange(8)).T).argmax(axis=1).tolist() == answer
    assert not (seen.residuals @ head.rows(np.arange(8)).T).argmax(axis=1).tolist() == answer


def test_nothing_is_added_where_the_answer_follows_already_or_the_layer_is_no_last_one(head: MagicMock) -> None:
    runtime, seen, _ = _model(head)
    said = [{"role": "user", "content": "Hm?"}]
    assert Wordings(runtime, lambda: head).further(said, "It.", Path("l.gguf"), 2) is None
    assert Wordings(runtime, lambda: None).further(said, "It.", Path("l.gguf"), 3) is None
    sure = np.full_like(seen.logits, -40.0)
    sure[np.arange(3), [1, 2, 3]] = 40.0
    runtime.observe.return_value = [Observed(seen.keys, seen.residuals, sure)]
    assert Wordings(runtime, lambda: head).further(said, "It.", Path("l.gguf"), 3) is None


def test_the_least_change_reaches_its_targets_and_moves_no_row_that_stays() -> None:
    rng = np.random.default_rng(8)
    keys, targets = rng.normal(size=(5, 40)).astype(np.float32), rng.normal(size=(5, 6)).astype(np.float32)
    targets[2] = 0.0
    change = least_change(7, keys, targets)
    assert change.layer == 7 and change.rank == 4
    assert np.abs(keys @ change.a.T @ change.b.T - targets).max() < 0.02


def test_changes_of_one_layer_are_joined_and_others_are_not() -> None:
    rng = np.random.default_rng(9)
    one, other = (Delta(3, rng.normal(size=(r, 5)), rng.normal(size=(4, r))) for r in (2, 3))
    joined = one.joined(other)
    assert np.allclose(joined.b @ joined.a, one.b @ one.a + other.b @ other.a)
    with pytest.raises(ValueError, match="layers 3 and 4"):
        one.joined(Delta(4, other.a, other.b))


def test_a_messages_file_holds_both_changes_and_the_lessons_own_is_left_as_it_is(tmp_path: Path) -> None:
    store = Store.open(tmp_path, IDENTITY)
    try:
        knowledge = Knowledge(store, "llama", _replay)
        settings, rows, entries = knowledge.solve_settings(RIDGE), make_rows(1), [("a" * 64, "b" * 64)]
        own, _ = read_adapter(alone := knowledge.adapter_of(entries, settings, lambda _: rows))
        added = Delta(own.layer, np.ones((1, own.a.shape[1]), np.float32), np.ones((own.b.shape[0], 1), np.float32))
        mark = mark_of([{"role": "user", "content": "Hm?"}], "It.")
        path = knowledge.adapter_beside(entries, settings, lambda _: rows, mark, lambda *_: added)
        assert path.parent == alone.parent / BESIDE and read_adapter(path)[0].digest == own.joined(added).digest
        again = knowledge.adapter_beside(entries, settings, lambda _: rows, mark, MagicMock(side_effect=AssertionError))
        assert again == path  # kept
        other = mark_of([{"role": "user", "content": "Hm!"}], "It.")
        assert knowledge.adapter_beside(entries, settings, lambda _: rows, other, lambda *_: None) == alone
        assert knowledge.check_files() == (2, [])
    finally:
        store.close()


def test_what_was_solved_for_messages_goes_when_a_lesson_is_erased(tmp_path: Path) -> None:
    home = _Home(tmp_path)
    home.teach(_pending("Fact A."))
    folder = home.store.folder / "adapters" / BESIDE
    folder.mkdir(parents=True)
    (folder / "x.gguf").write_bytes(b"Of a message.")
    home.store.erase(home.store.lessons(home.store.live())[0].id)
    assert not list(folder.iterdir())
    home.store.close()
