"""Versions are sets of lessons; history never changes what a set is worth; nothing is lost or half done."""

import os
import sqlite3
import stat
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qfcore.errors import HomeError, ModelError, NotFound, StoreBusy, StoreCorrupt
from qfcore.lesson import Lesson
from qfcore.store.records import ModelIdentity
from qfcore.store.store import Store
from tests.conftest import IDENTITY, SOLVE, forget, make_pending, teach
from tests.soaking import examples


def test_a_new_store_begins_with_the_base(store: Store) -> None:
    assert store.live().number == 0 and store.live().entries == ()


def test_teaching_moves_live_and_keeps_the_report(store: Store) -> None:
    version = teach(store, "A fact.", report={"learned": True})
    assert store.live() == version and version.number == 1
    assert store.report(version) == {"learned": True}
    assert [r.lesson.text for r in store.lessons(version)] == ["A fact."]


def test_order_of_teaching_does_not_change_the_content(store: Store) -> None:
    first = teach(store, "A.", "B.")
    store.restore(0)
    teach(store, "B.")
    assert teach(store, "A.").content == first.content
    assert first.hash != store.live().hash


def test_forgetting_equals_never_taught(store: Store) -> None:
    only = teach(store, "A.")
    teach(store, "B.")
    assert forget(store, "B.").content == only.content


def test_a_lesson_taught_again_reuses_its_first_rows(store: Store) -> None:
    first = teach(store, "A.")
    pending = make_pending("A.", seed=999)
    again = store.commit(keep=(), new=[pending], solve=SOLVE, kind="teach", message="again", expect_live=None)
    assert again.content == first.content


def test_restoring_makes_a_new_version_and_loses_nothing(store: Store) -> None:
    taught = teach(store, "A.")
    back = store.restore("base")
    assert (back.number, back.kind, back.entries) == (2, "restore", ())
    assert store.restore(taught.number).content == taught.content
    assert [v.number for v in store.versions()] == [3, 2, 1, 0]


def test_a_commit_against_a_moved_live_is_refused_and_changes_nothing(store: Store) -> None:
    teach(store, "A.")
    with pytest.raises(StoreBusy, match="nothing was changed"):
        store.commit(keep=(), solve=SOLVE, kind="teach", message="late", expect_live=0)
    assert len(store.versions()) == 2


def test_a_failing_commit_is_undone_as_a_whole(store: Store) -> None:
    with pytest.raises(ValueError, match="nan|NaN|JSON"):
        teach(store, "A.", report={"norm": float("nan")})
    assert store.live().number == 0 and store.lessons() == []
    assert store.verify().ok


@pytest.mark.parametrize("reference", ["9", "v9", "nonsense", "", "qf1:000000000"])
def test_an_unknown_version_is_named(store: Store, reference: str) -> None:
    with pytest.raises(NotFound, match="versions are 0"):
        store.version(reference)


def test_an_absurd_number_is_not_found(store: Store) -> None:
    with pytest.raises(NotFound, match="too large"):
        store.chats.get(10**30)


def test_versions_are_found_by_number_name_and_hash(store: Store) -> None:
    version = teach(store, "A.")
    for reference in (1, "1", "v1", "live", version.hash, version.hash[4:14]):
        assert store.version(reference) == version


def test_a_version_whose_hash_begins_with_digits_is_found(store: Store) -> None:
    teach(store, "A.")
    _sql(store, "UPDATE versions SET hash = 'qf1:8084109354' || substr(hash, 15) WHERE number = 1")
    assert store.version("8084109354").number == store.version("808410").number == 1


def test_a_lesson_whose_id_begins_with_digits_is_found(store: Store) -> None:
    text = next(text for text in map("Fact {}.".format, range(1000)) if Lesson(text).id[:10].isdecimal())
    teach(store, text)
    assert store.lesson(Lesson(text).id[:10]).number == 1


def test_lessons_are_found_by_number_and_id(store: Store) -> None:
    teach(store, "A.")
    record = store.lesson("1")
    assert store.lesson(record.id) == store.lesson(record.id[:10]) == record
    with pytest.raises(NotFound):
        store.lesson("7")


def test_verify_finds_a_flipped_bit_in_rows(store: Store) -> None:
    teach(store, "A.")
    data = bytearray(_sql(store, "SELECT data FROM rows")[0][0])
    data[len(data) // 2] ^= 1
    _sql(store, "UPDATE rows SET data = ?", [bytes(data)])
    report = store.verify()
    assert not report.ok and "rows" in report.problems[0]
    with pytest.raises(StoreCorrupt):
        store.rows(store.live().entries[0][1])


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE lessons SET text = 'Another fact.'",
        "UPDATE versions SET message = 'other' WHERE number = 1",
        "UPDATE versions SET solve = '{}' WHERE number = 1",
        "DELETE FROM version_lessons",
        "DELETE FROM refs",
    ],
)
def test_verify_finds_changed_history(store: Store, statement: str) -> None:
    teach(store, "A.")
    _sql(store, statement)
    assert not store.verify().ok


def _sql(store: Store, statement: str, values: list | None = None) -> list:
    connection = sqlite3.connect(store.folder / "store.db")
    with connection:
        rows = connection.execute(statement, values or []).fetchall()
    connection.close()
    return rows


def test_a_second_writer_is_refused_and_a_reader_is_not(store: Store, tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from qfcore.store.store import Store; from tests.conftest import IDENTITY\n"
        "s = Store.open(Path(sys.argv[1]), IDENTITY, read_only=True); print(s.live().number)\n"
        "Store.open(Path(sys.argv[1]), IDENTITY)"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, cwd=root, check=False)
    assert done.stdout.strip() == "0"
    assert "StoreBusy" in done.stderr and "Another QF Chat" in done.stderr


