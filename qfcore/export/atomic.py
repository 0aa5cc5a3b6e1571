"""Files that are either complete or absent: written beside the target, flushed to disk, then renamed over it."""

import errno
import os
import re
import secrets
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from qfcore.errors import ExportError
from qfcore.settings import is_used

_SUFFIX = ".partial"


def check_target(out: Path, *, base: Path, overwrite: bool, kept: Sequence[Path] = ()) -> None:
    """See that a new file may be written to `out`. base: the model, which is never written, under no name; kept: folders in
    which nothing is written.

    Raises:
        ExportError: `out` exists and may not be overwritten, is the base, a folder, or in one of `kept`; or there is no such
            folder, or it cannot be looked into.
    """
    try:
        _check_target(out, base, overwrite, kept)
    except OSError as error:
        raise ExportError(_explain(out, error)) from error


def _check_target(out: Path, base: Path, overwrite: bool, kept: Sequence[Path]) -> None:
    if not out.parent.is_dir():
        raise ExportError(f"The folder {out.parent} does not exist. Create it or choose another one.")
    folder = out.parent.resolve()
    if any(folder.is_relative_to(place.resolve()) for place in kept):
        raise ExportError(f"{folder} holds the base model or QF Chat's own data, which no export touches. Choose another.")
    if not (out.exists() or out.is_symlink()):
        return
    if out.is_dir():
        raise ExportError(f"{out} is a folder. Give the name of a file.")
    if out.exists() and out.samefile(base):
        raise ExportError(f"{out} is the base model itself, which is never written. Choose another name.")
    if not overwrite:
        raise ExportError(f"{out} exists already. Choose another name, or ask for it to be overwritten.")


@contextmanager
def atomic_write(path: Path) -> Iterator[BinaryIO]:
    """Yield a temporary binary file that becomes `path` when the block ends well; otherwise `path` is untouched.

    Raises:
        ExportError: the folder is missing, read-only or full.
    """
    with partial_file(path) as temporary:
        with temporary.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        _sync_folder(path.parent)


@contextmanager
def partial_file(path: Path) -> Iterator[Path]:
    """Yield a path beside `path` for a file that is needed inside the block only; what is left of it is deleted at the end.

    Raises:
        ExportError: the folder is missing, read-only or full.
    """
    temporary = _beside(path)
    try:
        yield temporary
    except OSError as error:
        raise ExportError(_explain(path, error)) from error
    finally:
        with suppress(OSError):  # a broken disk may refuse this too; the next start clears it
            temporary.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Yield a temporary folder that becomes `path` when the block ends well; otherwise nothing is left of it.

    Raises:
        ExportError: `path` exists, or the folder around it is missing, read-only or full.
    """
    temporary = _beside(path)
    try:
        if path.exists():
            raise ExportError(f"{path} exists already. Choose another name, or remove it first.")
        temporary.mkdir()
        yield temporary
        for file in temporary.rglob("*"):
            if file.is_file():
                _sync(file)
        _sync_folder(temporary)
        temporary.rename(path)
        _sync_folder(path.parent)
    except OSError as error:
        raise ExportError(_explain(path, error)) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def rust_errors_as_pythons() -> Iterator[None]:
    """Let libraries in Rust (safetensors, tokenizers), which have exceptions of their own, fail as Python does: OSError."""
    try:
        yield
    except OSError:
        raise
    except Exception as error:
        code = re.search(r"\(os error (\d+)\)", str(error))
        if code is None:
            raise
        raise OSError(int(code[1]), os.strerror(int(code[1]))) from error


def remove_partials(folder: Path) -> int:
    """Delete what killed processes left behind, not what others write now; the number of files and folders removed."""
    left = [entry for entry in folder.glob(f".*{_SUFFIX}") if not _is_written(entry)]
    for entry in left:
        if entry.is_dir():
            shutil.rmtree(entry, ignore_errors=True)
        else:
            with suppress(OSError):
                entry.unlink()
    return len(left)


def _beside(path: Path) -> Path:
    return path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}{_SUFFIX}")


def _is_written(entry: Path) -> bool:
    owner = re.search(r"\.(\d+)-[0-9a-f]{8}\.partial$", entry.name)
    return owner is not None and int(owner[1]) != os.getpid() and is_used(entry, int(owner[1]))


def _sync_folder(folder: Path) -> None:
    if os.name != "nt":  # a folder cannot be opened there; NTFS journals the rename
        _sync(folder)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _explain(path: Path, error: OSError) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return f"There is no room left to write {path}. Free some space or choose another folder; nothing was changed."
    if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
        return f"{path} cannot be written: the folder is read-only for you. Choose another folder."
    if error.errno == errno.ENOENT:
        return f"The folder {path.parent} does not exist. Create it or choose another one."
    return f"{path} could not be written: {error.strerror or error}. Nothing was changed."
