"""Lessons and their rows in the store."""

import json

from sqlite_utils import Database

from qfcore.errors import NotFound, StoreCorrupt
from qfcore.lesson import Lesson, Phrasing
from qfcore.rows import Rows
from qfcore.store.hashing import entry_digest
from qfcore.store.records import LessonRecord, PendingLesson

_SELECT = """SELECT l.number, l.id, l.text, l.question, l.answer, l.source, l.created_at,
    r.recipe, r.digest, r.phrasings, r.evidence FROM lessons l JOIN rows r ON r.lesson_id = l.id"""


def insert_lesson(db: Database, pending: PendingLesson, now: str) -> str:
    """Store a lesson and its rows unless they are there; the digest of its rows under this recipe.

    The first rows win: a lesson taught again reuses what was observed then, so its bytes stay the same.
    """
    lesson = pending.lesson
    db.execute(
        "INSERT INTO lessons (id, text, question, answer, source, created_at) VALUES (?, ?, ?, ?, ?, ?) "
        "ON CONFLICT (id) DO NOTHING",
        [lesson.id, lesson.text, lesson.question, lesson.answer, lesson.source, now],
    )
    known = rows_digest(db, lesson.id, pending.recipe)
    if known is not None:
        return known
    data = pending.rows.to_bytes()
    digest = entry_digest(lesson.id, data)
    phrasings = json.dumps([[p.question, p.answer] for p in pending.phrasings], ensure_ascii=False)
    evidence = json.dumps(pending.evidence, ensure_ascii=False, allow_nan=False)
    db.execute(
        "INSERT INTO rows (digest, lesson_id, recipe, data, phrasings, evidence, created_at) VALUES (?,?,?,?,?,?,?)",
        [digest, lesson.id, pending.recipe, data, phrasings, evidence, now],
    )
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
    return [_record(row) for row in db.execute(f"{_SELECT} ORDER BY l.number, r.created_at").fetchall()]


def lessons_with_rows(db: Database, digests: list[str]) -> list[LessonRecord]:
    """The lessons that these rows belong to, in the order of first teaching."""
    wanted = set(digests)
    return [record for record in all_lessons(db) if record.rows_digest in wanted]


def find_lesson(db: Database, reference: str) -> LessonRecord:
    """A lesson by number or by (a beginning of) its id.

    Raises:
        NotFound: none or several match.
    """
    text = str(reference).strip().lower().removeprefix("#")
    records = {record.id: record for record in all_lessons(db)}.values()
    if text.isdecimal():
        matches = [r for r in records if r.number == int(text)]
    else:
        matches = [r for r in records if len(text) >= 4 and r.id.startswith(text)]
    if len(matches) == 1:
        return matches[0]
    if matches:
        raise NotFound(f"{reference!r} is the beginning of {len(matches)} lessons' ids. Give more digits.")
    raise NotFound(f"There is no lesson {reference!r}. `qfchat lessons` lists numbers and ids.")


def _record(row: tuple) -> LessonRecord:
    number, id_, text, question, answer, source, created_at, recipe, digest, phrasings, evidence = row
    record = LessonRecord(
        number, Lesson(text, question, answer, source), recipe, digest,
        tuple(Phrasing(q, a) for q, a in json.loads(phrasings)), json.loads(evidence), created_at,
    )  # fmt: skip
    if record.id != id_:
        raise StoreCorrupt(f"Lesson {number} does not match its hash: its text changed on disk. Put back a backup.")
    return record
