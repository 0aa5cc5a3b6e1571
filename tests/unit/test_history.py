"""Names, differences, erasing, earlier schemas: the history as people expect it from git, without git's traps."""

import sqlite3
import stat
from pathlib import Path

import pytest

from qfcore.errors import HomeError, NameRefused, NotFound
from qfcore.store.migrations import NAMES
from qfcore.store.store import Store
from tests.conftest import IDENTITY, ROOT, forget, make_pending, teach


def test_a_tag_stays_and_a_branch_moves(store: Store) -> None:
    first = teach(store, "A.")
    store.names.tag("before the holiday")
    store.names.branch("work")
    second = teach(store, "B.")
    names = {n.name: (n.version, n.kind, n.current) for n in store.names.all()}
    assert names == {
        "before the holiday": (first.number, "tag", False), "work": (first.number, "branch", False),
        "main": (second.number, "branch", True),
    }  # fmt: skip
    assert store.version("before the holiday") == first and store.version("work") == first


def test_changes_belong_to_the_branch_one_is_on(store: Store) -> None:
    first = teach(store, "A.")
    store.names.branch("work")
    on_main = teach(store, "B.")
    assert store.names.switch("work") == first.number
    assert store.live() == first  # nothing was added to the history
    on_work = teach(store, "C.")
    assert on_work.parent == first.number
    assert {r.lesson.text for r in store.lessons(on_work)} == {"A.", "C."}
    assert store.version("main") == on_main
    store.names.switch("main")
    assert store.live() == on_main and store.verify().ok


@pytest.mark.parametrize(
    "name", ["", " ", "3", "v3", "LIVE", "base", "qf1:abc", "x" * 65, "a\nb", "../up", "-rf", "a\u202eb", "<b>"]
)
def test_what_cannot_name_a_version_is_refused(store: Store, name: str) -> None:
    with pytest.raises(NameRefused, match="cannot name a version"):
        store.names.tag(name)


def test_taken_names_and_the_current_branch_are_kept(store: Store) -> None:
    store.names.tag("first")
    with pytest.raises(NameRefused, match="is taken"):
        store.names.branch("first")
    with pytest.raises(NameRefused, match="current branch"):
        store.names.delete("main")
    with pytest.raises(NotFound):
        store.names.delete("live")
    with pytest.raises(NotFound):
        store.names.switch("first")  # a tag is no branch
    store.names.delete("first")
    assert [n.name for n in store.names.all()] == ["main"]


def test_the_difference_of_two_versions(store: Store) -> None:
    old = teach(store, "A.", "B.")
    new = forget(store, "A.")
    new = teach(store, "C.")
    found = store.diff(old.number, new.number)
    texts = [[r.lesson.text for r in part] for part in (found.added, found.removed, found.observed_again)]
    assert texts == [["C."], ["A."], []]


def test_who_taught_it_and_when(store: Store) -> None:
    version = teach(store, "A.")
    teach(store, "B.")
    assert store.taught_in(make_pending("A.").lesson.id) == version
    with pytest.raises(NotFound):
        store.taught_in("0" * 64)


def test_an_erased_lesson_is_nowhere_on_the_disk(store: Store) -> None:
    secret = "The password of the vault is tulip-4711."
    teach(store, "A.")
    with_secret = teach(store, secret, report={"answers": [secret]})
    teach(store, "B.")
    record = store.lesson("2")
    rows = store.rows(record.rows_digest).to_bytes()
    assert store.erase("2") == 2
    data = (store.folder / "store.db").read_bytes()
    assert secret.encode() not in data and b"tulip-4711" not in data and record.id.encode() not in data
    assert rows[200:264] not in data
    assert {r.lesson.text for r in store.lessons()} == {"A.", "B."}
    assert [r.lesson.text for r in store.lessons(store.version(with_secret.number))] == ["A."]
    assert store.verify().ok and store.live().kind == "erase"


def test_erasing_deletes_every_report_that_tells_of_the_lesson(store: Store) -> None:
    teach(store, "A.")
    record = store.lesson("1")
    later = {"answers": [{"lesson": "other", "question": "Q?", "before": "tulip", "after": "rose", "ok": True}]}
    told = {"lesson": record.id, "question": "What?", "after": "tulip", "ok": True}
    named = teach(store, "B.", report={"answers": [told]})
    asked = teach(store, "C.", report={"neighbours": [{"question": record.phrasings[0].question, "before": "tulip"}]})
    other = teach(store, "D.", report=later)
    store.note_check(store.live(), record.id, [("What?", "tulip-4711", True)])
    unrelated = teach(store, "E.", report={"answers": [{"lesson": "other", "question": "Hm?", "after": "A.B", "ok": True}]})
    store.erase("1")
    assert [store.report(version) is None for version in (named, asked, other, unrelated)] == [True, True, True, False]
    assert b"tulip" not in (store.folder / "store.db").read_bytes()
    assert store.verify().ok


