"""Names of versions: the live pointer, branches (which move with every change made on them) and tags (which stay)."""

import re
from collections.abc import Callable

from sqlite_utils import Database

from qfcore.errors import NameRefused, NotFound
from qfcore.hidden import HIDDEN
from qfcore.store.database import StoreDatabase
from qfcore.store.records import NamedVersion
from qfcore.store.seals import reseal

LIVE, MAIN = "live", "main"
_RESERVED = {LIVE, "base"}
_FORM = re.compile(r"[^\W\d_][\w .-]{0,63}")
_LIKE_NUMBER = re.compile(r"v?\d+|qf1:.*", re.IGNORECASE)


def is_name(name: str) -> bool:
    """Whether a branch or tag can be called so."""
    refused = HIDDEN.search(name) or _LIKE_NUMBER.fullmatch(name) or name.lower() in _RESERVED
    return bool(_FORM.fullmatch(name)) and not refused


def live_number(db: Database) -> int:
    """Number of the version that answers."""
    return named(db, LIVE)


def named(db: Database, name: str) -> int | None:
    """Number of the version that a name means; None when there is no such name."""
    row = db.execute("SELECT version FROM refs WHERE name = ?", [name]).fetchone()
    return row[0] if row else None


def current_branch(db: Database) -> str:
    """The branch that the next change belongs to."""
    return db.execute("SELECT branch FROM current").fetchone()[0]


def move_live(db: Database, number: int) -> None:
    """Make a version live; the current branch moves along."""
    _point(db, LIVE, number, "live")
    _point(db, current_branch(db), number, "branch")


def _point(db: Database, name: str, number: int, kind: str) -> None:
    db.execute("INSERT OR REPLACE INTO refs (name, version, kind) VALUES (?, ?, ?)", [name, number, kind])
    reseal(db, "refs", name)


class NameTables:
    """The named versions of a store."""

    def __init__(self, database: StoreDatabase, find: Callable[[Database, str | int], int]) -> None:
        self._database, self._find = database, find

    def all(self) -> list[NamedVersion]:
        """Branches and tags by name."""
        with self._database.reading() as db:
            here = current_branch(db)
            rows = db.execute("SELECT name, version, kind FROM refs WHERE kind != 'live' ORDER BY kind, name").fetchall()
        return [NamedVersion(name, version, kind, kind == "branch" and name == here) for name, version, kind in rows]

    def tag(self, name: str, reference: str | int = LIVE) -> NamedVersion:
        """Give a version a name that stays with it.

        Raises:
            NameRefused: the name is taken, reserved or no name. NotFound: there is no such version.
        """
        return self._add(name, reference, "tag")

    def branch(self, name: str, reference: str | int = LIVE) -> NamedVersion:
        """Begin a branch at a version; `switch` makes it the one that changes belong to. Raises as `tag` does."""
        return self._add(name, reference, "branch")

    def _add(self, name: str, reference: str | int, kind: str) -> NamedVersion:
        name = name.strip()
        if not is_name(name):
            raise NameRefused(
                f"{name!r} cannot name a version. Up to 64 letters, digits, spaces, dots and dashes were expected, "
                "beginning with a letter, and no number, 'live' or 'base'."
            )
        with self._database.writing() as db:
            if named(db, name) is not None:
                raise NameRefused(f"The name {name!r} is taken. Choose another one, or delete it first.")
            number = self._find(db, reference)
            _point(db, name, number, kind)
        return NamedVersion(name, number, kind, False)

    def switch(self, name: str) -> int:
        """Make a branch's version live; the number of that version. Nothing is added to the history.

        Raises:
            NotFound: there is no such branch.
        """
        with self._database.writing() as db:
            row = db.execute("SELECT version FROM refs WHERE name = ? AND kind = 'branch'", [name.strip()]).fetchone()
            if row is None:
                raise NotFound(f"There is no branch {name!r}. `qfchat names` lists branches and tags.")
            db.execute("UPDATE current SET branch = ?", [name.strip()])
            reseal(db, "current")
            move_live(db, row[0])
        return row[0]

    def delete(self, name: str) -> None:
        """Delete a branch or a tag; the versions stay.

        Raises:
            NotFound: there is none. NameRefused: changes belong to this branch now.
        """
        with self._database.writing() as db:
            if named(db, name) is None or name == LIVE:
                raise NotFound(f"There is no branch or tag {name!r}. `qfchat names` lists them.")
            if name == current_branch(db):
                raise NameRefused(f"{name!r} is the current branch. Switch to another one first.")
            db.execute("DELETE FROM refs WHERE name = ?", [name])
