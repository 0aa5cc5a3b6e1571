"""Backups of a store: copied while it is open, checked before they get their name, found again when they are needed.

A backup is a folder with `store.db` and the replay files that its versions were solved with. Conversations are in it too.
"""

import contextlib
import os
import shutil
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from sqlite_utils import Database

from qfcore.errors import ExportError, NotFound, StoreCorrupt
from qfcore.export.atomic import atomic_folder, atomic_write
from qfcore.store.records import ModelIdentity, VerifyReport
from qfcore.store.replays import copy_replay, needed_replays, sound_replays
from qfcore.store.verify import verify_store

FOLDER, DATABASE = "backups", "store.db"
REPLACED = "store.replaced-{}"
"""What was there when a backup was put in its place, with its journal."""
KEPT = 3
"""Backups that are kept in the home; those written elsewhere are the user's."""


@dataclass(frozen=True)
class Backup:
    """A backup that was written and read back. bytes: of the whole folder. checked: what was re-derived, by name."""

    path: Path
    bytes: int
    checked: dict[str, int]


def copy_database(connection: sqlite3.Connection, target: Path) -> None:
    """A copy of an open database that is complete and sound, or is not there; readable by its owner only.

    Raises:
        ExportError: it cannot be written. StoreCorrupt: the copy is damaged.
    """
    with atomic_write(target) as file:
        Path(file.name).chmod(0o600)
        with contextlib.closing(sqlite3.connect(file.name)) as copy:
            copy.execute("PRAGMA journal_mode = OFF")  # the copy has its name only when it is complete
            connection.backup(copy)
            found = copy.execute("PRAGMA integrity_check(1)").fetchone()[0]
        if found != "ok":
            raise StoreCorrupt(f"The copy {target} would be damaged ({found}), so it was not made. Run `qfchat verify`.")


def write_backup(connection: sqlite3.Connection, folder: Path, shared: Path, out: Path, model: ModelIdentity) -> Backup:
    """A backup of a store, read back and verified before it gets its name.

    folder: the store's. shared: where further replay files of this model lie.

    Raises:
        ExportError: `out` exists or cannot be written. StoreCorrupt: the copy does not verify.
    """
    _check_space(connection, out)
    with atomic_folder(out) as made:
        made.chmod(0o700)
        copy_database(connection, made / DATABASE)
        with _opened(made) as db:
            needed = needed_replays(db)
        for digest, path in sound_replays(needed, [folder, shared]).items():
            copy_replay(path, made, digest)
        report = check_backup(made, model)
        if not report.ok:
            raise StoreCorrupt(f"The backup was not made: {report.problems[0]}. Run `qfchat verify`.")
    return Backup(out, sum(path.stat().st_size for path in out.iterdir()), report.checked)


def _check_space(connection: sqlite3.Connection, out: Path) -> None:
    pages, size = (connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "page_size"))
    try:
        free = shutil.disk_usage(out.parent).free
    except OSError:
        return  # the folder is missing, which is said when it is written
    if free < pages * size:
        raise ExportError(
            f"The backup needs {pages * size:,} bytes in {out.parent}; {free:,} are free. Nothing was written."
        )


@contextlib.contextmanager
def _opened(backup: Path) -> Iterator[Database]:
    path = str(backup / DATABASE).replace("%", "%25").replace("?", "%3f").replace("#", "%23")
    with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro&immutable=1", uri=True)) as connection:
        yield Database(connection)


def check_backup(backup: Path, model: ModelIdentity | None = None) -> VerifyReport:
    """Re-derive every hash of a backup. model: None takes the model that the backup names.

    Raises:
        NotFound: the folder holds no backup. StoreCorrupt: it cannot be read.
    """
    if not (backup / DATABASE).is_file():
        raise NotFound(f"{backup} is no backup: a folder with {DATABASE} was expected, as `qfchat backup` makes it.")
    try:
        with _opened(backup) as db:
            if model is None:
                model = ModelIdentity(*db.execute("SELECT sha256, name, architecture, bytes FROM models").fetchone())
            report = verify_store(db, model)
            needed = needed_replays(db) if report.ok else {}
    except (sqlite3.Error, TypeError, ValueError) as error:
        raise StoreCorrupt(f"The backup {backup} is damaged: {error}.") from error
    there = sound_replays(needed, [backup])
    missing = [f"replay {digest[:12]}: missing or damaged" for digest in needed if digest not in there]
    return VerifyReport({**report.checked, "replays": len(needed)}, [*report.problems, *missing])


