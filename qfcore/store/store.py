"""The knowledge of one base model: lessons, versions, the live pointer, chats."""

import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from sqlite_utils import Database

from qfcore.errors import ModelError, NotFound, StoreBusy
from qfcore.rows import Rows
from qfcore.store import lessons as lesson_table
from qfcore.store.chats import ChatTables
from qfcore.store.database import StoreDatabase
from qfcore.store.hashing import content_hash, version_hash
from qfcore.store.records import LessonRecord, ModelIdentity, PendingLesson, VerifyReport, Version
from qfcore.store.verify import verify_store

LIVE = "live"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


class Store:
    """Open with `Store.open`; every method may be called from any thread."""

    def __init__(self, database: StoreDatabase, folder: Path, model: ModelIdentity, clock: Callable[[], str]) -> None:
        self._database, self.folder, self.model, self._clock = database, folder, model, clock
        self.chats = ChatTables(database, clock)

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

    def _begin(self) -> None:
        with self._database.reading() as db:
            found = db.execute("SELECT sha256 FROM models").fetchone()
        if found and found[0] != self.model.sha256:
            raise ModelError(f"{self.folder} holds the knowledge of another model ({found[0][:12]}).")
        if found:
            return
        with self._database.writing() as db:
            values = {"id": 1, **vars(self.model)}
            db.execute("INSERT INTO models VALUES (:id, :sha256, :name, :architecture, :bytes)", values)
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
            return lesson_table.lessons_with_rows(db, [digest for _, digest in version.entries])

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
            return lesson_table.lessons_with_rows(db, [digest])[0] if digest else None

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
            live = self._live_number(db)
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
            parent = self._version(db, self._live_number(db))
            text = message or f"Restored version {old.number}"
            return self._insert_version(db, old.entries, old.solve, kind, text, parent, None)

    def live(self) -> Version:
        """The version that answers."""
        with self._database.reading() as db:
            return self._version(db, self._live_number(db))

    def version(self, reference: str | int) -> Version:
        """A version by number, "v3", "live", "base" or the beginning of its hash; NotFound otherwise."""
        with self._database.reading() as db:
            return self._find(db, reference)

    def versions(self) -> list[Version]:
        """All versions, newest first."""
        with self._database.reading() as db:
            numbers = db.execute("SELECT number FROM versions ORDER BY number DESC").fetchall()
            return [self._version(db, number) for (number,) in numbers]

    def report(self, version: Version) -> dict | None:
        """The report card that was made before the version was applied."""
        with self._database.reading() as db:
            found = db.execute("SELECT report FROM reports WHERE version = ?", [version.number]).fetchone()
            return json.loads(found[0]) if found else None

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
        db.execute("INSERT OR REPLACE INTO refs (name, version) VALUES (?, ?)", [LIVE, number])
        return self._version(db, number)

    def _live_number(self, db: Database) -> int:
        return db.execute("SELECT version FROM refs WHERE name = ?", [LIVE]).fetchone()[0]

    def _version(self, db: Database, number: int) -> Version:
        row = db.execute(
            "SELECT number, hash, content, kind, message, parent, created_at, solve FROM versions WHERE number = ?",
            [number],
        ).fetchone()
        entries = db.execute(
            "SELECT lesson_id, rows_digest FROM version_lessons WHERE version = ? ORDER BY lesson_id", [number]
        ).fetchall()
        return Version(*row[:7], tuple(map(tuple, entries)), json.loads(row[7]))

    def _find(self, db: Database, reference: str | int) -> Version:
        text = str(reference).strip().lower()
        if text == LIVE:
            return self._version(db, self._live_number(db))
        number = "0" if text == "base" else text.removeprefix("v")
        if number.isdecimal():
            found = db.execute("SELECT number FROM versions WHERE number = ?", [int(number)]).fetchall()
        else:
            rows = db.execute("SELECT number, hash FROM versions").fetchall()
            plain = text.removeprefix("qf1:")
            found = [(n,) for n, h in rows if len(plain) >= 6 and h.removeprefix("qf1:").startswith(plain)]
        if len(found) != 1:
            newest = db.execute("SELECT max(number) FROM versions").fetchone()[0]
            raise NotFound(
                f"There is no version {str(reference)!r}; the versions are 0 (the base) to {newest}, or 'live'."
            )
        return self._version(db, found[0][0])