def test_what_was_asked_is_kept_with_the_report_of_the_version(store: Store) -> None:
    version = teach(store, "A.", report={"learned": True})
    lesson = store.lesson("1").id
    store.note_check(version, lesson, [("Q?", "no", False)])
    at = store.note_check(version, lesson, [("Q?", "yes", True)])
    checks = {lesson: {"at": at, "asked": [{"question": "Q?", "said": "yes", "ok": True}]}}
    assert store.report(version) == {"learned": True, "checks": checks}
    assert store.verify().ok
    bare = teach(store, "B.")
    store.note_check(bare, lesson, [])
    assert store.report(bare)["checks"][lesson]["asked"] == [] and store.verify().ok


def test_a_version_comes_from_its_parents(store: Store) -> None:
    teach(store, "A.")
    store.names.branch("work")
    teach(store, "B.")
    store.names.switch("work")
    last = teach(store, "C.")
    assert store.lineage(last) == [3, 1, 0]


def test_erasing_gives_the_contents_of_a_history_without_the_lesson(store: Store, tmp_path: Path) -> None:
    for text in ("A.", "B.", "C."):
        teach(store, text)
    store.erase("2")
    other = Store.open(tmp_path / "other", IDENTITY)
    without = teach(other, "A."), teach(other, "C.")
    assert store.live().content == without[1].content
    assert store.version(2).content == without[0].content
    other.close()


@pytest.fixture(params=["m001", "m002"])
def earlier(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A store that an earlier program wrote: two lessons, one of them forgotten and restored."""
    folder = tmp_path / IDENTITY.sha256[:16]
    folder.mkdir()
    connection = sqlite3.connect(folder / "store.db")
    connection.executescript((ROOT / "tests/data/store-m002.sql").read_text())
    if request.param == "m001":
        connection.executescript("DROP TABLE messages; DROP TABLE chats; DELETE FROM _sqlite_migrations WHERE id = 2;")
    connection.commit()
    connection.close()
    return tmp_path


def test_a_store_of_every_earlier_schema_is_upgraded_without_loss(earlier: Path, request: pytest.FixtureRequest) -> None:
    with pytest.raises(NotFound, match="earlier QF Chat"):
        Store.open(earlier, IDENTITY, read_only=True)
    store = Store.open(earlier, IDENTITY)
    assert store.verify().ok, store.verify().problems
    assert {r.lesson.text for r in store.lessons(store.live())} == {"Qi started Oxinnovate.", "The password is tulip."}
    assert [v.kind for v in store.versions()] == ["restore", "forget", "teach", "teach", "base"]
    assert store.report(store.version(1)) == {"learned": True}
    assert [(n.name, n.version, n.current) for n in store.names.all()] == [("main", 4, True)]
    assert [c.title for c in store.chats.all()] == (["Hello"] if "m002" in request.node.name else [])
    [copy] = store.folder.glob("store.before-*.db")
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600 and copy.stem.removeprefix("store.before-") in NAMES
    assert teach(store, "A.").number == 5
    store.close()


def test_a_store_from_before_the_settings_of_chats_is_upgraded(store: Store, tmp_path: Path) -> None:
    teach(store, "A.")
    chat = store.chats.create("Trip")
    store.close()
    connection = sqlite3.connect(store.folder / "store.db")
    connection.executescript(
        "ALTER TABLE chats DROP COLUMN settings; DELETE FROM _sqlite_migrations WHERE name = 'm004_chat_settings';"
    )
    connection.close()
    again = Store.open(tmp_path, IDENTITY)
    assert again.verify().ok and again.live().number == 1
    assert [(c.id, c.title, c.settings) for c in again.chats.all()] == [(chat.id, "Trip", {})]
    again.chats.keep_settings(chat.id, {"version": 1})
    assert again.chats.get(chat.id).settings == {"version": 1}
    again.close()


def test_the_copy_made_before_an_upgrade_is_the_old_store(earlier: Path) -> None:
    Store.open(earlier, IDENTITY).close()
    [copy] = (earlier / IDENTITY.sha256[:16]).glob("store.before-*.db")
    backup = sqlite3.connect(copy)
    assert backup.execute("SELECT count(*) FROM lessons").fetchone() == (2,)
    assert "kind" not in [row[1] for row in backup.execute("PRAGMA table_info(refs)")]
    backup.close()


def test_a_store_of_a_newer_program_is_left_alone(store: Store, tmp_path: Path) -> None:
    store.close()
    path = store.folder / "store.db"
    connection = sqlite3.connect(path)
    connection.execute("INSERT INTO _sqlite_migrations (migration_set, name) VALUES ('qfchat', 'm999_future')")
    connection.commit()
    connection.close()
    before = path.read_bytes()
    with pytest.raises(HomeError, match="newer QF Chat"):
        Store.open(tmp_path, IDENTITY)
    assert path.read_bytes() == before
