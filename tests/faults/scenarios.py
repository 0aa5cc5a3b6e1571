"""What is done while operations of the disk fail or the process is killed, and what must hold afterwards.

Each scenario has `prepare` (undisturbed), `act` (disturbed; it returns when it was acknowledged) and `check`.
"""

import contextlib
import shutil
import sqlite3
from pathlib import Path

from qfcore.store.backup import check_backup
from qfcore.store.bundle import read_bundle
from qfcore.store.store import Store
from tests.conftest import IDENTITY, ROOT, make_pending, teach

FOLDER = IDENTITY.sha256[:16]


def known(store: Store) -> set[str]:
    """Texts that the live version knows."""
    return {r.lesson.text for r in store.lessons(store.live())}


@contextlib.contextmanager
def opened(home: Path):  # noqa: ANN201
    """The store of a home, which must be sound."""
    with contextlib.closing(Store.open(home, IDENTITY)) as store:
        report = store.verify()
        assert report.ok, report.problems
        yield store


class Commit:
    """One lesson is taught."""

    def prepare(self, home: Path) -> None:
        """A store that knows one lesson."""
        self._store = Store.open(home, IDENTITY)
        teach(self._store, "Before.")

    def act(self, home: Path) -> None:
        """Teach another one."""
        teach(self._store, "During.")

    def release(self) -> None:
        """Close what is open."""
        self._store.close()

    def check(self, home: Path, acknowledged: bool) -> None:
        """Nothing acknowledged is lost, nothing is half there, and the store goes on working."""
        with opened(home) as store:
            assert {"Before."} <= known(store) <= {"Before.", "During."}
            assert not acknowledged or "During." in known(store)
            teach(store, "After.")
            assert make_pending("After.").lesson.id in store.live().lesson_ids


class FirstOpen(Commit):
    """The first start of all, and a lesson."""

    def prepare(self, home: Path) -> None:
        """Nothing but a folder."""
        home.mkdir()
        self._store = None

    def act(self, home: Path) -> None:
        """Make the store and teach."""
        self._store = Store.open(home, IDENTITY)
        teach(self._store, "During.")

    def release(self) -> None:
        """Close what was opened."""
        if self._store is not None:
            self._store.close()

    def check(self, home: Path, acknowledged: bool) -> None:
        """It is a store whatever happened, twice."""
        for text in ("After.", "Again."):
            with opened(home) as store:
                assert not acknowledged or "During." in known(store)
                teach(store, text)


class Erase(Commit):
    """A lesson is erased."""

    def prepare(self, home: Path) -> None:
        """A store that knows two."""
        super().prepare(home)
        teach(self._store, "During.")
        (self._store.folder / "adapters").mkdir()
        (self._store.folder / "adapters" / "x.gguf").write_bytes(b"During.")

    def act(self, home: Path) -> None:
        """Erase the second one."""
        self._store.erase("2")

    def check(self, home: Path, acknowledged: bool) -> None:
        """It is erased, or it is not; when it was told, no byte is left of it."""
        with opened(home) as store:
            texts = {r.lesson.text for r in store.lessons()}
            assert texts in ({"Before."}, {"Before.", "During."}) and "Before." in known(store)
            assert not acknowledged or texts == {"Before."}
            store_file = store.folder / "store.db"
            if acknowledged:
                assert not list((store.folder / "adapters").iterdir())
        if acknowledged:
            assert b"During." not in store_file.read_bytes()


class Import(Commit):
    """A bundle is taken over by a store that knows nothing."""

    def prepare(self, home: Path) -> None:
        """A bundle and a fresh store."""
        source = home.with_name("source")
        if not (source / "all.qfbundle").exists():
            shutil.rmtree(source, ignore_errors=True)  # what a kill in this preparation left
            store = Store.open(source, IDENTITY)
            teach(store, "One.", report={"learned": True})
            teach(store, "Two.")
            store.names.tag("kept", 1)
            store.write_bundle(source / "all.qfbundle")
            store.close()
        self._bundle = read_bundle(source / "all.qfbundle")
        self._store = Store.open(home, IDENTITY)

    def act(self, home: Path) -> None:
        """Take it over."""
        self._store.adopt(self._bundle)

    def check(self, home: Path, acknowledged: bool) -> None:
        """The whole history, or none."""
        with opened(home) as store:
            assert known(store) in (set(), {"One.", "Two."}) and len(store.versions()) in (1, 3)
            assert not acknowledged or known(store) == {"One.", "Two."}
            assert bool(known(store)) == any(name.name == "kept" for name in store.names.all())
            teach(store, "After.")


