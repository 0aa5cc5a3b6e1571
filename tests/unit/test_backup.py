"""Backups are complete, verified and found again; erasing leaves no trace in them."""

import hashlib
import os
import shutil
import stat
from datetime import UTC, datetime
from pathlib import Path

import pytest

from qfcore.errors import ExportError, HomeError, NotFound, StoreBusy, StoreCorrupt
from qfcore.export.atomic import remove_partials
from qfcore.settings import Paths
from qfcore.store.backup import backups_of, check_backup, name_for_backup
from qfcore.store.database import StoreDatabase
from qfcore.store.erase import quotes
from qfcore.store.records import ModelIdentity
from qfcore.store.store import Store
from tests.conftest import IDENTITY, forget, make_pending, teach
from tests.scripted_engine import scripted_engine

REPLAY = b"keys"
DIGEST = hashlib.sha256(REPLAY).hexdigest()


@pytest.fixture
def taught(store: Store) -> Store:
    """A store with two lessons that were solved with a replay file."""
    (store.folder / "replay-3-0123456789ab.safetensors").write_bytes(REPLAY)
    solve = {"method": "ridge", "ridge": 0.01, "replay": DIGEST}
    store.commit(
        keep=(), new=[make_pending("Alpha is one.", 1)], solve=solve, kind="teach", message="Alpha is one.", expect_live=0
    )
    store.chats.create("Private")
    return store


def shared(store: Store) -> Path:
    return store.folder / "shared"


def test_a_backup_is_complete_and_private_and_can_be_put_back(taught: Store, tmp_path: Path) -> None:
    made = taught.back_up(shared(taught), tmp_path / "copy")
    assert stat.S_IMODE(made.path.stat().st_mode) == 0o700
    assert stat.S_IMODE((made.path / "store.db").stat().st_mode) == 0o600
    assert made.checked["lessons"] == 1 and made.checked["versions"] == 2 and made.checked["replays"] == 1
    before = taught.versions(), taught.lessons(), taught.chats.all()
    teach(taught, "Later.")
    taught.close()
    assert Store.restore_backup(tmp_path, IDENTITY, made.path) == made.path
    store = Store.open(tmp_path, IDENTITY)
    assert (store.versions(), store.lessons(), store.chats.all()) == before and store.verify().ok
    [aside] = store.folder.glob("store.replaced-*.db")
    assert b"Later." in aside.read_bytes()
    assert stat.S_IMODE((store.folder / "store.db").stat().st_mode) == 0o600
    store.close()


def test_the_home_keeps_the_last_ones(taught: Store) -> None:
    made = [taught.back_up(shared(taught), kept=2).path for _ in range(4)]
    assert backups_of(taught.folder) == [made[3], made[2]]


def test_a_clock_that_goes_back_does_not_make_the_newest_backup_the_oldest(taught: Store) -> None:
    first = taught.back_up(shared(taught)).path
    later = name_for_backup(taught.folder, datetime(2001, 1, 1, tzinfo=UTC))
    assert later.name > first.name


def test_a_damaged_store_names_the_newest_good_backup(taught: Store, tmp_path: Path) -> None:
    good = taught.back_up(shared(taught)).path
    bad = taught.back_up(shared(taught)).path
    taught.close()
    data = bytearray((bad / "store.db").read_bytes())
    data[data.index(b"Alpha")] ^= 1
    (bad / "store.db").write_bytes(bytes(data))
    (taught.folder / "store.db").write_bytes(b"nothing of use" * 1000)
    with pytest.raises(StoreCorrupt, match=f"restore-backup` puts the newest good backup, of {good.name}"):
        Store.open(tmp_path, IDENTITY)
    assert Store.restore_backup(tmp_path, IDENTITY) == good
    store = Store.open(tmp_path, IDENTITY)
    assert [r.lesson.text for r in store.lessons()] == ["Alpha is one."]
    store.close()


def test_a_journal_left_by_a_killed_process_does_not_damage_what_is_put_back(taught: Store, tmp_path: Path) -> None:
    made = taught.back_up(shared(taught), tmp_path / "copy").path
    taught.close()
    (taught.folder / "store.db-journal").write_bytes(b"\xd9\xd5\x05\xf9\x20\xa1\x63\xd7" + bytes(2048))
    Store.restore_backup(tmp_path, IDENTITY, made)
    assert not (taught.folder / "store.db-journal").exists()
    store = Store.open(tmp_path, IDENTITY)
    assert store.verify().ok
    store.close()


def test_damaged_and_foreign_backups_are_refused_and_change_nothing(taught: Store, tmp_path: Path) -> None:
    made = taught.back_up(shared(taught), tmp_path / "copy").path
    taught.close()
    before = (taught.folder / "store.db").read_bytes()
    other = ModelIdentity("cd" * 32, "Other", "llama", 1)
    with pytest.raises(StoreCorrupt, match="Nothing was changed"):
        Store.restore_backup(tmp_path, other, made)
    (made / f"replay-3-0123456789ab-{DIGEST[:16]}.safetensors").write_bytes(b"kezs")
    with pytest.raises(StoreCorrupt, match="replay"):
        Store.restore_backup(tmp_path, IDENTITY, made)
    with pytest.raises(NotFound, match="qfchat backup"):
        Store.restore_backup(tmp_path, IDENTITY, tmp_path)
    with pytest.raises(NotFound, match="no good backup"):
        Store.restore_backup(tmp_path, IDENTITY)
    assert (taught.folder / "store.db").read_bytes() == before


def test_a_store_in_use_is_not_replaced(taught: Store, tmp_path: Path) -> None:
    made = taught.back_up(shared(taught), tmp_path / "copy").path
    with pytest.raises(StoreBusy):
        Store.restore_backup(tmp_path, IDENTITY, made)


