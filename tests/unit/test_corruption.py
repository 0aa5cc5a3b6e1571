"""Every flipped bit of the store is found, or touches no knowledge. `QFCHAT_SOAK=1` flips every byte of the file."""

import random
import sqlite3
from pathlib import Path

import pytest

from qfcore.errors import QFError, StoreCorrupt
from qfcore.store.seals import SEALED
from qfcore.store.store import Store
from tests.conftest import IDENTITY, forget, teach
from tests.soaking import SOAK

KNOWLEDGE = ("models", "lessons", "rows", "versions", "version_lessons", "refs", "current", "reports")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A store with a history, closed."""
    store = Store.open(tmp_path, IDENTITY)
    teach(store, "A.", "B.", report={"learned": True})
    forget(store, "A.")
    store.names.tag("first", 1)
    store.close()
    return store.folder / "store.db"


def columns_of(path: Path) -> dict[str, str]:
    """The columns of all tables that hold knowledge, but for the seals themselves."""
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    names = {t: [row[1] for row in connection.execute(f"PRAGMA table_info({t})") if row[1] != "seal"] for t in KNOWLEDGE}
    connection.close()
    return {table: ", ".join(columns) for table, columns in names.items()}


def knowledge(path: Path, columns: dict[str, str]) -> list:
    """All rows of all tables that hold knowledge."""
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        return [connection.execute(f"SELECT {names} FROM {t} ORDER BY 1, 2").fetchall() for t, names in columns.items()]
    finally:
        connection.close()


def found_out(path: Path) -> bool:
    """Whether opening or verifying says that something is wrong."""
    try:
        store = Store.open(path.parents[1], IDENTITY, read_only=True)
    except QFError:
        return True
    try:
        return not store.verify().ok
    except QFError:
        return True
    finally:
        store.close()


def test_a_flipped_bit_is_found_or_touches_no_knowledge(path: Path) -> None:
    data = path.read_bytes()
    columns = columns_of(path)
    before = knowledge(path, columns)
    assert not found_out(path)
    choose = random.Random(20261124)
    used = [position for position, byte in enumerate(data) if byte]  # most of the file is empty space
    positions = range(len(data)) if SOAK else sorted([*choose.sample(used, 400), *choose.sample(range(len(data)), 100)])
    caught, wrong = 0, []
    for position in positions:
        changed = bytearray(data)
        changed[position] ^= 1 << choose.randrange(8)
        path.write_bytes(bytes(changed))
        try:
            if found_out(path):
                caught += 1
            elif knowledge(path, columns) != before:
                wrong.append(f"byte {position} changed the knowledge and nobody noticed")
        except Exception as error:  # noqa: BLE001
            wrong.append(f"byte {position}: {error!r} instead of a sentence")
    assert not wrong, "\n".join(wrong[:20])
    print(f"{caught} of {len(positions)} flipped bits were found; the others touched no knowledge")
    assert SOAK or caught > len(positions) // 3


@pytest.mark.parametrize(("table", "column"), [(t, c) for t, columns in SEALED.items() for c in columns[1:]])
def test_every_sealed_column_is_watched(path: Path, table: str, column: str) -> None:
    connection = sqlite3.connect(path)
    connection.execute(
        f"UPDATE {table} SET {column} = CASE WHEN typeof({column}) = 'integer' THEN 77 ELSE 'x' END "
        f"WHERE rowid = (SELECT min(rowid) FROM {table})"
    )
    connection.commit()
    connection.close()
    assert found_out(path)


@pytest.mark.parametrize(
    "change", ["parent = 0 WHERE number = 0", "parent = 2 WHERE number = 1", "parent = NULL WHERE number = 2"]
)
def test_a_version_with_another_parent_is_found(path: Path, change: str) -> None:
    connection = sqlite3.connect(path)
    connection.execute(f"UPDATE versions SET {change}")
    connection.commit()
    connection.close()
    assert found_out(path)


def test_the_name_of_a_migration_that_became_a_blob_is_damage(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("UPDATE _sqlite_migrations SET name = CAST(name AS BLOB) WHERE rowid = 1")
    connection.commit()
    connection.close()
    with pytest.raises(StoreCorrupt, match="no text"):
        Store.open(path.parents[1], IDENTITY)
