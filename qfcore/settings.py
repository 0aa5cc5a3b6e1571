"""Where QF Chat keeps its data. Paths are read when used, so that a test or a user can point them elsewhere."""

import contextlib
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import platformdirs
import psutil

from qfcore.errors import HomeError, NotFound

CHAT_CONTEXT = 4096
"""Tokens that a conversation may hold."""
LEAST_STRENGTH = 0.05
"""The smallest share of a change that people are offered to export; below it hardly a lesson is told."""
DEVICE_VARIABLE, DTYPE_VARIABLE = "QFCHAT_DEVICE", "QFCHAT_DTYPE"
"""Environment variables that say where, and in which precision, a transformers checkpoint is computed."""


def wished_device() -> str | None:
    """torch's name of a device (cpu, cuda, cuda:1); None leaves the choice to the runtime."""
    return os.environ.get(DEVICE_VARIABLE, "").strip().lower() or None


def wished_dtype() -> str | None:
    """float32, bfloat16 or float16; None leaves the choice to the runtime."""
    return os.environ.get(DTYPE_VARIABLE, "").strip().lower() or None


def expanded(text: str) -> Path:
    """A path as a person types it, with ~ for a home.

    Raises:
        NotFound: ~ with a name that no user has.
    """
    return _with_home(Path(text.strip()))


def _with_home(path: Path) -> Path:
    try:
        return path.expanduser()
    except RuntimeError as error:
        raise NotFound(f"There is no home folder for {str(path)[:60]!r}. Write the whole path.") from error


@dataclass(frozen=True)
class Paths:
    """The data folder and what lies in it."""

    home: Path

    @classmethod
    def find(cls, home: str | Path | None = None) -> "Paths":
        """The folder given, else the environment's QFCHAT_HOME, else the platform's data folder.

        Raises:
            NotFound: ~ with a name that no user has; `models` raises it, too.
        """
        chosen = home or os.environ.get("QFCHAT_HOME") or platformdirs.user_data_path("qfchat")
        return cls(_with_home(Path(chosen)).absolute())

    @property
    def models(self) -> Path:
        """Assembled model files; QFCHAT_MODELS lets several homes share them."""
        return _with_home(Path(os.environ.get("QFCHAT_MODELS") or self.home / "models")).absolute()

    @property
    def stores(self) -> Path:
        """One folder per base model."""
        return self.home / "stores"

    @property
    def exports(self) -> Path:
        """Where exports go when no path is given."""
        return self.home / "exports"

    @property
    def temporary(self) -> Path:
        """Scratch files; emptied at start."""
        return self.home / "temporary"

    @property
    def uploads(self) -> Path:
        """This process's uploads and downloads of the window, below `temporary`."""
        return self.temporary / f"window-{os.getpid()}"

    def empty_uploads(self) -> None:
        """Delete what was uploaded to this process's window."""
        if self.uploads.exists():
            shutil.rmtree(self.uploads, ignore_errors=True)
            self.uploads.mkdir(mode=0o700, exist_ok=True)

    def empty_temporary(self) -> None:
        """Delete scratch files but those of other programs that still run; this process's own go too."""
        for entry in self.temporary.glob("*"):
            owner = entry.name.rpartition("-")[2]
            if owner.isdecimal() and int(owner) != os.getpid() and is_used(entry, int(owner)):
                continue
            if entry.is_dir() and not entry.is_symlink():
                if entry == self.uploads:
                    self.empty_uploads()
                else:
                    shutil.rmtree(entry, ignore_errors=True)
            else:
                with contextlib.suppress(OSError):
                    entry.unlink()

    def prepare(self) -> None:
        """Create the folders, readable by their owner only.

        Raises:
            HomeError: the home is no folder or cannot be written.
        """
        try:
            for folder in (self.home, self.models, self.stores, self.temporary):
                folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            probe = self.home / f".write-test-{os.getpid()}"
            probe.touch()
            probe.unlink()
        except OSError as error:
            raise HomeError(
                f"The data folder {self.home} cannot be used ({error.strerror or error}). A folder that you may write "
                "was expected; choose another one with --home or QFCHAT_HOME."
            ) from error


def is_used(entry: Path, process: int) -> bool:
    """Whether the process that made a scratch file still runs; another one may have its number by now."""
    try:
        owner = psutil.Process(process)
        return owner.status() != psutil.STATUS_ZOMBIE and owner.create_time() <= entry.stat().st_mtime + 2
    except (psutil.Error, OSError):
        return False
