"""What is done while operations of the disk fail or the process is killed, and what must hold afterwards.

Each scenario has `make` (the files before, once; each try gets a copy of them), `begin` (undisturbed), `act` (disturbed; it
returns when it was acknowledged) and `check`.
"""

import contextlib
import copy
import dataclasses
import shutil
import sqlite3
import tempfile
from pathlib import Path
from unittest import mock

from qfcore.bulk import KNOWN
from qfcore.export import checkpoint
from qfcore.export.atomic import remove_partials
from qfcore.exports import Exports
from qfcore.knowledge import Knowledge
from qfcore.lesson import Lesson, check_lesson
from qfcore.recipe import FAST
from qfcore.store.backup import check_backup
from qfcore.store.bundle import read_bundle
from qfcore.store.store import Store
from tests.conftest import IDENTITY, ROOT, forget, make_pending, make_rows, teach
from tests.scripted_engine import ScriptedRuntime, scripted_engine
from tests.tiny_models import INNER, LAYERS, WIDTH, write_tiny_model

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

    stride, kills = 1, 20
    """In `make test`, every so many-th operation fails, and so many processes are killed; at length, each, and 200."""

    @classmethod
    def ready(cls) -> None:
        """Import what takes long, before processes are forked."""

    def make(self, home: Path) -> None:
        """A store that knows one lesson."""
        with contextlib.closing(Store.open(home, IDENTITY)) as store:
            teach(store, "Before.")

    def begin(self, home: Path) -> None:
        """Open it."""
        self._store = Store.open(home, IDENTITY)

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

    stride, kills = 5, 12

    def make(self, home: Path) -> None:
        """Nothing but a folder."""
        home.mkdir()

    def begin(self, home: Path) -> None:
        """Nothing is open."""
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

    stride = 2

    def make(self, home: Path) -> None:
        """A store that knows two."""
        super().make(home)
        with contextlib.closing(Store.open(home, IDENTITY)) as store:
            teach(store, "During.")
            (store.folder / "adapters").mkdir()
            (store.folder / "adapters" / "x.gguf").write_bytes(b"During.")

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


class Forget(Commit):
    """A lesson is forgotten."""

    kills = 10

    def make(self, home: Path) -> None:
        """A store that knows two."""
        super().make(home)
        with contextlib.closing(Store.open(home, IDENTITY)) as store:
            teach(store, "During.")

    def act(self, home: Path) -> None:
        """Forget the second one."""
        forget(self._store, "During.")

    def check(self, home: Path, acknowledged: bool) -> None:
        """Forgotten or not; the version that knew it is there, and can be restored."""
        with opened(home) as store:
            assert known(store) == {"Before."} or (not acknowledged and known(store) == {"Before.", "During."})
            assert len(store.versions()) == (4 if known(store) == {"Before."} else 3)
            store.restore(2)
            assert known(store) == {"Before.", "During."}


class Restore(Forget):
    """A version is restored."""

    def act(self, home: Path) -> None:
        """Go back to the first lesson."""
        self._store.restore(1)

    def check(self, home: Path, acknowledged: bool) -> None:
        """Restored or not: the same bytes of knowledge as then, and nothing is lost."""
        with opened(home) as store:
            back = store.live().number == 3
            assert back or (not acknowledged and store.live().number == 2)
            assert store.live().content == store.version(1 if back else 2).content
            store.restore(2)
            assert known(store) == {"Before.", "During."}


class Names(Commit):
    """A version gets a tag; a branch is begun, and gone over to."""

    kills = 10

    def act(self, home: Path) -> None:
        """All three, as a user does one after the other."""
        self._store.names.tag("kept", 1)
        self._store.names.branch("aside", 0)
        self._store.names.switch("aside")

    def check(self, home: Path, acknowledged: bool) -> None:
        """As many of them as were told, in their order, and each whole."""
        with opened(home) as store:
            names = {n.name: (n.kind, n.version, n.current) for n in store.names.all()}
            main = names.pop("main")
            over = store.live().number == 0
            steps = [{}, {"kept": ("tag", 1, False)}]
            steps.append(steps[1] | {"aside": ("branch", 0, False)})
            if over:
                assert names == {"kept": ("tag", 1, False), "aside": ("branch", 0, True)} and main == ("branch", 1, False)
            else:
                assert names in steps and main == ("branch", 1, True) and not acknowledged
            teach(store, "After.")  # on the branch that is the current one
            assert known(store) == ({"After."} if over else {"Before.", "After."})
            assert {n.version for n in store.names.all() if n.current} == {2}