class BundleExport(Commit):
    """A bundle is written over an earlier one."""

    def prepare(self, home: Path) -> None:
        """A store, and the bundle of an earlier state."""
        super().prepare(home)
        self._store.write_bundle(home / "all.qfbundle")
        teach(self._store, "During.")

    def act(self, home: Path) -> None:
        """Write it again."""
        self._store.write_bundle(home / "all.qfbundle")

    def check(self, home: Path, acknowledged: bool) -> None:
        """The old bundle or the new one, whole."""
        count = len(read_bundle(home / "all.qfbundle").lessons)
        assert count in (1, 2) and (not acknowledged or count == 2)
        with opened(home) as store:
            assert known(store) == {"Before.", "During."}


class FolderExport(Commit):
    """A backup, which is a folder, is made."""

    def act(self, home: Path) -> None:
        """Copy the store, read it back, rename it."""
        self._store.back_up(home / "shared", home / "copy")

    def check(self, home: Path, acknowledged: bool) -> None:
        """No folder, or a whole one."""
        assert not acknowledged or (home / "copy").exists()
        if (home / "copy").exists():
            assert check_backup(home / "copy", IDENTITY).ok
        with opened(home) as store:
            assert known(store) == {"Before."}


class Migration(FirstOpen):
    """A store of an earlier program is upgraded."""

    def prepare(self, home: Path) -> None:
        """The store as it was."""
        (home / FOLDER).mkdir(parents=True)
        with contextlib.closing(sqlite3.connect(home / FOLDER / "store.db")) as connection:
            connection.executescript((ROOT / "tests/data/store-m002.sql").read_text())
            connection.commit()
        self._store = None

    def act(self, home: Path) -> None:
        """Open it."""
        self._store = Store.open(home, IDENTITY)

    def check(self, home: Path, acknowledged: bool) -> None:
        """Old or new, and the next opening makes it new."""
        with opened(home) as store:
            assert known(store) == {"Qi started Oxinnovate.", "The password is tulip."}
            copies = list(store.folder.glob("store.before-*.db"))  # two where the first try stopped between two steps
            assert copies
            for copy in copies:
                with contextlib.closing(sqlite3.connect(copy)) as connection:
                    assert connection.execute("SELECT count(*) FROM lessons").fetchone() == (2,)
            teach(store, "After.")


class RestoreBackup(Commit):
    """A backup is put in the place of a store."""

    def prepare(self, home: Path) -> None:
        """A backup, and a store that knows more."""
        super().prepare(home)
        self._store.back_up(home / "shared", home / "copy")
        teach(self._store, "During.")
        self._store.close()

    def act(self, home: Path) -> None:
        """Put it back."""
        Store.restore_backup(home, IDENTITY, home / "copy")

    def release(self) -> None:
        """Nothing is open."""

    def check(self, home: Path, acknowledged: bool) -> None:
        """The one or the other; what was replaced is still there."""
        with opened(home) as store:
            assert known(store) in ({"Before."}, {"Before.", "During."})
            assert not acknowledged or known(store) == {"Before."}
            if known(store) == {"Before."}:
                assert any(b"During." in path.read_bytes() for path in store.folder.glob("store.replaced-*.db"))


SCENARIOS = {
    "commit": Commit, "first-open": FirstOpen, "erase": Erase, "import": Import, "bundle": BundleExport,
    "backup": FolderExport, "migration": Migration, "restore-backup": RestoreBackup,
}  # fmt: skip
