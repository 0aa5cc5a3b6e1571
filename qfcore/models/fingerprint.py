"""SHA-256 of big files, remembered by size, modification time and inode."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

from qfcore.export.atomic import atomic_write

_BLOCK = 8 << 20


def sha256_of(path: Path, cache: Path, on_progress: Callable[[float, str], None] | None = None) -> str:
    """SHA-256 (64 hex digits) of a file; computed once as long as the file does not change.

    cache: a small JSON file, made when missing; it is only a cache and may be deleted.
    """
    stat = path.stat()
    mark = [stat.st_size, stat.st_mtime_ns, stat.st_ino]
    known = _load(cache)
    entry = known.get(str(path.resolve()))
    if entry and entry[:3] == mark:
        return entry[3]
    hasher, done = hashlib.sha256(), 0
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            hasher.update(block)
            done += len(block)
            if on_progress:
                on_progress(done / max(stat.st_size, 1), "Checking the model file's SHA-256")
    remember(path, hasher.hexdigest(), cache)
    return hasher.hexdigest()


def remember(path: Path, digest: str, cache: Path) -> None:
    """Note the SHA-256 of a file that was just hashed."""
    stat = path.stat()
    known = _load(cache) | {str(path.resolve()): [stat.st_size, stat.st_mtime_ns, stat.st_ino, digest]}
    with atomic_write(cache) as file:
        file.write(json.dumps(known, indent=1, sort_keys=True).encode())


def _load(cache: Path) -> dict:
    try:
        return json.loads(cache.read_text())
    except (OSError, ValueError):
        return {}
