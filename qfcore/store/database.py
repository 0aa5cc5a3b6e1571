"""Opening the store's database: who may write, how it is kept safe, and short transactions.

SQLite before 3.51.3 can corrupt a database in WAL mode when two connections write, so the rollback journal is used
with EXTRA synchronisation: a commit costs about 20 ms, nothing beside a lesson.
"""

import contextlib
import json
import os
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import filelock
from sqlite_utils import Database

from qfcore.errors import HomeError, LessonError, NotFound, QFError, StoreBusy, StoreCorrupt, StoreUnfinished
from qfcore.store.backup import copy_database, hint_of_backup
from qfcore.store.migrations import APPLICATION_ID, NAMES, migrations

BEFORE = "store.before-{}.db"
"""Copy that is made before a migration, named by its first step."""
WAIT_SECONDS = 10.0
"""How long a statement waits for another process's commit."""
_SAFETY = {"foreign_keys": 1, "trusted_schema": 0, "cell_size_check": 1, "secure_delete": 1}
"""How every connection is set: SQLite says nothing of a setting that it does not take."""
_EXTRA = 3
"""The number of `synchronous = EXTRA`."""
_HASHED_ANYWAY = {"rows"}
"""Tables that the check at the start leaves out: they are big, and their bytes are hashed whenever they are read."""


class StoreDatabase:
    """One SQLite file, its lock against a second writer, and its transactions.

    Raises:
        HomeError: the folder cannot be written.
        StoreBusy: another process holds it for writing.
        StoreCorrupt: the file is no store of ours, or is damaged; it was not written.
        NotFound: read-only, and there is no store yet.
        StoreUnfinished: read-only, and a killed process left a change half done; opening for writing undoes it.
    """

    def __init__(self, folder: Path, *, read_only: bool) -> None:
        self.path = folder / "store.db"
        self.read_only = read_only
        self._guard = threading.RLock()
        self._file_lock: filelock.FileLock | None = None
        if read_only:
            with _explained(folder, "read"):
                if not self.path.exists():
                    raise NotFound(f"There is no knowledge in {folder} yet. Teach something first.")
                self._connect(f"file:{_quoted(self.path)}?mode=ro")
                with self._closed_on_failure():
                    if list(migrations.pending(self.db)):
                        raise NotFound(
                            f"The store in {folder} is of an earlier QF Chat. Opened for writing once, it is upgraded."
                        )
            return
        with _explained(folder):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._file_lock = store_lock(folder)
            try:
                if not self.path.exists():
                    os.close(os.open(self.path, os.O_CREAT | os.O_RDWR, 0o600))
                self._connect(f"file:{_quoted(self.path)}?mode=rw")
                with self._closed_on_failure():
                    self._prepare()
            except BaseException:
                self._release()
                raise

    def _connect(self, uri: str) -> None:
        self._connection = sqlite3.connect(
            uri, uri=True, check_same_thread=False, isolation_level=None, timeout=WAIT_SECONDS
        )
        self.db = Database(self._connection)
        self._connection.create_function("fold", 1, str.casefold, deterministic=True)
        with self._closed_on_failure(), _explained(self.path.parent):
            self._check()

    @contextlib.contextmanager
    def _closed_on_failure(self) -> Iterator[None]:
        try:
            yield
        except BaseException:
            self._connection.close()
            raise

    def _check(self) -> None:
        """Whether this is a store, and ours, and one that this program knows."""
        try:
            for name, value in _SAFETY.items():
                self._set(name, value)
            self._owner = self._connection.execute("PRAGMA application_id").fetchone()[0]
            self._fresh = not self._connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
            applied = {m.name for m in migrations.applied(self.db)}
            if not all(isinstance(name, str) for name in applied):  # one flipped bit makes a text a blob
                raise ValueError("the name of a migration is no text")
        except sqlite3.OperationalError as error:
            if getattr(error, "sqlite_errorcode", None) is None:
                raise self._damaged(error) from error
            raise  # busy, or no rights: nothing is damaged
        except (sqlite3.DatabaseError, ValueError, KeyError, TypeError) as error:
            raise self._damaged(error) from error
        # A process killed in its first moments left a store without the mark; its migrations show that it is ours.
        if self._owner != APPLICATION_ID and (self._owner or not (self._fresh or applied)):
            raise StoreCorrupt(f"{self.path} is not a store of QF Chat. Choose another home; it was left as it is.")
        if unknown := applied - NAMES:
            raise HomeError(
                f"{self.path} was written by a newer QF Chat (it knows {', '.join(sorted(unknown))}). "
                "Update QF Chat to open it; it was left as it is."
            )

    def _damaged(self, why: object) -> StoreCorrupt:
        return StoreCorrupt(
            f"{self.path} is damaged or no database ({why}). It was left as it is. {hint_of_backup(self.path.parent)}"
        )

    def _prepare(self) -> None:
        self._check_pages()
        self._use_rollback_journal()
        self._set("synchronous", _EXTRA)
        if self._owner != APPLICATION_ID:
            self._set("application_id", APPLICATION_ID)
        pending = list(migrations.pending(self.db))
        if pending and not self._fresh:
            copy_database(self._connection, self.path.with_name(BEFORE.format(pending[0].name)))
        if pending:
            migrations.apply(self.db)

    def _set(self, name: str, value: int) -> None:
        """Set a pragma and read it back; HomeError when SQLite did not take it."""
        self._connection.execute(f"PRAGMA {name} = {value}")
        found = self._connection.execute(f"PRAGMA {name}").fetchone()
        if found != (value,):
            raise HomeError(
                f"SQLite {sqlite3.sqlite_version} did not take the setting {name} = {value} (it has "
                f"{found[0] if found else 'no such setting'}), without which {self.path} would not be safe. Nothing was "
                "changed. Use a Python with a complete SQLite."
            )

    def _use_rollback_journal(self) -> None:
        found = self._connection.execute("PRAGMA journal_mode = DELETE").fetchone()[0]
        if found != "delete":
            raise StoreBusy(
                f"{self.path} keeps the journal mode {found!r}, as while another program has it open; QF Chat writes only "
                "with the rollback journal. Close the other program, then try again; nothing was changed."
            )

    def _check_pages(self) -> None:
        """A store whose pages are damaged is never written: that could spread the damage."""
        tables = self._connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        for (name,) in tables:
            if name in _HASHED_ANYWAY:
                continue
            try:
                found = self._connection.execute(f"PRAGMA quick_check('{name}')").fetchone()[0]
            except sqlite3.OperationalError:
                raise
            except sqlite3.DatabaseError as error:
                found = str(error)
            if found != "ok":
                raise self._damaged(found)

    @contextlib.contextmanager
    def writing(self) -> Iterator[Database]:
        """One short `BEGIN IMMEDIATE` transaction; undone as a whole when the block fails.

        Raises:
            HomeError: the disk is full or the store was opened for reading only.
        """
        if self.read_only:
            raise HomeError("The store was opened for reading only, so nothing can be changed.")
        with self._guard, _explained(self.path.parent):
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self.db
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    @contextlib.contextmanager
    def reading(self) -> Iterator[Database]:
        """Exclusive use of the connection by this thread."""
        with self._guard, _explained(self.path.parent):
            yield self.db

    @contextlib.contextmanager
    def copying(self) -> Iterator[sqlite3.Connection]:
        """The connection itself, for SQLite's own copying; raises as `reading` does."""
        with self._guard, _explained(self.path.parent):
            yield self._connection

    def scrub(self) -> None:
        """Drop the copies that were made before migrations, and rewrite the file without what was deleted."""
        with self._guard, _explained(self.path.parent):
            for copy in self.path.parent.glob(BEFORE.format("*")):
                copy.unlink(missing_ok=True)
            self._connection.execute("VACUUM")

    def close(self) -> None:
        """Close the file and give the lock back."""
        with self._guard:
            self._connection.close()
            self._release()

    def _release(self) -> None:
        if self._file_lock is not None:
            self._file_lock.release()
            self._file_lock = None