def test_a_damaged_store_is_not_backed_up(taught: Store, tmp_path: Path) -> None:
    (taught.folder / "replay-3-0123456789ab.safetensors").write_bytes(b"kezs")
    with pytest.raises(StoreCorrupt, match="replay"):
        taught.back_up(shared(taught), tmp_path / "copy")
    assert not (tmp_path / "copy").exists() and not list(tmp_path.glob(".*"))


def test_no_room_is_said_before_anything_is_written(taught: Store, tmp_path: Path, monkeypatch) -> None:  # noqa: ANN001
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10, 10, 0))
    with pytest.raises(ExportError, match="are free"):
        taught.back_up(shared(taught), tmp_path / "copy")
    assert not (tmp_path / "copy").exists()


def test_erasing_takes_it_out_of_backups_and_caches_even_when_the_disk_is_full(
    taught: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = taught.back_up(shared(taught), tmp_path / "copy").path
    taught.back_up(shared(taught))
    (taught.folder / "adapters").mkdir()
    (taught.folder / "adapters" / "x.gguf").touch()
    (taught.folder / "store.before-m003.db").write_bytes(b"Alpha is one.")

    def full(_self: StoreDatabase) -> None:
        for copy in taught.folder.glob("store.before-*"):
            copy.unlink()
        raise HomeError("There is no room left.")

    monkeypatch.setattr(StoreDatabase, "scrub", full)
    with pytest.raises(HomeError, match="is erased.*no room left"):
        taught.erase("1")
    assert taught.lessons() == [] and backups_of(taught.folder) == [] and list((taught.folder / "adapters").iterdir()) == []
    assert b"Alpha" not in (taught.folder / "store.db").read_bytes()
    assert check_backup(elsewhere).ok  # the user's own copy


def test_a_replaced_store_that_knew_it_is_deleted_by_erasing(taught: Store, tmp_path: Path) -> None:
    made = taught.back_up(shared(taught), tmp_path / "copy").path
    taught.close()
    Store.restore_backup(tmp_path, IDENTITY, made)
    store = Store.open(tmp_path, IDENTITY)
    store.erase("1")
    left = [path for path in store.folder.rglob("*") if path.is_file() and b"Alpha" in path.read_bytes()]
    store.close()
    assert left == []


@pytest.mark.parametrize(
    ("message", "text", "found"),
    [
        ("A.", "A.", True), ("Forgot: A.", "A.", True), ("2 lessons: A.", "A.", True),
        ("Undid version 3: Forgot: A.", "A.", True),
        ("Alpha A. is one", "A.", False), ("Restored version 1", "1", False), ("Erased a lesson", "lesson", False),
        ("My note: the password is tulip", "the password is tulip", True), ("x" * 79 + "…", "x" * 100, True),
        ("Forgot: " + "y" * 100, "y" * 100, True),
    ],
)  # fmt: skip
def test_which_messages_tell_a_lesson(message: str, text: str, found: bool) -> None:
    assert quotes(message, text) is found


def test_erasing_a_short_lesson_leaves_other_messages_alone(store: Store) -> None:
    teach(store, "A.")
    teach(store, "Alpha A. is one.")
    forget(store, "A.")
    store.erase("1")
    assert [v.message for v in store.versions()][1:3] == ["(erased)", "Alpha A. is one."]
    assert store.verify().ok


def test_scratch_files_go_but_not_those_of_programs_that_run(tmp_path: Path) -> None:
    paths = Paths(tmp_path)
    paths.temporary.mkdir()
    names = {"verify.json": False, f"window-{os.getppid()}": True, "window-999999999": False, f"window-{os.getpid()}": True}
    for name in names:
        (paths.temporary / name).mkdir()
        (paths.temporary / name / "lessons.txt").write_text("Alpha is one.")
    paths.empty_temporary()
    assert {path.name for path in paths.temporary.iterdir()} == {name for name, stays in names.items() if stays}
    assert list(paths.uploads.iterdir()) == []


def test_a_file_that_another_program_writes_now_is_no_leftover(tmp_path: Path) -> None:
    mine = tmp_path / f".a.gguf.{os.getppid()}-0123abcd.partial"
    for path in (mine, tmp_path / ".b.gguf.999999999-0123abcd.partial", tmp_path / ".c.0123abcd.partial"):
        path.touch()
    assert remove_partials(tmp_path) == 2 and list(tmp_path.iterdir()) == [mine]


@pytest.mark.skipif(os.name == "nt", reason="POSIX permissions")
def test_an_unwritable_place_is_named(taught: Store, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="does not exist"):
        taught.back_up(shared(taught), tmp_path / "nowhere" / "copy")
    with pytest.raises(ExportError, match="exists already"):
        taught.back_up(shared(taught), tmp_path)


def test_the_engine_makes_a_new_backup_after_erasing_and_says_when_it_cannot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = scripted_engine(tmp_path / "home")
    for text in ("The otter is called Momo.", "The heron is called Ash."):
        engine.teach(text, f"What is said of this: {text}")
        engine.backup()
    lesson = engine.paths.uploads / "lessons.txt"
    lesson.parent.mkdir(exist_ok=True)
    lesson.write_text("The otter is called Momo.")
    assert engine.erase("1") == 2
    [made] = backups_of(engine.store.folder)
    assert b"Momo" not in (made / "store.db").read_bytes() and check_backup(made).ok
    left = [p for p in (tmp_path / "home").rglob("*") if p.is_file() and b"Momo" in p.read_bytes()]
    assert left == []
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10, 10, 0))
    with pytest.raises(HomeError, match="is erased.*could not be made.*qfchat backup"):
        engine.erase("2")
    assert engine.store.lessons() == []
    engine.close()
