"""Every model that a person can name: the catalogue's, files of the hub, files on the disk."""

import functools
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from qfcore.errors import ModelError
from qfcore.gguf_file.header import GGUFFacts, check_gguf
from qfcore.models.assemble import ensure_model
from qfcore.models.catalogue import CATALOGUE, DEFAULT, find_model
from qfcore.models.checkpoint import CheckpointFacts, check_checkpoint, is_checkpoint
from qfcore.models.hub import GROWING, PREFIX, Hub, HubFile, parse
from qfcore.models.memory import bytes_per_parameter, memory_here
from qfcore.settings import CHAT_CONTEXT

log = logging.getLogger(__name__)
_BESIDE = 500 << 20
"""What the program itself and torch need, bytes."""

Progress = Callable[[float, str], None]


@dataclass(frozen=True)
class Found:
    """A model file, or a checkpoint's folder, that is here.

    trusted: its SHA-256 is the catalogue's, so it was opened before.
    """

    path: Path
    title: str
    trusted: bool


@dataclass(frozen=True)
class Listed:
    """A model to choose. name: what `find` takes; bytes: of the file; path: where it is or would be.

    memory_bytes: about what it needs; at least, while it is not here. fits: whether this computer has so much. problem: why
    the file that is here cannot be used; empty when it can.
    """

    name: str
    title: str
    bytes: int
    sha256: str
    licence: str
    purpose: str
    default: bool
    path: str
    installed: bool
    memory_bytes: int = 0
    fits: bool = True
    problem: str = ""


class Library:
    """The models folder. endpoint: another hub (None: HF_ENDPOINT, or the public one). on_notice: gets a sentence about the
    memory that a model will need, before its file is fetched.
    """

    def __init__(
        self, folder: Path, endpoint: str | None = None, on_notice: Callable[[str], object] | None = None
    ) -> None:
        self._folder, self._hub, self._notice = folder, Hub(folder, endpoint), on_notice or (lambda _: None)

    def list(self) -> list[Listed]:
        """The catalogue, then what was fetched from the hub, then other files of the models folder."""
        listed = [
            Listed(e.name, e.title, e.bytes, e.sha256, e.licence, e.purpose, e.name == DEFAULT, str(path), path.is_file())
            for e in CATALOGUE.values()
            for path in [self._folder / e.file]
        ]
        listed += [
            Listed(f.reference, f.title, f.bytes, f.sha256, "", f"from {f.repo}", False, str(path), True)
            for f in self._hub.installed()
            for path in [self._hub.path(f)]
        ]
        known = {model.path for model in listed}
        listed += [
            Listed(str(path), path.stem, path.stat().st_size, "", "", "a file in the models folder", False, str(path), True)
            for path in sorted(self._folder.glob("*.gguf"))
            if str(path) not in known and path.is_file()
        ]
        listed += [
            Listed(str(path), path.name, _size(path), "", "", "a checkpoint in the models folder", False, str(path), True)
            for path in sorted(self._folder.glob("*/"))
            if str(path) not in known and is_checkpoint(path) and not path.name.endswith(GROWING)
        ]
        return [_measured(model) for model in listed]

    def is_here(self, reference: str) -> bool:
        """Whether what a name of the hub stands for was fetched; nobody is asked."""
        return self._hub.here(reference) is not None

    def find(
        self, name: str | None, on_progress: Progress | None = None, cancel: threading.Event | None = None
    ) -> Found:
        """What a name stands for; fetched when it is one of the catalogue or of the hub, and not here.

        name: of the catalogue (None: the default), "hf:OWNER/NAME/FILE.gguf@REVISION", "hf:OWNER/NAME@REVISION" for a
        checkpoint, or a path. The hub is asked only for a name that begins with "hf:" and is not here.

        Raises:
            NotFound: there is none. ModelError, HomeError, Cancelled: see `ensure_model` and `Hub.fetch`.
        """
        if name is not None and name.startswith(PREFIX):
            entry = self._hub.entry(name)
            if entry is None:
                entry = self._hub.look_up(name)
                self._notice(_check(entry.title, _loaded(entry) + _BESIDE, "at least", on_progress))
                self._hub.fetch(entry, on_progress, cancel)
            return Found(self._hub.path(entry), entry.title, False)
        found = find_model(name)
        if isinstance(found, Path):
            return Found(found, found.name if found.is_dir() else found.stem, False)
        if not (self._folder / found.file).is_file():
            self._notice(_check(found.title, found.bytes + _BESIDE, "at least", on_progress))
        return Found(ensure_model(found, self._folder, on_progress=on_progress, cancel=cancel), found.title, True)


def check_name(name: str) -> None:
    """Raises NotFound for a name that can stand for no model; nothing is fetched."""
    if name.startswith(PREFIX):
        parse(name)
    else:
        find_model(name)


def memory_needed(facts: GGUFFacts | CheckpointFacts, context: int) -> int:
    """About how many bytes a model needs to chat and learn: its file (mapped), keys and values of both contexts, logits.

    context: tokens that a conversation may hold.
    """
    cache = 2 * context * facts.kv_bytes_per_token
    logits = 2 * 256 * facts.n_vocab * 4
    return facts.file_bytes + cache + logits + _BESIDE


def check_memory(facts: GGUFFacts | CheckpointFacts, context: int, on_progress: Progress | None = None) -> int:
    """What the model needs, in bytes, said before it is loaded; more than is free now is warned of.

    Raises:
        ModelError: more than this computer has.
    """
    need = memory_needed(facts, context)
    _check(facts.name, need, "about", on_progress)
    return need


def _check(name: str, need: int, how: str, on_progress: Progress | None) -> str:
    """Say what a model needs, and what is free; the sentence."""
    there = memory_here()
    if need > there.total:
        raise ModelError(
            f"{name} needs {how} {need / 1e9:.1f} GB of memory, this computer has {there.total / 1e9:.1f} GB. "
            "Choose a smaller model, or one with fewer bits per weight."
        )
    told = f"{name} needs {how} {need / 1e9:.1f} GB of memory, {there.available / 1e9:.1f} GB are free."
    if on_progress:
        on_progress(0.0, told)
    if need > there.available:
        log.warning("%s It may be slow or fail; close other programs, or choose a smaller model.", told)
    return told


def _loaded(entry: HubFile) -> int:
    """Bytes that the weights will take in memory. Checkpoints mostly come in 16 bits, and are loaded as they compute."""
    if not entry.parts:
        return entry.bytes
    return (entry.parameters or entry.bytes // 2) * bytes_per_parameter()


def _size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.iterdir() if file.is_file())


def _need(path: Path) -> int:
    if path.is_dir():
        return memory_needed(check_checkpoint(path).loaded(bytes_per_parameter()), CHAT_CONTEXT)
    stat = path.stat()
    return _need_of(path, stat.st_size, stat.st_mtime_ns)


@functools.lru_cache(maxsize=256)
def _need_of(path: Path, _size: int, _changed: int) -> int:
    """Remembered while the file does not change: a header of megabytes takes a moment."""
    return memory_needed(check_gguf(path), CHAT_CONTEXT)


def _measured(model: Listed) -> Listed:
    """With the memory that it needs and, when its file is damaged, with why."""
    need, problem = model.bytes + _BESIDE, ""
    if model.installed:
        try:
            need = _need(Path(model.path))
        except ModelError as error:
            problem = str(error)
    return replace(model, memory_bytes=need, fits=need <= memory_here().total, problem=problem)
