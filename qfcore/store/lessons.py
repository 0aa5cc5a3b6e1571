"""Lessons and their rows in the store."""

import json

from sqlite_utils import Database

from qfcore.errors import NotFound, StoreCorrupt
from qfcore.lesson import Lesson, Phrasing
from qfcore.rows import Rows
from qfcore.store.hashing import entry_digest
from qfcore.store.records import LessonRecord, PendingLesson
from qfcore.store.seals import broken_seals, reseal

_SELECT = """SELECT l.number, l.id, l.text, l.question, l.answer, l.source, l.created_at,
    r.recipe, r.digest, r.phrasings, r.evidence FROM lessons l JOIN rows r ON r.lesson_id = l.id"""


def insert_lesson(db: Database, pending: PendingLesson, now: str) -> str:
    """Store a lesson and its rows unless they are there; the digest of its rows under this recipe.

    The first rows win: a lesson taught again reuses what was observed then, so its bytes stay the same. Where two recipes
    observe just the same, the rows are the later one's: thorough that finds no other wording has done what it can.
    """
    lesson = pending.lesson
    added = db.execute(
        "INSERT INTO lessons (id, text, question, answer, source, created_at) VALUES (?, ?, ?, ?, ?, ?) "
        "ON CONFLICT (id) DO NOTHING",
        [lesson.id, lesson.text, lesson.question, lesson.answer, lesson.source, now],
    )
    if added.rowcount > 0:
        reseal(db, "lessons", added.lastrowid)
    known = rows_digest(db, lesson.id, pending.recipe)
    if known is not None:
        return known
    data = pending.rows.to_bytes()
    digest = entry_digest(lesson.id, data)
    phrasings = json.dumps([[p.question, p.answer] for p in pending.phrasings], ensure_ascii=False)
    evidence = json.dumps(pending.evidence, ensure_ascii=False, allow_nan=False)
    added = db.execute(
        "INSERT INTO rows (digest, lesson_id, recipe, data, phrasings, evidence, created_at) VALUES (?,?,?,?,?,?,?) "
        "ON CONFLICT (digest) DO NOTHING",
        [digest, lesson.id, pending.recipe, data, phrasings, evidence, now],
    )
    if added.rowcount <= 0:
        if broken_seals(db, "rows", digest):
            return digest  # sealed anew, what was changed on the disk would look sound
        db.execute("UPDATE rows SET recipe = ? WHERE digest = ?", [pending.recipe, digest])
    reseal(db, "rows", digest)
    return digest


def rows_digest(db: Database, lesson_id: str, recipe: str) -> str | None:
    """Digest of a lesson's rows under a recipe, None when it was never observed so."""
    found = db.execute("SELECT digest FROM rows WHERE lesson_id = ? AND recipe = ?", [lesson_id, recipe]).fetchone()
    return found[0] if found else None


def load_rows(db: Database, digest: str) -> Rows:
    """Rows by digest.

    Raises:
        StoreCorrupt: missing, or their bytes changed.
    """
    found = db.execute("SELECT lesson_id, data FROM rows WHERE digest = ?", [digest]).fetchone()
    if not found:
        raise StoreCorrupt(f"Rows {digest[:12]} are missing from the store. Run `qfchat verify`.")
    lesson_id, data = found
    if entry_digest(lesson_id, data) != digest:
        raise StoreCorrupt(
            f"The rows of lesson {lesson_id[:12]} changed on disk. Forget and teach it again, or put back a backup."
        )
    return Rows.from_bytes(data)


def all_lessons(db: Database) -> list[LessonRecord]:
    """Every lesson ever taught, one record per lesson and recipe, oldest first."""
    return _select(db, "", [])


def lessons_of(db: Database, version: int) -> list[LessonRecord]:
    """The lessons of a version, in the order of first teaching."""
    return _select(db, "WHERE r.digest IN (SELECT rows_digest FROM version_lessons WHERE version = ?)", [version])


def lesson_with_rows(db: Database, digest: str) -> LessonRecord:
    """The lesson that these rows belong to; NotFound when there is none."""
    found = _select(db, "WHERE r.digest = ?", [digest])
    if not found:
        raise NotFound(f"There are no rows {digest[:12]}.")
    return found[0]


def find_lesson(db: Database, reference: str) -> LessonRecord:
    """A lesson by number or by (a beginning of) its id.

    Raises:
        NotFound: none or several match.
    """
    text = str(reference).strip().lower().removeprefix("#")
    matches: list[LessonRecord] = []
    if text.isdecimal() and len(text) < 16:
        matches = _select(db, "WHERE l.number = ?", [int(text)])
    if not matches and len(text) >= 4 and set(text) <= set("0123456789abcdef"):  # which may begin with digits only
        matches = _select(db, "WHERE l.id >= ? AND l.id < ?", [text, text + "g"])
    unique = list({record.id: record for record in matches}.values())
    if len(unique) == 1:
        return unique[0]
    if unique:
        raise NotFound(f"{reference!r} is the beginning of {len(unique)} lessons' ids. Give more digits.")
    raise NotFound(f"There is no lesson {reference!r}. `qfchat lessons` lists numbers and ids.")


def _select(db: Database, where: str, values: list) -> list[LessonRecord]:
    return [_record(row) for row in db.execute(f"{_SELECT} {where} ORDER BY l.number, r.created_at", values).fetchall()]


def _record(row: tuple) -> LessonRecord:
    number, id_, text, question, answer, source, created_at, recipe, digest, phrasings, evidence = row
    record = LessonRecord(
        number, Lesson(text, question, answer, source), recipe, digest,
        tuple(Phrasing(q, a) for q, a in json.loads(phrasings)), json.loads(evidence), created_at,
    )  # fmt: skip
    if record.id != id_:
        raise StoreCorrupt(f"Lesson {number} does not match its hash: its text changed on disk. Put back a backup.")
    return record
