"""Erasing a lesson from the whole history, as if it had never been stored.

Forgetting makes a new version without a lesson; the old versions still have it, so that it can be restored. Erasing takes it
out of all of them: every version that knew it knows the rest, and the chain of hashes is derived anew.
"""

import json
import re

from sqlite_utils import Database

from qfcore.store.hashing import content_hash, version_hash
from qfcore.store.records import LessonRecord

ERASED = "(erased)"
SHOWN = 79
"""Characters of a lesson that a version's message shows."""
_LONG = 12
_ABOUT = re.compile(r"^(?:Undid version \d+: |Forgot: |\d+ lessons: )+")


def erase_lesson(db: Database, model_sha256: str, record: LessonRecord) -> int:
    """Delete a lesson, its rows, and what the history says of it; the number of versions that knew it."""
    knew = db.execute("SELECT count(*) FROM version_lessons WHERE lesson_id = ?", [record.id]).fetchone()[0]
    db.execute("DELETE FROM version_lessons WHERE lesson_id = ?", [record.id])
    db.execute("DELETE FROM rows WHERE lesson_id = ?", [record.id])
    db.execute("DELETE FROM lessons WHERE id = ?", [record.id])
    for number, report in db.execute("SELECT version, report FROM reports").fetchall():
        if _tells(report, record):  # questions about the lesson, and what was answered
            db.execute("DELETE FROM reports WHERE version = ?", [number])
    _rewrite_history(db, model_sha256, record.lesson.text)
    return knew


def _tells(report: str, record: LessonRecord) -> bool:
    """Whether a report card names the lesson, or asks one of its questions, as one about a neighbour does."""
    texts = (record.id, record.lesson.text, *(phrasing.question for phrasing in record.phrasings))
    return any(json.dumps(text, ensure_ascii=False) in report for text in texts if text)


def quotes(message: str, text: str) -> bool:
    """Whether a version's message tells a lesson's text, whole or cut; a short text only as what the message is about."""
    beginning = text[:SHOWN]
    return _ABOUT.sub("", message) in (text, f"{beginning}…") or (len(beginning) >= _LONG and beginning in message)


def _rewrite_history(db: Database, model_sha256: str, text: str) -> None:
    hashes: dict[int, str] = {}
    rows = db.execute("SELECT number, kind, message, parent, created_at, solve FROM versions ORDER BY number").fetchall()
    for number, kind, message, parent, created_at, solve in rows:
        if quotes(message, text):
            message = ERASED
        entries = db.execute(
            "SELECT lesson_id, rows_digest FROM version_lessons WHERE version = ?", [number]
        ).fetchall()
        settings = json.loads(solve) if entries else {}
        content = content_hash(model_sha256, settings, entries)
        hashes[number] = version_hash(content, hashes.get(parent), number, kind, message, created_at)
        db.execute(
            "UPDATE versions SET hash = ?, content = ?, message = ?, solve = ? WHERE number = ?",
            [hashes[number], content, message, json.dumps(settings, sort_keys=True), number],
        )
