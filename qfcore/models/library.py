"""Every model that a person can name: the catalogue's, files of the hub, files on the disk."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil

from qfcore.errors import ModelError
from qfcore.models.assemble import ensure_model
from qfcore.models.catalogue import CATALOGUE, DEFAULT, find_model
from qfcore.models.gguf_check import GGUFFacts
from qfcore.models.hub import PREFIX, Hub, parse

_BESIDE = 500 << 20
"""What the program itself and torch need, bytes."""

Progress = Callable[[float, str], None]


@dataclass(frozen=True)
class Found:
    """A model file that is here. trusted: its SHA-256 is the catalogue's, so it was opened before."""

    path: Path
    title: str
    trusted: bool


@dataclass(frozen=True)
class Listed:
    """A model to choose. name: what `find` takes; bytes: of the file; path: where it is or would be."""

    name: str
    title: str
    bytes: int
    sha256: str
    licence: str
    purpose: str
    default: bool
    path: str
    installed: bool


class Library:
    """The models folder. endpoint: another hub (None: HF_ENDPOINT, or the public one)."""

    def __init__(self, folder: Path, endpoint: str | None = None) -> None:
        self._folder, self._hub = folder, Hub(folder, endpoint)

    def list(self) -> list[Listed]:
        """The catalogue, then what was fetched from the hub."""
        listed = [
            Listed(e.name, e.title, e.bytes, e.sha256, e.licence, e.purpose, e.name == DEFAULT, str(path), path.is_file())
            for e in CATALOGUE.values()
            for path in [self._folder / e.file]
        ]
        return listed + [
            Listed(f.reference, Path(f.file).stem, f.bytes, f.sha256, "", f"from {f.repo}", False, str(path), True)
            for f in self._hub.installed()
            for path in [self._hub.path(f)]
        ]

    def find(
        self, name: str | None, on_progress: Progress | None = None, cancel: threading.Event | None = None
    ) -> Found:
        """The file that a name stands for; fetched when it is one of the catalogue or of the hub, and not here.

        name: of the catalogue (None: the default), "hf:OWNER/NAME/FILE.gguf@REVISION", or a path. The hub is asked only for
        a name that begins with "hf:" and is not here.

        Raises:
            NotFound: there is none. ModelError, HomeError, Cancelled: see `ensure_model` and `Hub.fetch`.
        """
        if name is not None and name.startswith(PREFIX):
            path = self._hub.here(name) or self._hub.fetch(self._hub.look_up(name), on_progress, cancel)
            return Found(path, path.stem.split("--")[-1], False)
        found = find_model(name)
        if isinstance(found, Path):
            return Found(found, found.stem, False)
        return Found(ensure_model(found, self._folder, on_progress=on_progress, cancel=cancel), found.title, True)


def check_name(name: str) -> None:
    """Raises NotFound for a name that can stand for no model; nothing is fetched."""
    if name.startswith(PREFIX):
        parse(name)
    else:
        find_model(name)


def memory_needed(facts: GGUFFacts, context: int) -> int:
    """About how many bytes a model needs to chat and learn: its file (mapped), keys and values of both contexts, logits.

    context: tokens that a conversation may hold.
    """
    cache = 2 * context * facts.kv_bytes_per_token
    logits = 2 * 256 * facts.n_vocab * 4
    return facts.file_bytes + cache + logits + _BESIDE


def check_memory(facts: GGUFFacts, context: int) -> int:
    """What the model needs, in bytes, said before it is loaded.

    Raises:
        ModelError: more than this computer has.
    """
    need, there = memory_needed(facts, context), psutil.virtual_memory().total
    if need > there:
        raise ModelError(
            f"{facts.name} needs about {need / 1e9:.1f} GB of memory, this computer has {there / 1e9:.1f} GB. "
            "Choose a smaller model, or one with fewer bits per weight."
        )
    return need
