"""Replay: keys of ordinary chats that the base generates itself; new knowledge must leave them alone.

Prepared once per model and edited layer, kept as a file in the store's folder. Versions name the replay that they were
solved with by the file's hash, so that is how a file is chosen; a damaged copy is replaced by the one that all stores share.
"""

import contextlib
import hashlib
import json
import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from qfcore.assets import assets_folder
from qfcore.errors import ExportError, StoreCorrupt
from qfcore.export.atomic import atomic_write
from qfcore.observe import student_messages
from qfcore.recipe import Recipe
from qfcore.rows import to_half
from qfcore.runtime.protocol import Progress, Runtime
from qfcore.store.replays import copy_replay, sound_replays

if TYPE_CHECKING:
    from qfcore.solve import ReplayBasis

ANSWER_TOKENS = 16
"""Positions taken from each answer at most; the first ones decide what is said."""


@dataclass(frozen=True)
class Replay:
    """Keys of ordinary chats.

    keys: (R, I) float32. first: (R,) bool, positions that predict an answer's first token. digest: SHA-256 of the file.
    """

    keys: np.ndarray
    first: np.ndarray
    digest: str

    def basis(self, recipe: Recipe) -> "ReplayBasis":
        """The solver's form under a recipe's weights."""
        weights = np.where(self.first, recipe.replay_first_weight, recipe.replay_weight).astype(np.float32)
        from qfcore.solve import prepare_replay  # imports torch

        return prepare_replay(self.keys, weights, recipe.ridge)


def load_or_make_replay(
    runtime: Runtime,
    folder: Path,
    shared: Path,
    layer: int,
    *,
    known: Collection[str] = (),
    on_progress: Progress | None = None,
    cancel: threading.Event | None = None,
) -> Replay:
    """Read the replay of this model, or let the model answer the shipped prompts (minutes, once).

    folder: the store's, which keeps its own copy, since its versions depend on it.
    shared: this model's folder, from which further stores on this machine take it.
    known: digests that versions of the store name.

    Raises:
        Cancelled: `cancel` was set; nothing was written.
        StoreCorrupt: the only file there is is damaged.
    """
    prompts = json.loads((assets_folder() / "replay_prompts.json").read_text(encoding="utf-8"))
    kind = hashlib.sha256(json.dumps([prompts, ANSWER_TOKENS]).encode()).hexdigest()[:12]
    stem = f"replay-{layer}-{kind}"
    path = _choose(stem, (folder, shared), known)
    if path is None:
        keys, first = runtime.replay(
            [student_messages(prompt) for prompt in prompts],
            max_tokens=ANSWER_TOKENS, layer=layer, on_progress=on_progress, cancel=cancel,
        )  # fmt: skip
        # half precision: keys of replay need no more, and it halves the file
        path = _write(shared, stem, save({"keys": to_half(keys).astype(np.float16), "first": first.astype(np.uint8)}))
    return _kept(path, folder)


def find_replay(digest: str, folder: Path, shared: Path) -> Replay:
    """The replay that a version names, from the store's folder or, when it is damaged there, from the shared one.

    Raises:
        StoreCorrupt: it is in neither.
    """
    path = sound_replays([digest], (folder, shared)).get(digest)
    if path is None:
        raise StoreCorrupt(
            f"The replay {digest[:12]}, with which this version was solved, is damaged or gone. `qfchat restore-backup` "
            "puts back a backup that has it; a bundle made before has it too."
        )
    return _kept(path, folder)


def replay_problems(needed: Mapping[str, Sequence[int]], folder: Path, shared: Path) -> list[str]:
    """What is wrong with the replay files that versions name, and what to do. needed: versions by digest."""
    missing = [digest for digest in needed if digest not in sound_replays(needed, (folder,))]
    elsewhere = sound_replays(missing, (shared,))
    problems = []
    for digest in missing:
        what = f"replay {digest[:12]}, needed by {_versions(needed[digest])}: its file is damaged or missing"
        if digest in elsewhere:
            problems.append(f"{what}; a sound copy lies in {shared}, and the next `qfchat run` or teaching puts it back")
        else:
            problems.append(f"{what}; put back a backup (`qfchat restore-backup`) or import a bundle that has it")
    return problems


def _versions(numbers: Sequence[int]) -> str:
    return f"version {numbers[0]}" if len(numbers) == 1 else f"versions {numbers[0]} to {numbers[-1]}"


def heal_replays(needed: Collection[str], folder: Path, shared: Path) -> None:
    """Put back what is damaged in the store's folder and sound in the shared one."""
    missing = [digest for digest in needed if digest not in sound_replays(needed, (folder,))]
    for path in sound_replays(missing, (shared,)).values():
        _kept(path, folder)


def _choose(stem: str, folders: Sequence[Path], known: Collection[str]) -> Path | None:
    """The file of this kind that the store's versions name, else one whose bytes have the hash in its name.

    Files of earlier programs have no hash in their name; without anything better they are taken as they are.
    """
    unsure = None
    for path in _files(stem, folders):
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        if digest in known or path.stem == f"{stem}-{digest[:16]}":
            return path
        if path.stem == stem and unsure is None:
            unsure = path
    return unsure


def _files(stem: str, folders: Sequence[Path]) -> Iterator[Path]:
    for folder in folders:
        yield from sorted(folder.glob(f"{stem}*.safetensors"))


def _write(folder: Path, stem: str, data: bytes) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{stem}-{hashlib.sha256(data).hexdigest()[:16]}.safetensors"
    with atomic_write(path) as file:
        file.write(data)
    return path


def _kept(path: Path, folder: Path) -> Replay:
    """Read a replay; the store's folder gets a copy, unless it cannot be written."""
    replay = _read(path)
    if path.parent != folder:
        with contextlib.suppress(ExportError):
            copy_replay(path, folder, replay.digest)
    return replay


def _read(path: Path) -> Replay:
    try:
        return replay_of(path.read_bytes())
    except ValueError as error:
        raise StoreCorrupt(f"The replay file {path} is damaged. Delete it; it will be made again.") from error


def replay_of(data: bytes) -> Replay:
    """The replay in a file's bytes; ValueError when they are none."""
    try:
        arrays = load(data)
        keys, first = arrays["keys"].astype(np.float32), arrays["first"].astype(bool)
    except (SafetensorError, KeyError) as error:
        raise ValueError(str(error)) from error
    if keys.ndim != 2 or first.shape != keys.shape[:1] or not np.isfinite(keys).all():
        raise ValueError(f"keys {keys.shape}, first {first.shape}")
    return Replay(keys, first, hashlib.sha256(data).hexdigest())
