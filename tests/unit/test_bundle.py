"""A bundle carries all knowledge and nothing else; a damaged or foreign one changes nothing."""

import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qfcore.errors import BundleError, ExportError, StoreBusy
from qfcore.store.bundle import read_bundle
from qfcore.store.records import ModelIdentity
from qfcore.store.store import Store
from tests.conftest import IDENTITY, forget, teach


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list]:
    """A bundle of a store with a history, and its versions."""
    folder = tmp_path_factory.mktemp("bundle")
    store = Store.open(folder, IDENTITY)
    teach(store, "A.", "B.", report={"learned": True})
    forget(store, "A.")
    store.names.tag("first", 1)
    store.names.branch("work", 1)
    store.chats.create("Private")
    (store.folder / "replay-27-0123456789ab.safetensors").write_bytes(b"keys")
    store.write_bundle(folder / "all.qfbundle")
    versions = store.versions()
    store.close()
    return folder / "all.qfbundle", versions


def test_all_knowledge_moves_to_another_machine(written: tuple[Path, list], tmp_path: Path) -> None:
    path, versions = written
    store = Store.open(tmp_path, IDENTITY)
    assert store.is_fresh
    live = store.adopt(read_bundle(path))
    assert store.versions() == versions and live == versions[0]
    assert {n.name: n.version for n in store.names.all()} == {"first": 1, "main": 2, "work": 1}
    assert store.report(store.version(1)) == {"learned": True}
    assert store.verify().ok and store.chats.all() == []
    assert (store.folder / "replay-27-0123456789ab.safetensors").read_bytes() == b"keys"
    store.write_bundle(tmp_path / "again.qfbundle")
    assert (tmp_path / "again.qfbundle").read_bytes() == path.read_bytes()
    store.close()


def test_conversations_stay_at_home(written: tuple[Path, list]) -> None:
    assert b"Private" not in written[0].read_bytes()


def test_a_store_that_knows_something_is_not_overwritten(written: tuple[Path, list], tmp_path: Path) -> None:
    store = Store.open(tmp_path, IDENTITY)
    teach(store, "C.")
    with pytest.raises(StoreBusy):
        store.adopt(read_bundle(written[0]))
    assert [r.lesson.text for r in store.lessons()] == ["C."]
    store.close()


def test_the_bundle_of_another_base_is_refused(written: tuple[Path, list], tmp_path: Path) -> None:
    store = Store.open(tmp_path, ModelIdentity("cd" * 32, "Other", "llama", 1))
    with pytest.raises(BundleError, match="--reobserve"):
        store.adopt(read_bundle(written[0]))
    assert store.is_fresh
    store.close()


def test_an_unwritable_place_is_named(written: tuple[Path, list], tmp_path: Path) -> None:
    store = Store.open(tmp_path, IDENTITY)
    with pytest.raises(ExportError, match="does not exist"):
        store.write_bundle(tmp_path / "nowhere" / "b.qfbundle")
    store.close()


def rewritten(path: Path, out: Path, change: Callable[[dict], None], *, compress: int = zipfile.ZIP_STORED) -> Path:
    """The bundle with a changed manifest."""
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(out, "w", compress) as new:
        manifest = json.loads(old.read("manifest.json"))
        change(manifest)
        new.writestr("manifest.json", json.dumps(manifest))
        for member in old.infolist():
            if member.filename != "manifest.json":
                new.writestr(member.filename, old.read(member))
    return out


def _set(manifest: dict, table: str, row: int, column: int, value: object) -> None:
    manifest["tables"][table][row][column] = value


@pytest.mark.parametrize(
    "change",
    [
        lambda m: m.update(format="qfchat-bundle-9"),
        lambda m: m.pop("model"),
        lambda m: m["model"].update(sha256="ef" * 32),
        lambda m: m["tables"].pop("versions"),
        lambda m: _set(m, "lessons", 0, 2, "Another text."),
        lambda m: _set(m, "lessons", 0, 2, "x" * 5000),
        lambda m: _set(m, "lessons", 0, 2, {"text": 1}),
        lambda m: _set(m, "rows", 0, 0, "../../etc/passwd"),
        lambda m: _set(m, "rows", 0, 0, "0" * 64),
        lambda m: _set(m, "rows", 0, 3, "[[1]]"),
        lambda m: _set(m, "versions", 1, 4, "Another message"),
        lambda m: _set(m, "versions", 1, 5, 7),
        lambda m: _set(m, "versions", 1, 7, '{"ridge": NaN}'),
        lambda m: m["tables"]["version_lessons"].pop(),
        lambda m: _set(m, "version_lessons", 0, 2, "0" * 64),
        lambda m: _set(m, "refs", 0, 1, 99),
        lambda m: _set(m, "current", 0, 1, "nowhere"),
        lambda m: m["tables"].update(refs=[]),
    ],
)
def test_a_changed_bundle_is_refused(written: tuple[Path, list], tmp_path: Path, change: Callable[[dict], None]) -> None:
    with pytest.raises(BundleError):
        read_bundle(rewritten(written[0], tmp_path / "changed", change))


def test_a_compressed_bundle_is_refused(written: tuple[Path, list], tmp_path: Path) -> None:
    path = rewritten(written[0], tmp_path / "bomb", lambda m: None, compress=zipfile.ZIP_DEFLATED)
    with pytest.raises(BundleError, match="compressed"):
        read_bundle(path)


def test_a_foreign_member_is_refused(written: tuple[Path, list], tmp_path: Path) -> None:
    path = rewritten(written[0], tmp_path / "foreign", lambda m: None)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("replay/../../evil.safetensors", b"")
    with pytest.raises(BundleError, match="no replay"):
        read_bundle(path)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_flipped_byte_is_refused_or_harmless(written: tuple[Path, list], tmp_path: Path, data: st.DataObject) -> None:
    path, versions = written
    content = bytearray(path.read_bytes())
    position = data.draw(st.integers(0, len(content) - 1))
    content[position] ^= data.draw(st.integers(1, 255))
    mutant = tmp_path / "mutant"
    mutant.write_bytes(bytes(content))
    try:
        bundle = read_bundle(mutant)
    except BundleError:
        return
    original = read_bundle(path)
    assert bundle.tables == original.tables and bundle.model == original.model
    for digest, pending in bundle.lessons.items():
        assert np.array_equal(pending.rows.keys, original.lessons[digest].rows.keys)