class Import(Commit):
    """A bundle is taken over by a store that knows nothing."""

    def make(self, home: Path) -> None:
        """A bundle and a fresh store."""
        Store.open(home, IDENTITY).close()
        with contextlib.closing(Store.open(home / "source", IDENTITY)) as store:
            teach(store, "One.", report={"learned": True})
            teach(store, "Two.")
            store.names.tag("kept", 1)
            store.write_bundle(home / "source" / "all.qfbundle")

    def begin(self, home: Path) -> None:
        """Read it."""
        super().begin(home)
        self._bundle = read_bundle(home / "source" / "all.qfbundle")

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

    def make(self, home: Path) -> None:
        """A store, and the bundle of an earlier state."""
        super().make(home)
        with contextlib.closing(Store.open(home, IDENTITY)) as store:
            store.write_bundle(home / "all.qfbundle")
            teach(store, "During.")

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

    stride = 2

    def make(self, home: Path) -> None:
        """The store as it was."""
        (home / FOLDER).mkdir(parents=True)
        with contextlib.closing(sqlite3.connect(home / FOLDER / "store.db")) as connection:
            connection.executescript((ROOT / "tests/data/store-m002.sql").read_text())
            connection.commit()

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

    def make(self, home: Path) -> None:
        """A backup, and a store that knows more."""
        super().make(home)
        with contextlib.closing(Store.open(home, IDENTITY)) as store:
            store.back_up(home / "shared", home / "copy")
            teach(store, "During.")

    def begin(self, home: Path) -> None:
        """Nothing is open."""

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


class Bulk(Commit):
    """Lessons of a file are studied, each kept before the next, and become live together."""

    stride, kills = 7, 8

    @classmethod
    def ready(cls) -> None:
        """Solving needs torch."""
        _import_torch()

    def make(self, home: Path) -> None:
        """A home that knows one lesson, with the replay that lessons are solved with."""
        with _engine(home) as engine:
            engine.teach("The otter is called Momo.", "What is the otter called?", method="fast")

    def begin(self, home: Path) -> None:
        """Open it."""
        self._store = scripted_engine(home)

    def act(self, home: Path) -> None:
        """Teach two more."""
        preview, _ = self._store.teach_many(_many(), recipe=FAST)
        self._store.apply(preview)

    def check(self, home: Path, acknowledged: bool) -> None:
        """Both are live or neither; done again, only what was not kept is studied, and the knowledge is the same."""
        with _engine(home) as engine:
            found = engine.verify()
            assert found.ok, found.problems
            live = len(engine.store.live().entries)
            assert live == 3 or (live == 1 and not acknowledged)
            kept = [lesson.id for lesson in _many() if engine.store.known_rows(lesson.id, FAST.rows_key)]
            assert kept == [lesson.id for lesson in _many()][: len(kept)] and (live == 1 or len(kept) == 2)
            preview, states = engine.teach_many(_many(), recipe=FAST)
            assert [state.lesson.id for state in states if state.state == KNOWN] == kept
            engine.apply(preview)
            learned = engine.store.live().content
            engine.forget("1")
            assert len(engine.store.live().entries) == 2
        reference = home.with_name("reference")
        if not (reference / "content").exists():  # what undisturbed work comes to
            shutil.rmtree(reference, ignore_errors=True)
            self.make(reference)
            with _engine(reference) as engine:
                engine.apply(engine.teach_many(_many(), recipe=FAST)[0])
                (reference / "content").write_text(engine.store.live().content)
        assert learned == (reference / "content").read_text()


@contextlib.contextmanager
def _engine(home: Path):  # noqa: ANN202
    with contextlib.closing(scripted_engine(home)) as engine:
        yield engine


def _many() -> list[Lesson]:
    return [check_lesson(f"The {name} is called {name[0]}.", f"What is the {name} called?") for name in ("heron", "newt")]


