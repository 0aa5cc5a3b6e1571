"""Knowledge in one file, to move it between machines: lessons, rows, versions, names, the base's SHA-256, and the replay.

The file is a zip archive without compression (so it cannot blow up): `manifest.json`, `rows/DIGEST.safetensors`,
`replay/NAME.safetensors`. Nothing in it is trusted: every text is checked as if it had just been typed, every hash is
derived anew. Conversations stay at home.
"""

import dataclasses
import hashlib
import json
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path

from sqlite_utils import Database

from qfcore.errors import BundleError, LessonError, StoreCorrupt
from qfcore.export.atomic import atomic_write
from qfcore.lesson import Lesson, check_lesson
from qfcore.rows import Rows
from qfcore.store.bundle_checks import (
    COLUMNS,
    check_names,
    check_object,
    check_phrasings,
    check_report,
    check_solve,
    check_tables,
    refuse,
)
from qfcore.store.hashing import content_hash, entry_digest, version_hash
from qfcore.store.records import ModelIdentity, PendingLesson
from qfcore.store.replays import with_digest
from qfcore.store.seals import reseal

FORMAT = "qfchat-bundle-1"
MAX_BYTES = 4 << 30
MAX_MANIFEST = 64 << 20
MAX_MEMBER = 512 << 20
MAX_MEMBERS = 100_000
_HEX = re.compile(r"[0-9a-f]{64}")
_REPLAY = re.compile(r"replay-\d{1,3}-[0-9a-f]{12}(-[0-9a-f]{16})?\.safetensors")


@dataclasses.dataclass(frozen=True)
class Bundle:
    """A bundle that was read and checked.

    lessons: every observed lesson by rows digest; live: the live version's. replays: the files that its versions were solved
    with, by name. missing: digests of those that are not in it, with the versions that need them.
    """

    model: ModelIdentity
    lessons: dict[str, PendingLesson]
    live: tuple[str, ...]
    tables: dict[str, list[tuple]]
    replays: dict[str, bytes]
    missing: dict[str, list[int]]

    @property
    def live_lessons(self) -> list[PendingLesson]:
        """The lessons that were live where the bundle was made."""
        return [self.lessons[digest] for digest in self.live]


def write_bundle(db: Database, model: ModelIdentity, replays: Mapping[str, Path], out: Path) -> dict:
    """Write everything but the conversations into one file; {"path", "bytes", "lessons", "versions"}.

    replays: the files that versions were solved with, by digest.

    Raises:
        ExportError: the file cannot be written.
    """
    tables = {
        name: db.execute(f"SELECT {', '.join(columns)} FROM {name} ORDER BY 1, 2").fetchall()
        for name, columns in COLUMNS.items()
    }
    manifest = {"format": FORMAT, "model": vars(model), "tables": tables}
    with atomic_write(out) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        _add(archive, "manifest.json", json.dumps(manifest, ensure_ascii=False, allow_nan=False).encode())
        for (digest,) in db.execute("SELECT digest FROM rows ORDER BY digest").fetchall():
            [data] = db.execute("SELECT data FROM rows WHERE digest = ?", [digest]).fetchone()
            _add(archive, f"rows/{digest}.safetensors", data)
        for digest, path in sorted(replays.items()):
            _add(archive, f"replay/{with_digest(path.stem, digest)}", path.read_bytes())
    return {
        "path": str(out), "bytes": out.stat().st_size,
        "lessons": len(tables["lessons"]), "versions": len(tables["versions"]),
    }  # fmt: skip


def _add(archive: zipfile.ZipFile, name: str, data: bytes) -> None:
    archive.writestr(zipfile.ZipInfo(name), data)  # a fixed date: the same knowledge gives the same bytes


