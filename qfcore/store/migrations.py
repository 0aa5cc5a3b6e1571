"""The schema, one numbered step after another. Steps are never edited once released; a new one is added."""

from sqlite_utils import Database
from sqlite_utils.migrations import Migrations

from qfcore.store.seals import SEALED, reseal

APPLICATION_ID = 0x51464348  # "QFCH"

migrations = Migrations("qfchat")


@migrations()
def m001_knowledge(db: Database) -> None:
    """Models, lessons, rows, versions, refs, reports."""
    for statement in (
        """CREATE TABLE models (
            id INTEGER PRIMARY KEY CHECK (id = 1), sha256 TEXT NOT NULL, name TEXT NOT NULL,
            architecture TEXT NOT NULL, bytes INTEGER NOT NULL) STRICT""",
        """CREATE TABLE lessons (
            number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, text TEXT NOT NULL,
            question TEXT NOT NULL, answer TEXT NOT NULL, source TEXT NOT NULL, created_at TEXT NOT NULL) STRICT""",
        """CREATE TABLE rows (
            digest TEXT PRIMARY KEY, lesson_id TEXT NOT NULL REFERENCES lessons(id), recipe TEXT NOT NULL,
            data BLOB NOT NULL, phrasings TEXT NOT NULL, evidence TEXT NOT NULL, created_at TEXT NOT NULL,
            UNIQUE (lesson_id, recipe)) STRICT""",
        """CREATE TABLE versions (
            number INTEGER PRIMARY KEY, hash TEXT NOT NULL UNIQUE, content TEXT NOT NULL, kind TEXT NOT NULL,
            message TEXT NOT NULL, parent INTEGER REFERENCES versions(number), created_at TEXT NOT NULL,
            solve TEXT NOT NULL) STRICT""",
        """CREATE TABLE version_lessons (
            version INTEGER NOT NULL REFERENCES versions(number), lesson_id TEXT NOT NULL REFERENCES lessons(id),
            rows_digest TEXT NOT NULL REFERENCES rows(digest), PRIMARY KEY (version, lesson_id)) STRICT""",
        """CREATE TABLE refs (
            name TEXT PRIMARY KEY, version INTEGER NOT NULL REFERENCES versions(number)) STRICT""",
        """CREATE TABLE reports (
            version INTEGER PRIMARY KEY REFERENCES versions(number), report TEXT NOT NULL) STRICT""",
    ):
        db.execute(statement)


@migrations()
def m002_chats(db: Database) -> None:
    """Chats and the trees of their messages, with full-text search."""
    for statement in (
        """CREATE TABLE chats (
            id INTEGER PRIMARY KEY AUTOINCREMENT, title TEXT NOT NULL, created_at TEXT NOT NULL,
            updated_at TEXT NOT NULL, leaf INTEGER) STRICT""",
        """CREATE TABLE messages (
            id INTEGER PRIMARY KEY AUTOINCREMENT, chat_id INTEGER NOT NULL REFERENCES chats(id) ON DELETE CASCADE,
            parent_id INTEGER REFERENCES messages(id) ON DELETE CASCADE, role TEXT NOT NULL, content TEXT NOT NULL,
            version INTEGER, stats TEXT NOT NULL, created_at TEXT NOT NULL) STRICT""",
        "CREATE INDEX messages_of_chat ON messages(chat_id)",
    ):
        db.execute(statement)


@migrations()
def m003_names_and_seals(db: Database) -> None:
    """Branches and tags; a seal over everything that the content hashes do not cover."""
    db.execute("ALTER TABLE refs ADD COLUMN kind TEXT NOT NULL DEFAULT 'live'")
    db.execute("CREATE TABLE current (id INTEGER PRIMARY KEY CHECK (id = 1), branch TEXT NOT NULL) STRICT")
    db.execute("INSERT INTO refs (name, version, kind) SELECT 'main', version, 'branch' FROM refs WHERE name = 'live'")
    db.execute("INSERT INTO current VALUES (1, 'main')")
    for table in SEALED:
        db.execute(f"ALTER TABLE {table} ADD COLUMN seal TEXT NOT NULL DEFAULT ''")
        reseal(db, table)


@migrations()
def m004_chat_settings(db: Database) -> None:
    """How each conversation is answered: system prompt, sampling, version."""
    db.execute("ALTER TABLE chats ADD COLUMN settings TEXT NOT NULL DEFAULT '{}'")


NAMES = {step.__name__ for step in (m001_knowledge, m002_chats, m003_names_and_seals, m004_chat_settings)}
"""All steps that this program knows."""
