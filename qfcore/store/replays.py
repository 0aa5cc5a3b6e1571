"""Replay files and who needs them: a version names the replay that it was solved with by the SHA-256 of the file."""

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from sqlite_utils import Database

from qfcore.export.atomic import atomic_write

PATTERN = "replay-*.safetensors"


def digest_of(path: Path) -> str:
    """SHA-256 (64 hex digits) of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def needed_replays(db: Database) -> dict[str, list[int]]:
    """The versions that were solved with each replay, by digest."""
    found: dict[str, list[int]] = {}
    for number, solve in db.execute("SELECT number, solve FROM versions ORDER BY number").fetchall():
        if digest := json.loads(solve).get("replay"):
            found.setdefault(str(digest), []).append(number)
    return found


def sound_replays(digests: Iterable[str], folders: Sequence[Path]) -> dict[str, Path]:
    """Where the replays with these digests lie, the first folder first; those that are nowhere are left out."""
    wanted, found = set(digests), {}
    for path in _files(folders):
        if wanted <= set(found):
            break
        if (digest := digest_of(path)) in wanted:
            found.setdefault(digest, path)
    return found


def _files(folders: Sequence[Path]) -> Iterator[Path]:
    for folder in folders:
        yield from sorted(folder.glob(PATTERN))


def with_digest(stem: str, digest: str) -> str:
    """The name of a replay file that ends in the beginning of its digest."""
    return f"{stem}.safetensors" if stem.endswith(f"-{digest[:16]}") else f"{stem}-{digest[:16]}.safetensors"


def copy_replay(source: Path, folder: Path, digest: str) -> Path:
    """A copy of a replay file, with its digest in its name, so that a damaged file is never taken for a sound one.

    Raises:
        ExportError: the folder cannot be written.
    """
    target = folder / with_digest(source.stem, digest)
    if not target.exists() or digest_of(target) != digest:
        with atomic_write(target) as file:
            file.write(source.read_bytes())
    return target
