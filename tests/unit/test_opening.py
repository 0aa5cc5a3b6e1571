"""Opening a store whatever a killed process left behind: begun, half committed, damaged."""

import os
import shutil
import sqlite3
from pathlib import Path

import pytest

from qfcore.errors import HomeError, StoreBusy, StoreCorrupt, StoreUnfinished
from qfcore.store.store import Store
from tests.conftest import IDENTITY, teach

FOLDER = IDENTITY.sha256[:16]


def test_a_file_that_a_killed_first_start_left_empty_becomes_a_store(tmp_path: Path) -> None:
    (tmp_path / FOLDER).mkdir()
    (tmp_path / FOLDER / "store.db").touch()
    for text in ("A.", "B."):  # the start after the next one told that this is no store
        store = Store.open(tmp_path, IDENTITY)
        teach(store, text)
        store.close()
    store = Store.open(tmp_path, IDENTITY)
    assert len(store.lessons()) == 2 and store.verify().ok
    store.close()


def test_a_store_without_our_mark_is_known_by_its_migrations(store: Store, tmp_path: Path) -> None:
    teach(store, "A.")
    store.close()
    _sql(store.folder, "PRAGMA application_id = 0")
    opened = Store.open(tmp_path, IDENTITY)
    assert [r.lesson.text for r in opened.lessons()] == ["A."]
    opened.close()
    assert _sql(store.folder, "PRAGMA application_id")[0][0] != 0


@pytest.mark.parametrize("statement", ["PRAGMA application_id = 77", "CREATE TABLE theirs (a)"])
def test_the_database_of_another_program_is_left_alone(tmp_path: Path, statement: str) -> None:
    (tmp_path / FOLDER).mkdir()
    _sql(tmp_path / FOLDER, statement)
    before = (tmp_path / FOLDER / "store.db").read_bytes()
    with pytest.raises(StoreCorrupt, match="not a store of QF Chat"):
        Store.open(tmp_path, IDENTITY)
    assert (tmp_path / FOLDER / "store.db").read_bytes() == before


def _sql(folder: Path, statement: str) -> list:
    connection = sqlite3.connect(folder / "store.db")
    with connection:
        rows = connection.execute(statement).fetchall()
    connection.close()
    return rows


@pytest.fixture
def half_committed(store: Store, tmp_path: Path) -> Path:
    """The stores' folder as kill -9 in a commit leaves it: pages written, the journal still there."""
    teach(store, "A.")
    store.close()
    connection = sqlite3.connect(store.folder / "store.db", isolation_level=None)
    connection.execute("PRAGMA cache_size = 1")
    connection.execute("BEGIN IMMEDIATE")
    for number in range(300):
        connection.execute("INSERT INTO chats (title, created_at, updated_at) VALUES (?, '', '')", [f"{number}" * 200])
    shutil.copytree(store.folder, tmp_path / "killed" / FOLDER)
    connection.execute("ROLLBACK")
    connection.close()
    assert (tmp_path / "killed" / FOLDER / "store.db-journal").stat().st_size
    return tmp_path / "killed"


def test_reading_what_was_half_committed_says_so_and_writing_undoes_it(half_committed: Path) -> None:
    with pytest.raises(StoreUnfinished, match="interrupted"):
        Store.open(half_committed, IDENTITY, read_only=True)
    Store.open(half_committed, IDENTITY).close()
    store = Store.open(half_committed, IDENTITY, read_only=True)
    assert store.chats.all() == [] and store.verify().ok
    store.close()


def test_the_engine_undoes_it_by_itself(half_committed: Path) -> None:
    from qfcore.engine import _open_store
    from qfcore.settings import Paths

    home = half_committed.parent / "home"
    home.mkdir()
    half_committed.rename(home / "stores")
    store = _open_store(Paths(home), IDENTITY, read_only=True)
    assert store.read_only and [r.lesson.text for r in store.lessons()] == ["A."]
    store.close()


