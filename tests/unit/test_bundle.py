"""A bundle carries all knowledge and nothing else; a damaged or foreign one changes nothing."""

import hashlib
import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qfcore.errors import BundleError, ExportError, StoreBusy
from qfcore.lesson import Lesson
from qfcore.store.bundle import read_bundle
from qfcore.store.hashing import content_hash, version_hash
from qfcore.store.records import ModelIdentity
from qfcore.store.store import Store
from tests.conftest import IDENTITY, SOLVE, make_pending, teach
from tests.soaking import examples

REPLAY = b"keys"
DIGEST = hashlib.sha256(REPLAY).hexdigest()
SOLVED = {**SOLVE, "replay": DIGEST}
ANSWER = {"question": "Q?", "taught": "A", "before": "B", "after": "A", "ok": True, "lesson": "0" * 64}
PROBE = {"question": "Q?", "before": "A", "after": "A", "same": True}


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list]:
    """A bundle of a store with a history, and its versions."""
    folder = tmp_path_factory.mktemp("bundle")
    store = Store.open(folder, IDENTITY)
    (store.folder / "replay-27-0123456789ab.safetensors").write_bytes(REPLAY)
    (store.folder / "replay-27-ba9876543210.safetensors").write_bytes(b"that no version was solved with")
    new = [make_pending("A.", 65), make_pending("B.", 66)]
    report = {"learned": True, "answers": [ANSWER], "probes": [PROBE], "lessons": 2}
    store.commit(keep=(), new=new, solve=SOLVED, kind="teach", message="A.", expect_live=0, report=report)
    store.commit(keep=[new[1].entry], solve=SOLVED, kind="forget", message="A.", expect_live=1)
    store.names.tag("first", 1)
    store.names.branch("work", 1)
    store.chats.create("Private")
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
    assert store.report(store.version(1))["answers"] == [ANSWER]
    assert store.verify().ok and store.chats.all() == []
    [replay] = store.folder.glob("replay-*")
    assert (replay.name, replay.read_bytes()) == (f"replay-27-0123456789ab-{DIGEST[:16]}.safetensors", REPLAY)
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


def rehashed(manifest: dict) -> None:
    """Derive the hashes anew, as somebody does who forges a bundle."""
    tables = manifest["tables"]
    for lesson in tables["lessons"]:
        if isinstance(lesson[2], str):
            old, lesson[1] = lesson[1], Lesson(lesson[2], lesson[3], lesson[4]).id
            for table in ("rows", "version_lessons"):
                for row in tables[table]:
                    row[1] = lesson[1] if row[1] == old else row[1]
    hashes = {}
    for version in tables["versions"]:
        entries = [(row[1], row[2]) for row in tables["version_lessons"] if row[0] == version[0]]
        version[2] = content_hash(manifest["model"]["sha256"], json.loads(version[7]), entries)
        version[1] = version_hash(version[2], hashes.get(version[5]), version[0], version[3], version[4], version[6])
        hashes[version[0]] = version[1]


def _solve(manifest: dict, **changes: object) -> None:
    for version in manifest["tables"]["versions"][1:]:
        version[7] = json.dumps({**json.loads(version[7]), **changes}, sort_keys=True)