def test_reading_only_changes_nothing(store: Store, tmp_path: Path) -> None:
    reader = Store.open(tmp_path, IDENTITY, read_only=True)
    with pytest.raises(HomeError, match="reading only"):
        reader.restore(0)
    reader.close()


def test_a_file_that_is_no_store_is_left_alone(tmp_path: Path) -> None:
    folder = tmp_path / IDENTITY.sha256[:16]
    folder.mkdir()
    (folder / "store.db").write_bytes(b"something else entirely" * 100)
    with pytest.raises(StoreCorrupt, match="left as it is"):
        Store.open(tmp_path, IDENTITY)
    assert (folder / "store.db").read_bytes().startswith(b"something else")


def test_another_models_knowledge_is_refused(store: Store, tmp_path: Path) -> None:
    other = ModelIdentity(IDENTITY.sha256[:16] + "0" * 48, "Other", "llama", 1)
    store.close()
    with pytest.raises(ModelError, match="another model"):
        Store.open(tmp_path, other)


@pytest.mark.skipif(os.name == "nt", reason="POSIX permissions")
def test_the_store_is_readable_by_its_owner_only(store: Store) -> None:
    assert stat.S_IMODE((store.folder / "store.db").stat().st_mode) == 0o600


def test_a_conversation_keeps_every_branch(store: Store) -> None:
    chats = store.chats
    chat = chats.create("First")
    question = chats.add_message(chat.id, None, "user", "Hello")
    one = chats.add_message(chat.id, question.id, "assistant", "Hi", version=0, stats={"generated_tokens": 1})
    two = chats.add_message(chat.id, question.id, "assistant", "Hello!")
    assert [m.content for m in chats.path(chat.id)] == ["Hello", "Hello!"]
    assert [m.id for m in chats.siblings(two.id)] == [one.id, two.id]
    chats.show(one.id)
    assert [m.content for m in chats.path(chat.id)] == ["Hello", "Hi"]


def test_conversations_are_searched_renamed_and_deleted(store: Store) -> None:
    chat = store.chats.create("Holiday")
    store.chats.add_message(chat.id, None, "user", "100% sun_shine")
    assert [c.id for c in store.chats.all("100%")] == [chat.id] == [c.id for c in store.chats.all("n_s")]
    assert store.chats.all("x_s") == []
    store.chats.rename(chat.id, "Trip")
    assert store.chats.get(chat.id).title == "Trip"
    store.chats.delete(chat.id)
    assert store.chats.all() == []
    with pytest.raises(NotFound):
        store.chats.path(chat.id)


steps = st.lists(
    st.tuples(st.sampled_from(["teach", "forget", "restore"]), st.integers(0, 3)), min_size=1, max_size=10
)


@settings(max_examples=examples(25), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(history=steps)
def test_any_history_ending_in_the_same_set_has_the_same_content(history: list, tmp_path_factory) -> None:  # noqa: ANN001
    texts = ["A.", "B.", "C.", "D."]
    store = Store.open(tmp_path_factory.mktemp("s"), IDENTITY)
    plain: list[frozenset] = [frozenset()]
    for action, which in history:
        if action == "teach":
            teach(store, texts[which])
            plain.append(plain[-1] | {texts[which]})
        elif action == "forget":
            forget(store, texts[which])
            plain.append(plain[-1] - {texts[which]})
        else:
            number = which % len(plain)
            store.restore(number)
            plain.append(plain[number])
    contents: dict[frozenset, str] = {}
    for version, known in zip(reversed(store.versions()), plain, strict=True):
        assert {r.lesson.text for r in store.lessons(version)} == known
        assert contents.setdefault(known, version.content) == version.content
    assert store.verify().ok
    store.close()


def test_two_ways_of_teaching_may_observe_the_same(store: Store) -> None:
    fast = make_pending("Qi started Oxinnovate.")
    thorough = replace(fast, recipe="ridge-other")
    for pending in (fast, thorough):
        store.commit(keep=(), new=[pending], solve=SOLVE, kind="teach", message="Qi", expect_live=None)
        assert store.known_rows(pending.lesson.id, pending.recipe).rows_digest == pending.entry[1]
    assert store.version(1).entries == store.version(2).entries == (fast.entry,)
    assert [(record.recipe, record.rows_digest) for record in store.lessons()] == [("ridge-other", fast.entry[1])]
    assert store.verify().ok


def test_what_was_changed_on_the_disk_is_not_sealed_by_teaching_again(store: Store) -> None:
    fast = make_pending("Qi started Oxinnovate.")
    store.commit(keep=(), new=[fast], solve=SOLVE, kind="teach", message="Qi", expect_live=None)
    with store._database.writing() as db:
        db.execute("UPDATE rows SET phrasings = '[[\"Who else?\", \"Me.\"]]'")
    thorough = replace(fast, recipe="ridge-other")
    store.commit(keep=(), new=[thorough], solve=SOLVE, kind="teach", message="Qi", expect_live=None)
    assert not store.verify().ok and store.live().entries == (fast.entry,)


def test_versions_are_read_once_and_anew_after_an_erasure(store: Store) -> None:
    teach(store, "Qi started Oxinnovate.")
    teach(store, "Mara keeps bees.")
    before = store.versions()
    assert [v.entries for v in store.versions()] == [v.entries for v in before]
    assert [v.entries for v in before] == [store.version(v.number).entries for v in before]
    store.erase(store.lessons()[0].id)
    assert [len(v.entries) for v in store.versions()] == [len(store.version(v.number).entries) for v in store.versions()]
    assert max(len(v.entries) for v in store.versions()) == 1
    assert store.first_versions() == {store.lessons()[0].id: 2}