def _import_torch() -> None:
    import torch

    torch.set_num_threads(1)  # a fork has no other threads
    import qfcore.solve  # noqa: F401


class PeftExport(Commit):
    """A version is written as a PEFT adapter; its weights are solved and kept on the way."""

    kills = 8
    out = "out"

    @classmethod
    def ready(cls) -> None:
        """Solving needs torch."""
        _import_torch()

    def make(self, home: Path) -> None:
        """A tiny model, a store that knows a lesson about it, and what undisturbed work writes."""
        with self._opened(home) as store:
            pending = dataclasses.replace(make_pending("Before."), rows=make_rows(1, inputs=INNER, outputs=WIDTH, layer=2))
            store.commit(keep=(), new=[pending], solve={"method": "paper"}, kind="teach", message="m", expect_live=None)
            write_tiny_model(home / "base.gguf", "llama")
            self.write(self._exports(home, store), home / "reference")
        shutil.rmtree(home / FOLDER / "adapters")

    @contextlib.contextmanager
    def _opened(self, home: Path):  # noqa: ANN202
        """The store, at a time that stands still, so that cards are the same."""
        with contextlib.closing(Store.open(home, IDENTITY, clock=lambda: "2026-11-25T12:00:00.000+00:00")) as store:
            yield store

    def _exports(self, home: Path, store: Store) -> Exports:
        runtime = ScriptedRuntime(home)
        runtime.facts = dataclasses.replace(runtime.facts, path=home / "base.gguf", n_layer=LAYERS, n_embd=WIDTH)
        return Exports(runtime, store, Knowledge(store, "llama", lambda: None))

    def begin(self, home: Path) -> None:
        """Open it."""
        super().begin(home)
        self._ways = self._exports(home, self._store)

    def write(self, exports: Exports, out: Path) -> None:
        """Write the live version."""
        exports.peft(out)

    def act(self, home: Path) -> None:
        """Write it."""
        self.write(self._ways, home / self.out)

    def check(self, home: Path, acknowledged: bool) -> None:
        """Nothing under the name, or all of it; the store and the kept weights are sound."""
        out = home / self.out
        assert out.exists() or not acknowledged
        if out.exists():
            assert _files(out) == _files(home / "reference")
        with opened(home) as store:
            assert known(store) == {"Before."}
            assert Knowledge(store, "llama", lambda: None).check_files()[1] == []
        remove_partials(home)
        assert {path.name for path in home.iterdir()} <= {FOLDER, "base.gguf", "reference", self.out}


def _files(path: Path) -> dict[str, bytes]:
    found = path.rglob("*") if path.is_dir() else [path]
    return {str(file.relative_to(path)): file.read_bytes() for file in found if file.is_file()}


class OllamaExport(PeftExport):
    """A version is written as a whole model in a folder for Ollama."""

    stride = 3

    def write(self, exports: Exports, out: Path) -> None:
        """Write the live version."""
        exports.ollama(out)


class CheckpointExport(PeftExport):
    """A version is written as a checkpoint. Reading the base with transformers takes long, and is done once."""

    stride = 3
    _read = None

    @classmethod
    def ready(cls) -> None:
        """Import transformers, and read the tiny model, which is the same in each home."""
        super().ready()
        if cls._read is None:
            with tempfile.TemporaryDirectory() as folder:
                base = write_tiny_model(Path(folder) / "base.gguf", "llama")
                cls._read = checkpoint.read_with_transformers(base, "bfloat16")

    def write(self, exports: Exports, out: Path) -> None:
        """Write the live version."""
        with mock.patch.object(checkpoint, "read_with_transformers", lambda *_: copy.deepcopy(self._read)):
            exports.checkpoint(out)


SCENARIOS = {
    "commit": Commit, "first-open": FirstOpen, "erase": Erase, "import": Import, "bundle": BundleExport,
    "backup": FolderExport, "migration": Migration, "restore-backup": RestoreBackup, "forget": Forget, "restore": Restore,
    "names": Names, "bulk": Bulk, "peft": PeftExport, "ollama": OllamaExport, "checkpoint": CheckpointExport,
}  # fmt: skip