def _report(manifest: dict, **changes: object) -> None:
    report = json.loads(manifest["tables"]["reports"][0][1])
    manifest["tables"]["reports"][0][1] = json.dumps({**report, **changes})


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda m: _solve(m, ridge="0.01"), "ridge"),
        (lambda m: _solve(m, ridge=-1), "ridge"),
        (lambda m: _solve(m, ridge=True), "ridge"),
        (lambda m: _solve(m, replay_weight=None), "replay_weight"),
        (lambda m: _solve(m, method="magic"), "no method"),
        (lambda m: _solve(m, replay="../../etc/passwd"), "no SHA-256"),
        (lambda m: _solve(m, fit=[1]), "fit"),
        (lambda m: _report(m, answers={"a": 1}), "report card"),
        (lambda m: _report(m, answers=[{**ANSWER, "ok": "yes"}]), "answer"),
        (lambda m: _report(m, probes=[{"question": 1}]), "answer"),
        (lambda m: _report(m, lessons="two"), "report card"),
        (lambda m: _set(m, "reports", 0, 1, "[]"), "no JSON object"),
        (lambda m: _set(m, "reports", 0, 1, "not JSON"), "form expected"),
        (lambda m: _set(m, "reports", 0, 0, 77), "version 77"),
        (lambda m: m["tables"]["reports"].append(list(m["tables"]["reports"][0])), "twice"),
        (lambda m: m["tables"]["refs"].append(["<img src=x>", 1, "tag"]), "no name"),
        (lambda m: m["tables"]["refs"].append(["7", 1, "tag"]), "no name"),
        (lambda m: m["tables"]["refs"].append(["Live", 1, "tag"]), "no name"),
        (lambda m: m["tables"]["refs"].append(["other", 1, "live"]), "no name"),
        (lambda m: m["tables"]["refs"].append(["work", 1, "tag"]), "twice"),
        (lambda m: _set(m, "current", 0, 1, "first"), "branch"),
        (lambda m: _set(m, "current", 0, 1, "work"), "another version"),
        (lambda m: m["tables"]["current"].append([2, "main"]), "branch"),
        (lambda m: m["tables"]["lessons"].append(list(m["tables"]["lessons"][0])), "twice"),
        (lambda m: m["tables"]["rows"].append(list(m["tables"]["rows"][0])), "twice"),
        (lambda m: m["tables"]["version_lessons"].append(list(m["tables"]["version_lessons"][0])), "twice"),
        (lambda m: _set(m, "lessons", 0, 0, "1"), "int was expected"),
        (lambda m: _set(m, "lessons", 0, 0, 10**30), "number"),
        (lambda m: _set(m, "lessons", 0, 5, 5), "str was expected"),
        (lambda m: _set(m, "lessons", 0, 5, "x" * 5000), "too long"),
        (lambda m: _set(m, "lessons", 0, 2, "\ud800"), "form expected|invisible"),
        (lambda m: _set(m, "lessons", 0, 2, "A\u202eB"), "invisible"),
        (lambda m: _set(m, "lessons", 0, 6, "yesterday"), "form expected"),
        (lambda m: _set(m, "versions", 1, 3, "<b>"), "plain word"),
        (lambda m: _set(m, "versions", 1, 4, "\udfff"), "form expected"),
        (lambda m: _set(m, "versions", 1, 4, None), "str was expected"),
        (lambda m: _set(m, "rows", 0, 2, "a b"), "plain word"),
        (lambda m: _set(m, "rows", 0, 3, "{}"), "phrasings"),
        (lambda m: _set(m, "rows", 0, 3, json.dumps([["Q?", 5]])), "phrasing"),
        (lambda m: _set(m, "rows", 0, 3, json.dumps([["Q?", "x" * 9000]])), "too long"),
        (lambda m: _set(m, "rows", 0, 3, json.dumps([["Q?", "A"]] * 100)), "phrasings"),
        (lambda m: _set(m, "rows", 0, 4, "[]"), "no JSON object"),
        (lambda m: m["model"].update(bytes="many"), "base model"),
    ],
)
def test_a_forged_bundle_with_new_hashes_is_refused(
    written: tuple[Path, list], tmp_path: Path, change: Callable[[dict], None], words: str
) -> None:
    def forge(manifest: dict) -> None:
        change(manifest)
        rehashed(manifest)

    with pytest.raises(BundleError, match=words):
        read_bundle(rewritten(written[0], tmp_path / "forged", forge))


def test_hashes_that_were_derived_anew_are_right(written: tuple[Path, list], tmp_path: Path) -> None:
    assert read_bundle(rewritten(written[0], tmp_path / "same", rehashed)).tables == read_bundle(written[0]).tables


def with_replay(path: Path, out: Path, name: str, data: bytes) -> Path:
    """The bundle with another replay instead of its own."""
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(out, "w") as new:
        for member in old.infolist():
            if not member.filename.startswith("replay/"):
                new.writestr(member.filename, old.read(member))
        new.writestr(f"replay/{name}.safetensors", data)
    return out


def test_a_replay_that_no_version_names_is_left_alone_and_one_that_lacks_is_told(
    written: tuple[Path, list], tmp_path: Path
) -> None:
    other = hashlib.sha256(b"kezs").hexdigest()[:16]
    for name in ("replay-27-0123456789ab", f"replay-27-0123456789ab-{other}"):  # earlier programs left the hash out
        bundle = read_bundle(with_replay(written[0], tmp_path / "forged", name, b"kezs"))
        assert bundle.replays == {} and bundle.missing == {DIGEST: [1, 2]}
    assert read_bundle(written[0]).missing == {}


def test_a_replay_under_another_ones_name_is_refused(written: tuple[Path, list], tmp_path: Path) -> None:
    forged = with_replay(written[0], tmp_path / "forged", f"replay-27-0123456789ab-{DIGEST[:16]}", b"kezs")
    with pytest.raises(BundleError, match="does not match the hash in its name"):
        read_bundle(forged)


def test_a_member_that_claims_another_size_in_the_list_of_all_is_refused(written: tuple[Path, list], tmp_path: Path) -> None:
    content, mutant = bytearray(written[0].read_bytes()), tmp_path / "mutant"
    entry = content.rindex(b"PK\x01\x02")  # the last member's entry in the list at the end; its sizes lie at 20 and 24
    content[entry + 24] ^= 0x68
    mutant.write_bytes(bytes(content))
    with pytest.raises(BundleError, match="two sizes"):
        read_bundle(mutant)


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


@pytest.mark.parametrize(
    ("name", "reason"),
    [("replay/../../evil.safetensors", "no replay"), ("seplay/replay-27-0123456789ab.safetensors", "belong there")],
)
def test_a_foreign_member_is_refused(written: tuple[Path, list], tmp_path: Path, name: str, reason: str) -> None:
    path = rewritten(written[0], tmp_path / "foreign", lambda m: None)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(name, b"")
    with pytest.raises(BundleError, match=reason):
        read_bundle(path)


@settings(max_examples=examples(150), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
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
    assert (bundle.tables, bundle.model, bundle.live) == (original.tables, original.model, original.live)
    assert bundle.replays == original.replays and bundle.missing == original.missing
    assert {d: p.rows.digest for d, p in bundle.lessons.items()} == {d: p.rows.digest for d, p in original.lessons.items()}