_INTERRUPTED = {sqlite3.SQLITE_READONLY_ROLLBACK, sqlite3.SQLITE_READONLY_RECOVERY}


ENDING = 0.5
"""Seconds for which the lock of a process that is just ending, or was killed, is waited for."""


def store_lock(folder: Path) -> filelock.FileLock:
    """The lock of whoever writes in a store's folder, taken; the system frees it when the process ends, however it ends.

    Raises:
        StoreBusy: another process has it. HomeError: the folder cannot be written.
    """
    lock = filelock.FileLock(folder / "store.lock", timeout=ENDING, poll_interval=0.02)
    with _explained(folder):
        try:
            lock.acquire()
        except filelock.Timeout:  # an OSError
            raise StoreBusy(
                f"Another QF Chat is using {folder}. Close its window or wait until its command is done, then try again."
            ) from None
    return lock


def _quoted(path: Path) -> str:
    return str(path).replace("%", "%25").replace("?", "%3f").replace("#", "%23")


@contextlib.contextmanager
def _explained(folder: Path, wanted: str = "written") -> Iterator[None]:
    try:
        yield
    except sqlite3.OperationalError as error:
        raise _in_words(error, folder) from error
    except UnicodeEncodeError as error:
        raise LessonError(
            f"A text holds U+{ord(error.object[error.start]):04X}, half of a character, which cannot be stored. Remove it."
        ) from error
    except OverflowError as error:
        raise NotFound("A number is too large to be that of anything here.") from error
    except (sqlite3.DatabaseError, UnicodeDecodeError, json.JSONDecodeError) as error:
        if isinstance(error, sqlite3.IntegrityError):
            raise
        raise StoreCorrupt(f"The store in {folder} is damaged: {error}. Run `qfchat verify`.") from error
    except OSError as error:
        raise HomeError(
            f"The folder {folder} cannot be {wanted} ({error.strerror or error}). "
            "Choose another one with --home or QFCHAT_HOME."
        ) from error


def _in_words(error: sqlite3.OperationalError, folder: Path) -> QFError:
    code = getattr(error, "sqlite_errorcode", None)
    if code is None:  # raised by Python's own reading, for text that is no UTF-8
        return StoreCorrupt(f"The store in {folder} is damaged: {error}. Run `qfchat verify`.")
    if code in _INTERRUPTED:
        return StoreUnfinished(
            f"A change of {folder} was interrupted. Opened for writing once, it is undone: any command that changes "
            "something does so, `qfchat run` too. What was stored is intact."
        )
    if code & 0xFF == sqlite3.SQLITE_FULL:
        return HomeError(f"There is no room left in {folder}. Free some space; what was stored is intact.")
    if code & 0xFF == sqlite3.SQLITE_IOERR:
        return HomeError(
            f"The disk of {folder} failed ({error}): it may be full, or broken. Free some space, or look at the disk; "
            "what was stored is intact."
        )
    if code & 0xFF == sqlite3.SQLITE_BUSY:
        return StoreBusy(f"{folder} is being written by another program. Try again in a moment.")
    return HomeError(f"{folder} cannot be used: {error}. Check the folder's permissions.")
