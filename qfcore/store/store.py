"""The knowledge of one base model: lessons, versions, the live pointer, chats."""

import json
import sqlite3
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from sqlite_utils import Database

from qfcore.errors import BundleError, HomeError, ModelError, NotFound, StoreBusy
from qfcore.rows import Rows
from qfcore.store import lessons as lesson_table
from qfcore.store.backup import (
    KEPT,
    Backup,
    copies_with,
    delete_copy,
    drop_old,
    name_for_backup,
    newest_good,
    put_back,
    write_backup,
)
from qfcore.store.bundle import Bundle, insert_history, place_replays, write_bundle
from qfcore.store.chats import ChatTables
from qfcore.store.database import StoreDatabase, store_lock
from qfcore.store.erase import erase_lesson
from qfcore.store.hashing import content_hash, version_hash
from qfcore.store.names import LIVE, NameTables, live_number, move_live, named
from qfcore.store.records import LessonRecord, ModelIdentity, PendingLesson, VerifyReport, Version, VersionDiff
from qfcore.store.replays import needed_replays, sound_replays
from qfcore.store.seals import reseal
from qfcore.store.verify import verify_store

_VERSION = "SELECT number, hash, content, kind, message, parent, created_at, solve FROM versions"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


class Store:
    """Open with `Store.open`; every method may be called from any thread."""

    def __init__(self, database: StoreDatabase, folder: Path, model: ModelIdentity, clock: Callable[[], str]) -> None:
        self._database, self.folder, self.model, self._clock = database, folder, model, clock
        self._entries: dict[str, tuple[tuple[str, str], ...]] = {}
        """What versions know, by their hashes, as `versions` read it last."""
        self.chats = ChatTables(database, clock)
        self.names = NameTables(database, lambda db, reference: self._find(db, reference).number)

    @classmethod
    def open(
        cls, stores: Path, model: ModelIdentity, *, read_only: bool = False, clock: Callable[[], str] = _now
    ) -> "Store":
        """Open the store of `model` below the folder `stores`, creating it when it may be written.

        Raises:
            HomeError, StoreBusy, StoreCorrupt, NotFound: see StoreDatabase.
            ModelError: the folder holds the knowledge of another model.
        """
        folder = stores / model.sha256[:16]
        database = StoreDatabase(folder, read_only=read_only)
        store = cls(database, folder, model, clock)
        try:
            store._begin()
        except BaseException:
            database.close()
            raise
        return store

    @staticmethod
    def restore_backup(stores: Path, model: ModelIdentity, backup: Path | None = None) -> Path:
        """Put a backup in the place of the store of `model`, which stays beside it under another name; the backup's folder.

        backup: None takes the newest good one in the store's folder.

        Raises:
            NotFound: there is none. StoreBusy: another process has the store open for writing.
            StoreCorrupt: the backup is damaged or of another model; nothing was changed. ExportError: the disk is full.
        """
        folder = stores / model.sha256[:16]
        chosen = backup or newest_good(folder)
        if chosen is None:
            raise NotFound(f"There is no good backup in {folder}. Give the folder of one: qfchat restore-backup FOLDER")
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = store_lock(folder)
        try:
            put_back(folder, chosen, model)
        finally:
            lock.release()
        return chosen

    def _begin(self) -> None:
        with self._database.reading() as db:
            found = db.execute("SELECT sha256 FROM models").fetchone()
        if found and found[0] != self.model.sha256:
            raise ModelError(f"{self.folder} holds the knowledge of another model ({str(found[0])[:12]}).")
        if found:
            return
        with self._database.writing() as db:
            values = {"id": 1, **vars(self.model)}
            db.execute(
                "INSERT INTO models (id, sha256, name, architecture, bytes) "
                "VALUES (:id, :sha256, :name, :architecture, :bytes)", values,
            )  # fmt: skip
            reseal(db, "models")
            self._insert_version(db, (), {}, "base", "The model as it came", None, None)

    @property
    def read_only(self) -> bool:
        """Whether nothing can be changed."""
        return self._database.read_only

    # -- lessons ------------------------------------------------------------------------------------------------

    def lessons(self, version: "Version | None" = None) -> list[LessonRecord]:
        """The lessons of a version, or all that were ever taught."""
        with self._database.reading() as db:
            if version is None:
                return list({r.id: r for r in lesson_table.all_lessons(db)}.values())
            return lesson_table.lessons_of(db, version.number)

    def lesson(self, reference: str) -> LessonRecord:
        """A lesson by number or id; NotFound when there is none."""
        with self._database.reading() as db:
            return lesson_table.find_lesson(db, reference)

    def rows(self, digest: str) -> Rows:
        """Rows by digest, checked against it (StoreCorrupt)."""
        with self._database.reading() as db:
            return lesson_table.load_rows(db, digest)

    def known_rows(self, lesson_id: str, recipe: str) -> LessonRecord | None:
        """What an earlier teaching of this lesson under this recipe observed."""
        with self._database.reading() as db:
            digest = lesson_table.rows_digest(db, lesson_id, recipe)
            return lesson_table.lesson_with_rows(db, digest) if digest else None

    def keep_rows(self, pending: PendingLesson) -> None:
        """Store what was observed of a lesson before any version knows it, so that stopped work can go on."""
        with self._database.writing() as db:
            lesson_table.insert_lesson(db, pending, self._clock())

    def first_versions(self) -> dict[str, int]:
        """For each lesson that a version ever knew, by id, the number of the first one."""
        return {lesson_id: version.number for version in self.versions() for lesson_id, _ in version.entries}

    def taught_in(self, lesson_id: str) -> Version:
        """The version that knew a lesson first.

        Raises:
            NotFound: no version ever did.
        """
        with self._database.reading() as db:
            number = db.execute("SELECT min(version) FROM version_lessons WHERE lesson_id = ?", [lesson_id]).fetchone()[0]
            if number is None:
                raise NotFound(f"No version knows lesson {lesson_id[:12]}.")
            return self._version(db, number)

    def erase(self, reference: str) -> int:
        """Take a lesson out of the whole history and off the disk; the number of versions that knew it.

        Backups beside the store that know it are deleted. Conversations are left alone, and so are files that were exported
        or backed up elsewhere.

        Raises:
            NotFound: there is no such lesson. HomeError: it is erased, but a copy could not be deleted or the file not be
            rewritten (disk full).
        """
        with self._database.writing() as db:
            record = lesson_table.find_lesson(db, reference)
            knew = erase_lesson(db, self.model.sha256, record)
            parent = self._version(db, live_number(db))
            self._insert_version(db, parent.entries, parent.solve, "erase", "Erased a lesson from the history", parent, None)
        self._leave_no_trace(record)
        return knew

    def _leave_no_trace(self, record: LessonRecord) -> None:
        """Delete caches and copies, then rewrite the file; each is tried whatever becomes of the others."""
        left: list[str] = []
        for path in [*(self.folder / "adapters").rglob("*.gguf"), *copies_with(self.folder, record.id)]:
            try:
                delete_copy(path)
            except OSError as error:
                left.append(f"{path} could not be deleted ({error.strerror or error})")
        try:
            self._database.scrub()
        except HomeError as error:
            left.append(f"the store's file could not be rewritten: {error}")
        if left:
            raise HomeError(
                f"Lesson {record.number} is erased: no version knows it, and its bytes in the store were overwritten with "
                f"zeros. But {'; '.join(left)}"
            )

    # -- versions -----------------------------------------------------------------------------------------------

    def commit(
        self,
        *,
        keep: Sequence[tuple[str, str]],
        new: Sequence[PendingLesson] = (),
        solve: dict,
        kind: str,
        message: str,
        expect_live: int | None,
        report: dict | None = None,
    ) -> Version:
        """Make a version out of kept entries and new lessons, and make it live, in one transaction.

        Raises:
            StoreBusy: the live version is no longer `expect_live`; nothing was changed.
        """
        with self._database.writing() as db:
            live = live_number(db)
            if expect_live is not None and live != expect_live:
                raise StoreBusy(
                    f"The knowledge changed meanwhile: version {live} is live, version {expect_live} was. "
                    "Look at the new state and try again; nothing was changed."
                )
            now = self._clock()
            entries = dict(keep)
            for pending in new:
                entries[pending.lesson.id] = lesson_table.insert_lesson(db, pending, now)
            parent = self._version(db, live)
            return self._insert_version(db, tuple(sorted(entries.items())), solve, kind, message, parent, report)

    def restore(self, reference: str | int, message: str | None = None, *, kind: str = "restore") -> Version:
        """A new version that knows what an earlier one knew; nothing is lost.

        Raises:
            NotFound: there is no such version.
        """
        with self._database.writing() as db:
            old = self._find(db, reference)
            parent = self._version(db, live_number(db))
            text = message or f"Restored version {old.number}"
            return self._insert_version(db, old.entries, old.solve, kind, text, parent, None)

    def live(self) -> Version:
        """The version that answers."""
        with self._database.reading() as db:
            return self._version(db, live_number(db))

    def version(self, reference: str | int) -> Version:
        """A version by number, "v3", "live", "base", branch, tag or the beginning of its hash; NotFound otherwise."""
        with self._database.reading() as db:
            return self._find(db, reference)

    def versions(self) -> list[Version]:
        """All versions, newest first."""
        with self._database.reading() as db:
            rows = db.execute(f"{_VERSION} ORDER BY number DESC").fetchall()
            known = self._entries  # by hash, which covers them: reading a thousand versions anew takes seconds
            self._entries = {
                row[1]: known[row[1]] if row[1] in known else self._entries_of(db, row[0]) for row in rows
            }
            return [Version(*row[:7], self._entries[row[1]], json.loads(row[7])) for row in rows]

    @staticmethod
    def _entries_of(db: Database, number: int) -> tuple[tuple[str, str], ...]:
        found = db.execute(
            "SELECT lesson_id, rows_digest FROM version_lessons WHERE version = ? ORDER BY lesson_id", [number]
        ).fetchall()
        return tuple((sys.intern(lesson_id), sys.intern(digest)) for lesson_id, digest in found)

    def diff(self, old: str | int, new: str | int) -> VersionDiff:
        """The lessons that one version knows and the other does not; NotFound when one of them does not exist."""
        with self._database.reading() as db:
            first, second = self._find(db, old), self._find(db, new)
            before = {r.id: r for r in lesson_table.lessons_of(db, first.number)}
            after = {r.id: r for r in lesson_table.lessons_of(db, second.number)}
        return VersionDiff(
            first, second,
            tuple(r for i, r in after.items() if i not in before),
            tuple(r for i, r in before.items() if i not in after),
            tuple(r for i, r in after.items() if i in before and before[i].rows_digest != r.rows_digest),
        )  # fmt: skip

    def report(self, version: Version) -> dict | None:
        """The report card that was made before the version was applied."""
        with self._database.reading() as db:
            found = db.execute("SELECT report FROM reports WHERE version = ?", [version.number]).fetchone()
            return json.loads(found[0]) if found else None

    def reports(self) -> list[tuple[int, dict]]:
        """All report cards as (version, report), newest first."""
        with self._database.reading() as db:
            rows = db.execute("SELECT version, report FROM reports ORDER BY version DESC").fetchall()
            return [(number, json.loads(text)) for number, text in rows]

    def lineage(self, version: Version) -> list[int]:
        """Numbers of a version and of those that it came from, newest first."""
        with self._database.reading() as db:
            parents = dict(db.execute("SELECT number, parent FROM versions").fetchall())
        numbers, number = [], version.number
        while number is not None:
            numbers.append(number)
            number = parents.get(number)
        return numbers

    def note_check(self, version: Version, lesson_id: str, asked: Sequence[tuple[str, str, bool]]) -> str:
        """Keep what a version said of one of its lessons with its report card; the time (ISO, UTC) that is noted.

        asked: (question, what was said, whether it tells the lesson). Of a lesson that was erased meanwhile nothing is kept,
        and the time is empty.
        """
        now = self._clock()
        with self._database.writing() as db:
            known = "SELECT 1 FROM version_lessons WHERE version = ? AND lesson_id = ?"
            if not db.execute(known, [version.number, lesson_id]).fetchone():
                return ""
            found = db.execute("SELECT report FROM reports WHERE version = ?", [version.number]).fetchone()
            report = json.loads(found[0]) if found else {}
            answers = [{"question": question, "said": said, "ok": ok} for question, said, ok in asked]
            report.setdefault("checks", {})[lesson_id] = {"at": now, "asked": answers}
            text = json.dumps(report, ensure_ascii=False, allow_nan=False)
            db.execute("INSERT OR REPLACE INTO reports (version, report) VALUES (?, ?)", [version.number, text])
            reseal(db, "reports", version.number)
        return now

    # -- bundles ------------------------------------------------------------------------------------------------

    def write_bundle(self, out: Path) -> dict:
        """Write all knowledge into one file; ExportError when that fails."""
        with self._database.reading() as db:
            return write_bundle(db, self.model, sound_replays(needed_replays(db), [self.folder]), out)

    @property
    def is_fresh(self) -> bool:
        """Whether nothing was ever taught here."""
        with self._database.reading() as db:
            lessons = db.execute("SELECT count(*) FROM lessons").fetchone()[0]
            return not lessons and len(db.execute("SELECT number FROM versions").fetchall()) == 1

    def check_base(self, bundle: Bundle) -> None:
        """Raises BundleError when a bundle's rows were observed on another base model."""
        if bundle.model.sha256 != self.model.sha256:
            raise BundleError(
                f"The bundle was made with {bundle.model.name} ({bundle.model.sha256[:12]}); this store belongs to "
                f"{self.model.name} ({self.model.sha256[:12]}). What was observed on one model does not fit another: "
                "open that model, or import with --reobserve to teach the lessons to this one."
            )

    def adopt(self, bundle: Bundle) -> Version:
        """Take over a bundle's whole history into a store that knows nothing yet; the live version.

        Raises:
            BundleError: another base model. StoreBusy: the store is not fresh.
        """
        self.check_base(bundle)
        place_replays(bundle, self.folder)
        with self._database.writing() as db:
            if not self.is_fresh:
                raise StoreBusy("Something was taught here meanwhile, so the bundle's history was not taken over.")
            try:
                insert_history(db, bundle)
            except (sqlite3.IntegrityError, UnicodeError, OverflowError) as error:
                raise BundleError(f"The bundle does not fit together, so nothing was taken over: {error}.") from error
        return self.live()

    def needed_replays(self) -> dict[str, list[int]]:
        """The versions that were solved with each replay file, by the file's SHA-256."""
        with self._database.reading() as db:
            return needed_replays(db)

    def back_up(self, shared: Path, out: Path | None = None, kept: int = KEPT) -> Backup:
        """A backup that was read back and verified. out: None makes one of the last `kept` in the store's folder.

        shared: where further replay files of this model lie.

        Raises:
            ExportError: it cannot be written. StoreCorrupt: the copy does not verify; nothing was written.
        """
        with self._database.copying() as connection:
            made = write_backup(connection, self.folder, shared, out or name_for_backup(self.folder), self.model)
        if out is None:
            drop_old(self.folder, kept)
        return made

    def verify(self) -> VerifyReport:
        """Re-derive every hash."""
        with self._database.reading() as db:
            return verify_store(db, self.model)

    def close(self) -> None:
        """Close the file and let another process write."""
        self._database.close()

    # -- inside -------------------------------------------------------------------------------------------------

    def _insert_version(
        self, db: Database, entries: tuple, solve: dict, kind: str, message: str, parent: Version | None,
        report: dict | None,
    ) -> Version:  # fmt: skip
        number = db.execute("SELECT coalesce(max(number), -1) + 1 FROM versions").fetchone()[0]
        now = self._clock()
        content = content_hash(self.model.sha256, solve if entries else {}, entries)
        name = version_hash(content, parent.hash if parent else None, number, kind, message, now)
        parent_number = parent.number if parent else None
        solve_text = json.dumps(solve if entries else {}, sort_keys=True, allow_nan=False)
        db.execute(
            "INSERT INTO versions (number, hash, content, kind, message, parent, created_at, solve) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            [number, name, content, kind, message, parent_number, now, solve_text],
        )
        for lesson_id, digest in entries:
            db.execute("INSERT INTO version_lessons VALUES (?, ?, ?)", [number, lesson_id, digest])
        if report is not None:
            text = json.dumps(report, ensure_ascii=False, allow_nan=False)
            db.execute("INSERT INTO reports (version, report) VALUES (?, ?)", [number, text])
            reseal(db, "reports", number)
        move_live(db, number)
        return self._version(db, number)

    def _version(self, db: Database, number: int) -> Version:
        row = db.execute(f"{_VERSION} WHERE number = ?", [number]).fetchone()
        return Version(*row[:7], self._entries_of(db, number), json.loads(row[7]))

    def _find(self, db: Database, reference: str | int) -> Version:
        text = str(reference).strip()
        number = named(db, LIVE if text.lower() == LIVE else text)
        if number is not None:
            return self._version(db, number)
        text = text.lower()
        plain = "0" if text == "base" else text.removeprefix("v")
        found = []
        if plain.isdecimal() and len(plain) < 16:
            found = db.execute("SELECT number FROM versions WHERE number = ?", [int(plain)]).fetchall()
        if not found:  # a hash may begin with digits only
            rows = db.execute("SELECT number, hash FROM versions").fetchall()
            plain = text.removeprefix("qf1:")
            found = [(n,) for n, h in rows if len(plain) >= 6 and h.removeprefix("qf1:").startswith(plain)]
        if len(found) != 1:
            newest = db.execute("SELECT max(number) FROM versions").fetchone()[0]
            raise NotFound(
                f"There is no version {str(reference)!r}; the versions are 0 (the base) to {newest}, 'live', "
                "or the name of a branch or tag."
            )
        return self._version(db, found[0][0])