def backups_of(folder: Path) -> list[Path]:
    """The backups in a store's folder, the newest first."""
    return sorted((path.parent for path in (folder / FOLDER).glob(f"*/{DATABASE}")), reverse=True)


def newest_good(folder: Path) -> Path | None:
    """The newest backup in a store's folder that verifies."""
    for path in backups_of(folder):
        with contextlib.suppress(StoreCorrupt, NotFound, OSError):
            if check_backup(path).ok:
                return path
    return None


def hint_of_backup(folder: Path) -> str:
    """What to do about a damaged store, as a sentence."""
    good = newest_good(folder)
    if good is None:
        return (
            "There is no good backup beside it: put one in its place with `qfchat restore-backup FOLDER`, "
            "or choose another home."
        )
    return f"`qfchat restore-backup` puts the newest good backup, of {good.name}, in its place."


def name_for_backup(folder: Path, now: datetime | None = None) -> Path:
    """Where the next backup in a store's folder goes: named by its time, and sorted last even when the clock went back."""
    (folder / FOLDER).mkdir(mode=0o700, exist_ok=True)
    name = (now or datetime.now(UTC)).strftime("%Y-%m-%dT%H-%M-%S.%fZ")
    newest = max((path.name for path in (folder / FOLDER).iterdir()), default="")
    return folder / FOLDER / (name if name > newest else f"{newest}.1")


def drop_old(folder: Path, kept: int = KEPT) -> None:
    """Delete the oldest backups in a store's folder; only called when a newer one was verified."""
    for path in backups_of(folder)[max(kept, 1) :]:
        shutil.rmtree(path, ignore_errors=True)


def copies_with(folder: Path, lesson_id: str) -> list[Path]:
    """Backups (their folders) and replaced stores (files) in a store's folder that know a lesson."""
    found = []
    for path in [*folder.glob(f"{FOLDER}/*/{DATABASE}"), *folder.glob(REPLACED.format("*"))]:
        if lesson_id.encode() in path.read_bytes():  # also in a store that is too damaged to be asked
            found.append(path.parent if path.name == DATABASE else path)
    return found


def delete_copy(path: Path) -> None:
    """Delete a file or a folder; OSError when that fails."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()


def put_back(folder: Path, backup: Path, model: ModelIdentity) -> VerifyReport:
    """Put a backup in the place of a store; the store that was there stays beside it under another name.

    The caller holds the store's lock.

    Raises:
        NotFound: there is no such backup. StoreCorrupt: it is damaged, or of another model; nothing was changed.
        ExportError: the disk is full.
    """
    report = check_backup(backup, model)
    if not report.ok:
        raise StoreCorrupt(f"The backup {backup} was not put back: {report.problems[0]}. Nothing was changed.")
    with _opened(backup) as db:
        for digest, path in sound_replays(needed_replays(db), [backup]).items():
            copy_replay(path, folder, digest)
    store = folder / DATABASE
    with atomic_write(store) as file:
        Path(file.name).chmod(0o600)
        with (backup / DATABASE).open("rb") as source:
            shutil.copyfileobj(source, file)
        _set_aside(store)
    return report


def _set_aside(store: Path) -> None:
    """Keep what is there under another name; its journal goes with it, since it would damage the file put in its place."""
    aside = store.with_name(REPLACED.format(datetime.now(UTC).strftime("%Y-%m-%dT%H-%M-%S.%fZ") + ".db"))
    journal = store.with_name(store.name + "-journal")
    if store.exists():
        _link(store, aside)
    if journal.exists():
        _link(journal, aside.with_name(aside.name + "-journal"))
        journal.unlink()


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)  # no room is needed, and the name `store.db` is never without a file
    except OSError:
        shutil.copy2(source, target)
