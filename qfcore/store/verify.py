"""Re-derive every hash of a store and say what does not match."""

import json
import sqlite3

from sqlite_utils import Database

from qfcore.errors import QFError
from qfcore.lesson import Lesson
from qfcore.store import lessons as lesson_table
from qfcore.store.hashing import content_hash, version_hash
from qfcore.store.records import ModelIdentity, VerifyReport
from qfcore.store.seals import SEALED, broken_seals


def verify_store(db: Database, model: ModelIdentity) -> VerifyReport:
    """Check SQLite's own structures, lessons, rows, the content of versions, their chain, and the live pointer."""
    problems: list[str] = []
    checks = {
        "database": _check_database, "lessons": _check_lessons, "rows": _check_rows,
        "versions": lambda db, problems: _check_versions(db, model, problems), "seals": _check_seals,
    }  # fmt: skip
    checked = {}
    for name, check in checks.items():
        try:
            checked[name] = check(db, problems)
        except (sqlite3.Error, ValueError, TypeError, AttributeError) as error:  # damage that cannot even be read
            checked[name] = 0
            problems.append(f"{name}: cannot be read ({error})")
    return VerifyReport(checked, problems)


def _check_database(db: Database, problems: list[str]) -> int:
    for (line,) in db.execute("PRAGMA integrity_check").fetchall():
        if line != "ok":
            problems.append(f"database: {line}")
    for table, rowid, parent, _ in db.execute("PRAGMA foreign_key_check").fetchall():
        problems.append(f"database: row {rowid} of {table} points to a missing row of {parent}")
    return 1


def _check_lessons(db: Database, problems: list[str]) -> int:
    rows = db.execute("SELECT number, id, text, question, answer FROM lessons").fetchall()
    for number, id_, text, question, answer in rows:
        if Lesson(text, question, answer).id != id_:
            problems.append(f"lesson {number}: its text does not match its hash")
    return len(rows)


def _check_rows(db: Database, problems: list[str]) -> int:
    digests = [digest for (digest,) in db.execute("SELECT digest FROM rows").fetchall()]
    for digest in digests:
        try:
            lesson_table.load_rows(db, digest)
        except QFError as error:
            problems.append(f"rows {digest[:12]}: {error}")
    return len(digests)


def _check_versions(db: Database, model: ModelIdentity, problems: list[str]) -> int:
    hashes: dict[int, str] = {}
    rows = db.execute(
        "SELECT number, hash, content, kind, message, parent, created_at, solve FROM versions ORDER BY number"
    ).fetchall()
    for number, name, content, kind, message, parent, created_at, solve in rows:
        entries = db.execute(
            "SELECT lesson_id, rows_digest FROM version_lessons WHERE version = ?", [number]
        ).fetchall()
        if content_hash(model.sha256, json.loads(solve), entries) != content:
            problems.append(f"version {number}: its set of lessons does not match its content hash")
        if (parent is None) != (number == 0) or (number and parent not in hashes):  # else the chain would never end
            problems.append(f"version {number}: {parent} is not its parent")
        if version_hash(content, hashes.get(parent), number, kind, message, created_at) != name:
            problems.append(f"version {number}: it does not match its hash, or its parent changed")
        hashes[number] = name
    noted = db.execute("SELECT sha256, architecture, bytes FROM models").fetchall()
    if noted != [(model.sha256, model.architecture, model.bytes)]:
        problems.append("model: the store's note of its base model changed")
    if db.execute("SELECT count(*) FROM refs WHERE name = 'live'").fetchone()[0] != 1:
        problems.append("the live pointer is missing")
    return len(rows)


def _check_seals(db: Database, problems: list[str]) -> int:
    for table in SEALED:
        for key in broken_seals(db, table):
            problems.append(f"{table} {str(key)[:12]}: changed since it was written")
    return sum(db.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in SEALED)
