"""Seals: a hash over what the content hashes do not cover, so that no bit that touches knowledge can change unseen.

A lesson's text, its rows and the set of lessons of a version have names that are their content's hash (hashing.py). What is
left (who taught it and when, the questions that bring it into scope, report cards, names of versions) is sealed here.
"""

import hashlib
import json

from sqlite_utils import Database

SEALED = {
    "models": ("id", "sha256", "name", "architecture", "bytes"),
    "lessons": ("number", "id", "source", "created_at"),
    "rows": ("digest", "lesson_id", "recipe", "phrasings", "evidence", "created_at"),
    "reports": ("version", "report"),
    "refs": ("name", "version", "kind"),
    "current": ("id", "branch"),
}
"""Sealed columns by table; the first one is the key."""


def seal_of(table: str, values: tuple) -> str:
    """SHA-256 (64 hex digits) over a table's name and the sealed columns of one of its rows."""
    text = json.dumps([table, *values], ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def reseal(db: Database, table: str, key: object = None) -> None:
    """Seal one row after it was written, or all rows of a table."""
    columns = SEALED[table]
    where, values = _chosen(table, key)
    for row in db.execute(f"SELECT {', '.join(columns)} FROM {table}{where}", values).fetchall():
        db.execute(f"UPDATE {table} SET seal = ? WHERE {columns[0]} = ?", [seal_of(table, row), row[0]])


def broken_seals(db: Database, table: str, key: object = None) -> list[object]:
    """Keys of the rows whose seal does not match, of all rows of a table or of one."""
    where, values = _chosen(table, key)
    rows = db.execute(f"SELECT {', '.join(SEALED[table])}, seal FROM {table}{where}", values).fetchall()
    return [row[0] for row in rows if seal_of(table, row[:-1]) != row[-1]]


def _chosen(table: str, key: object) -> tuple[str, list[object]]:
    """SQL for one row of a table, or for all, and its values."""
    return (f" WHERE {SEALED[table][0]} = ?", [key]) if key is not None else ("", [])