def test_a_reader_beside_a_commit_is_told_busy_not_damaged(store: Store, tmp_path: Path, monkeypatch) -> None:  # noqa: ANN001
    monkeypatch.setattr("qfcore.store.database.WAIT_SECONDS", 0.05)
    other = sqlite3.connect(store.folder / "store.db", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(StoreBusy):
        Store.open(tmp_path, IDENTITY, read_only=True)
    other.close()


def test_a_deleted_journal_is_found(half_committed: Path) -> None:
    (half_committed / FOLDER / "store.db-journal").unlink()
    try:
        store = Store.open(half_committed, IDENTITY, read_only=True)
    except StoreCorrupt:
        return
    assert not store.verify().ok or [r.lesson.text for r in store.lessons()] == ["A."]
    store.close()


@pytest.mark.parametrize("damage", ["truncated", "zeroed"])
def test_a_damaged_store_is_never_written(store: Store, tmp_path: Path, damage: str) -> None:
    teach(store, *(f"Fact {number}." for number in range(30)), report={"learned": True})
    page = _sql(store.folder, "SELECT rootpage FROM sqlite_master WHERE name = 'versions'")[0][0] - 1
    store.close()
    path = store.folder / "store.db"
    whole = path.read_bytes()
    for cut in range(4096, len(whole), 4096 * 7):
        bad = whole[:cut] if damage == "truncated" else whole[: page * 4096] + bytes(4096) + whole[(page + 1) * 4096 :]
        path.write_bytes(bad)
        with pytest.raises(StoreCorrupt, match="left as it is"):
            Store.open(tmp_path, IDENTITY)
        assert path.read_bytes() == bad


@pytest.mark.skipif(not os.environ.get("QFCHAT_SOAK"), reason="long")
def test_every_zeroed_page_is_found_or_touches_nothing(store: Store, tmp_path: Path) -> None:
    teach(store, *(f"Fact {number}." for number in range(5)), report={"learned": True})
    before = store.versions(), store.lessons()
    store.close()
    path = store.folder / "store.db"
    whole = path.read_bytes()
    for at in range(0, len(whole), 4096):
        path.write_bytes(whole[:at] + bytes(4096) + whole[at + 4096 :])
        try:
            opened = Store.open(tmp_path, IDENTITY, read_only=True)
        except (StoreCorrupt, HomeError):
            continue
        assert not opened.verify().ok or (opened.versions(), opened.lessons()) == before
        opened.close()


class _Deaf(sqlite3.Connection):
    """A SQLite that does not take a setting, and says nothing of it, as SQLite does."""

    setting, value = "", "0"

    def execute(self, statement: str, *values: object) -> sqlite3.Cursor:
        if statement.startswith(f"PRAGMA {self.setting} = "):
            statement = f"PRAGMA {self.setting} = {self.value}"
        return super().execute(statement, *values)


@pytest.mark.parametrize("setting", ["foreign_keys", "trusted_schema", "secure_delete", "cell_size_check", "synchronous"])
def test_a_setting_that_sqlite_does_not_take_is_told(store: Store, tmp_path: Path, monkeypatch, setting: str) -> None:  # noqa: ANN001
    store.close()
    before = (store.folder / "store.db").read_bytes()
    connect = sqlite3.connect
    monkeypatch.setattr(_Deaf, "setting", setting)
    monkeypatch.setattr(_Deaf, "value", "1" if setting == "trusted_schema" else "0")
    monkeypatch.setattr(sqlite3, "connect", lambda *given, **named: connect(*given, factory=_Deaf, **named))
    with pytest.raises(HomeError, match=f"did not take the setting {setting}"):
        Store.open(tmp_path, IDENTITY)
    assert (store.folder / "store.db").read_bytes() == before
    monkeypatch.undo()
    Store.open(tmp_path, IDENTITY).close()  # the lock was given back


def test_another_journal_is_given_up_or_named(store: Store, tmp_path: Path, monkeypatch) -> None:  # noqa: ANN001
    teach(store, "A.")
    store.close()
    monkeypatch.setattr("qfcore.store.database.WAIT_SECONDS", 0.05)
    other = sqlite3.connect(store.folder / "store.db")
    assert other.execute("PRAGMA journal_mode = WAL").fetchone() == ("wal",)
    assert other.execute("SELECT count(*) FROM lessons").fetchone() == (1,)
    with pytest.raises(StoreBusy, match="another program"):
        Store.open(tmp_path, IDENTITY)
    other.close()
    opened = Store.open(tmp_path, IDENTITY)
    assert _sql(store.folder, "PRAGMA journal_mode") == [("delete",)] and len(opened.lessons()) == 1
    opened.close()
    monkeypatch.setattr(_Deaf, "setting", "journal_mode")
    monkeypatch.setattr(_Deaf, "value", "WAL")
    _sql(store.folder, "PRAGMA journal_mode = WAL")
    connect = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda *given, **named: connect(*given, factory=_Deaf, **named))
    with pytest.raises(StoreBusy, match="keeps the journal mode 'wal'"):
        Store.open(tmp_path, IDENTITY)