def read_bundle(path: Path) -> Bundle:
    """Read and check a bundle.

    Raises:
        BundleError: it is no bundle, damaged, or any of its hashes does not match; it says which.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise BundleError(f"{path} has more than {MAX_BYTES >> 30} GB, which no bundle has.")
        with zipfile.ZipFile(path) as archive:
            return _read(archive)
    except (OSError, zipfile.BadZipFile, EOFError, NotImplementedError) as error:
        raise BundleError(f"{path} is no bundle of QF Chat, or it is damaged: {error}.") from error
    except (KeyError, TypeError, ValueError, RecursionError, AttributeError, IndexError) as error:
        raise BundleError(f"{path} is damaged: its manifest is not in the form expected ({error!r}).") from error
    except LessonError as error:
        raise BundleError(f"{path} holds a lesson that cannot be taught: {error}") from error


def _read(archive: zipfile.ZipFile) -> Bundle:
    members = archive.infolist()
    if len(members) > MAX_MEMBERS or len({m.filename for m in members}) != len(members):
        raise BundleError("The bundle's archive has too many members, or one of them twice.")
    if any(m.compress_type != zipfile.ZIP_STORED or m.flag_bits & 1 or m.file_size > MAX_MEMBER for m in members):
        raise BundleError("The bundle's archive is compressed, encrypted or too big; QF Chat writes none of these.")
    if any(m.compress_size != m.file_size for m in members):
        raise BundleError("The bundle's archive is damaged: a member has two sizes.")
    if archive.getinfo("manifest.json").file_size > MAX_MANIFEST:
        raise BundleError("The bundle's manifest is too big.")
    manifest = json.loads(archive.read("manifest.json").decode("utf-8"), parse_constant=refuse)
    if manifest["format"] != FORMAT:
        raise BundleError(f"The bundle has the format {str(manifest['format'])[:40]!r}, {FORMAT!r} was expected.")
    model = ModelIdentity(**{k: manifest["model"][k] for k in ("sha256", "name", "architecture", "bytes")})
    if not all(type(value) is kind for value, kind in zip(vars(model).values(), (str, str, str, int), strict=True)):
        raise BundleError("The bundle's note of its base model has another form than expected.")
    tables = check_tables(manifest["tables"])
    lessons = _lessons(archive, tables)
    known = {"manifest.json", *(f"rows/{digest}.safetensors" for digest in lessons)}
    for name in (m.filename for m in members):
        if name not in known and not name.startswith("replay/"):
            raise BundleError(f"The bundle holds {name[:80]!r}, which does not belong there.")
    live, needed = _check_history(model, tables, lessons)
    replays = _replays(archive, needed)
    return Bundle(model, lessons, live, tables, replays, needed)


def _replays(archive: zipfile.ZipFile, needed: dict[str, list[int]]) -> dict[str, bytes]:
    """The replay files that versions name, by file name; what is found is taken out of `needed`, others are left alone."""
    found = {}
    for member in archive.infolist():
        name = member.filename.removeprefix("replay/")
        if name == member.filename:
            continue
        if not (fits := _REPLAY.fullmatch(name)):
            raise BundleError(f"The bundle holds {member.filename[:80]!r}, which is no replay.")
        data, told = archive.read(member), (fits[1] or "").removeprefix("-")
        digest = hashlib.sha256(data).hexdigest()
        if told and not digest.startswith(told):
            raise BundleError(
                f"The bundle's {member.filename[:80]!r} does not match the hash in its name, so the bundle is damaged. "
                "Use another copy of it, or export it anew."
            )
        if needed.pop(digest, None) is not None:
            found[with_digest(Path(name).stem, digest)] = data
    return found


def _lessons(archive: zipfile.ZipFile, tables: dict[str, list[tuple]]) -> dict[str, PendingLesson]:
    texts: dict[str, Lesson] = {}
    for _, lesson_id, text, question, answer, source, _ in tables["lessons"]:
        lesson = check_lesson(text, question, answer, source)
        if lesson.id != lesson_id:
            raise BundleError(f"The lesson {text[:60]!r} of the bundle does not match its hash.")
        texts[lesson_id] = lesson
    found: dict[str, PendingLesson] = {}
    for digest, lesson_id, recipe, phrasings, evidence, _ in tables["rows"]:
        if not _HEX.fullmatch(digest):
            raise BundleError("The bundle names rows by something that is no SHA-256.")
        data = archive.read(f"rows/{digest}.safetensors")
        if entry_digest(lesson_id, data) != digest:
            raise BundleError(f"The rows {digest[:12]} of the bundle do not match their hash.")
        try:
            rows = Rows.from_bytes(data)
        except StoreCorrupt as error:
            raise BundleError(f"The rows {digest[:12]} of the bundle cannot be used: {error}") from error
        if rows.to_bytes() != data:
            raise BundleError(f"The rows {digest[:12]} of the bundle are not in the form that QF Chat writes.")
        asked, why = check_phrasings(phrasings), check_object(evidence, "evidence")
        found[digest] = PendingLesson(texts[lesson_id], rows, recipe, asked, why)
    return found


def _check_history(
    model: ModelIdentity, tables: dict, lessons: dict[str, PendingLesson]
) -> tuple[tuple[str, ...], dict[str, list[int]]]:
    """The rows of the live version, and the versions that need each replay, by digest."""
    entries: dict[int, list[tuple[str, str]]] = {}
    for version, lesson_id, digest in tables["version_lessons"]:
        if digest not in lessons or lessons[digest].lesson.id != lesson_id:
            raise BundleError(f"Version {version} of the bundle names rows that it does not hold.")
        entries.setdefault(version, []).append((lesson_id, digest))
    hashes: dict[int, str] = {}
    needed: dict[str, list[int]] = {}
    for position, (number, name, content, kind, message, parent, at, solve) in enumerate(tables["versions"]):
        settings = check_solve(solve, knows=number in entries)
        derived = content_hash(model.sha256, settings, entries.get(number, ()))
        chained = version_hash(derived, hashes[parent] if parent is not None else None, number, kind, message, at)
        if number != position or derived != content or chained != name:
            raise BundleError(f"Version {number} of the bundle does not match its hash.")
        hashes[number] = name
        if settings.get("replay"):
            needed.setdefault(settings["replay"], []).append(number)
    if not set(entries) <= set(hashes):
        raise BundleError("The bundle holds lessons of a version that it does not have.")
    for version, report in tables["reports"]:
        if version not in hashes:
            raise BundleError(f"The bundle has a report card of version {version}, which it does not have.")
        check_report(report)
    live = check_names(tables["refs"], tables["current"], hashes)
    return tuple(digest for _, digest in entries.get(live, ())), needed


def insert_history(db: Database, bundle: Bundle) -> None:
    """Put a bundle's whole history into a store that knows nothing yet."""
    for table in ("current", "refs", "reports", "versions"):
        db.execute(f"DELETE FROM {table}")
    for table in ("lessons", "rows", "versions", "version_lessons", "reports", "refs", "current"):
        columns = tuple(COLUMNS[table])
        for values in bundle.tables[table]:
            if table == "rows":
                columns, values = (*COLUMNS[table], "data"), (*values, bundle.lessons[values[0]].rows.to_bytes())
            marks = ", ".join("?" * len(columns))
            db.execute(f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks})", list(values))
        if table not in ("versions", "version_lessons"):
            reseal(db, table)


def place_replays(bundle: Bundle, folder: Path) -> None:
    """Put the replay files beside the store, which needs them to solve the bundle's versions to the same bytes."""
    for name, data in bundle.replays.items():
        with atomic_write(folder / name) as file:
            file.write(data)

