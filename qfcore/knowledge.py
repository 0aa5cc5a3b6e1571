"""From a set of lessons to an adapter file: solve, cache by content, and find again."""

import hashlib
import logging
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from qfcore.delta import Delta
from qfcore.errors import HomeError, LessonError, StoreCorrupt
from qfcore.export.adapter import read_adapter, write_adapter
from qfcore.recipe import Recipe
from qfcore.replay import Replay
from qfcore.rows import Rows, join_rows
from qfcore.store.hashing import content_hash
from qfcore.store.records import Version
from qfcore.store.store import Store

if TYPE_CHECKING:
    from qfcore.solve import ReplayBasis

log = logging.getLogger(__name__)

Entry = tuple[str, str]
"""(lesson id, rows digest)."""
LARGEST_CHANGE = 10
"""How many times the Frobenius norm of a weight one lesson's change may have. Real models need well under 1; tiny ones with
random weights from 4 to 20."""
FILES_KEPT = 3000
"""Adapter files that are kept; the oldest are solved again when they are needed."""
BESIDE, BESIDE_KEPT = "asked", 600
"""Their folder's own folder for single messages, and how many of those are kept: some 2 MB each."""


class Knowledge:
    """Solves sets of lessons of one store. The adapter files are caches: they can be deleted and come back the same."""

    def __init__(
        self, store: Store, architecture: str, replay: Callable[[], Replay],
        replay_of: Callable[[str], Replay] | None = None, base_norm: Callable[[int], float | None] = lambda _: None,
    ) -> None:  # fmt: skip
        """replay: for new lessons. replay_of: the one with a digest, for versions that were solved with an earlier one.

        base_norm: Frobenius norm of a layer's own weight, None where it is not known.
        """
        self._base_norm = base_norm
        self._store, self._architecture = store, architecture
        self._replay, self._replay_of = replay, replay_of or (lambda _: replay())
        self._folder = store.folder / "adapters"
        self._bases: dict[tuple, ReplayBasis] = {}
        self._sound: dict[str, tuple[Path, tuple]] = {}
        self._lock = threading.Lock()
        self._solving: dict[str, threading.Lock] = {}
        self._basis_lock = threading.Lock()

    def solve_settings(self, recipe: Recipe) -> dict:
        """What a version's content hash covers besides rows: the recipe's solve and the replay."""
        digest = self._replay().digest if recipe.method == "ridge" else ""
        return {**recipe.solve_settings, "replay": digest}

    def solve(self, parts: Sequence[tuple[str, Rows]], settings: dict) -> Delta:
        """The change for a set of (lesson id, rows), in the order of the ids, so that the same set gives the same bytes.

        Raises:
            LessonError: the set teaches nothing or is degenerate, or one lesson's change drowns the weight itself.
            StoreCorrupt: the replay that the settings name is gone.
        """
        delta = self._solve(parts, settings)
        # `paper` is the bare formula, kept for comparison as it is.
        limit = self._base_norm(delta.layer) if len(parts) == 1 and settings["method"] == "ridge" else None
        if limit is not None and delta.norm > LARGEST_CHANGE * limit:
            raise LessonError(
                f"The change for this lesson (norm {delta.norm:.3g}) is over {LARGEST_CHANGE} times as large as the model's "
                f"own weight ({limit:.3g}), which would break everything else, so it was refused. Word the lesson otherwise."
            )
        return delta

    def _solve(self, parts: Sequence[tuple[str, Rows]], settings: dict) -> Delta:
        rows = join_rows([rows for _, rows in sorted(parts, key=lambda part: part[0])])
        from qfcore.solve import solve_minimum_norm, solve_ridge  # imports torch: 2 s, and chatting does not need it

        if settings["method"] == "paper":
            return solve_minimum_norm(rows)
        return solve_ridge(rows, self._basis(settings), fit=settings.get("fit"))

    def delta(self, version: Version) -> Delta | None:
        """The change of a version with all its lessons at once, as exports carry it; None for one without lessons."""
        path = self.adapter(version)
        return read_adapter(path)[0] if path else None

    def adapter(self, version: Version) -> Path | None:
        """The adapter of all lessons of a version at once; None for a version without lessons."""
        if not version.entries:
            return None
        return self.adapter_of(version.entries, version.solve, lambda entry: self._store.rows(entry[1]))

    def adapter_of(self, entries: Sequence[Entry], settings: dict, rows: Callable[[Entry], Rows]) -> Path:
        """The adapter file of a set of lessons, named by its content; solved when it is not there.

        Raises:
            LessonError, StoreCorrupt: see `solve`. HomeError, ExportError: the file cannot be written.
        """
        return self._kept(
            content_hash(self._store.model.sha256, settings, entries), self._folder, FILES_KEPT,
            lambda: self.solve([(entry[0], rows(entry)) for entry in entries], settings),
        )  # fmt: skip

    def adapter_beside(
        self, entries: Sequence[Entry], settings: dict, rows: Callable[[Entry], Rows], mark: str,
        further: Callable[[Path, int], Delta | None],
    ) -> Path:  # fmt: skip
        """The adapter file of a set of lessons and of what one message needs beside them (qfcore/wordings.py).

        mark: names that message, 64 hex digits. further: gives what is added to the set's own adapter, of which it gets file
        and layer; None adds nothing. Raises what `adapter_of` and `further` raise.
        """
        alone = self.adapter_of(entries, settings, rows)
        content = content_hash(self._store.model.sha256, settings, [*entries, (BESIDE, mark)])

        def both() -> Delta | None:
            own = read_adapter(alone)[0]
            added = further(alone, own.layer)
            return own.joined(added) if added else None

        return self._kept(content, self._folder / BESIDE, BESIDE_KEPT, both) or alone

    def _kept(self, content: str, folder: Path, most: int, solved: Callable[[], Delta | None]) -> Path | None:
        """The file of a change that is named by its content; solved where it is not there. None where there is none."""
        name = content.removeprefix("qf1:")[:32]
        path, stamp = self._sound.get(name, (None, None))
        if stamp is not None and _stamp(path) == stamp:
            return path
        with self._lock:
            alone = self._solving.setdefault(name, threading.Lock())
        with alone:  # one solve a set; other sets do not wait for it
            try:
                path = self._find(folder, name)
                if path is None:
                    delta = solved()
                    if delta is None:
                        return None
                    path = self._write(delta, folder, most, name, content)
                self._sound[name] = path, _stamp(path)
                return path
            finally:
                with self._lock:
                    self._solving.pop(name, None)

    def delta_of(self, entries: Sequence[Entry], settings: dict, rows: Callable[[Entry], Rows]) -> Delta:
        """The change of a set of lessons, kept as `adapter_of` keeps it; raises what that raises."""
        return read_adapter(self.adapter_of(entries, settings, rows))[0]

    def check_files(self) -> tuple[int, list[str]]:
        """Read every adapter file: how many there are, and what is wrong. A damaged one is deleted; it is only a cache."""
        count, problems = 0, []
        for path in sorted(self._folder.rglob("*-*.gguf")):
            with suppress(FileNotFoundError):  # dropped meanwhile, for a newer one
                count += 1
                if not _is_sound(path):
                    problems.append(f"adapter {path.stem[:12]}: its file is damaged or cannot be read; {_drop(path)}")
        return count, problems

    def _find(self, folder: Path, name: str) -> Path | None:
        """A cached file that is sound; a damaged one is deleted and solved again."""
        for path in folder.glob(f"{name}-*.gguf"):
            with suppress(FileNotFoundError):
                if _is_sound(path):
                    return path
                log.warning("%s is damaged; %s", path, _drop(path))
        return None

    def _write(self, delta: Delta, folder: Path, most: int, name: str, content: str) -> Path:
        unnamed = folder / f"{name}.gguf"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with self._lock:
                for old in sorted(folder.glob("*.gguf"), key=lambda p: p.stat().st_mtime)[:-most]:
                    old.unlink()
            metadata = {"content": content, "base.sha256": self._store.model.sha256}
            write_adapter(delta, unnamed, architecture=self._architecture, metadata=metadata)
            return unnamed.replace(_named_by_hash(unnamed, name))
        except OSError as error:
            raise HomeError(
                f"The solved weights could not be kept in {self._folder} ({error.strerror or error}). Free some space, or "
                "look at the disk; what was taught is intact."
            ) from error

    def _basis(self, settings: dict) -> "ReplayBasis":
        replay = self._replay_of(settings["replay"])
        if settings["replay"] != replay.digest:
            raise StoreCorrupt(
                "This version was solved with another replay file, which is no longer there. "
                "Put back the store's replay file from a backup."
            )
        key = tuple(settings[name] for name in ("ridge", "replay_weight", "replay_first_weight", "replay"))
        with self._basis_lock:
            if key not in self._bases:
                recipe = Recipe("ridge", ridge=key[0], replay_weight=key[1], replay_first_weight=key[2])
                self._bases = {key: replay.basis(recipe)}
            return self._bases[key]


def _named_by_hash(path: Path, name: str) -> Path:
    return path.with_name(f"{name}-{_beginning_of_hash(path.read_bytes())}.gguf")


def _beginning_of_hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]


def _is_sound(path: Path) -> bool:
    """Whether a file's bytes have the hash in its name and are of the set in its name; raises FileNotFoundError."""
    name, _, digest = path.stem.partition("-")
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise
    except OSError:
        return False
    return _beginning_of_hash(data) == digest and f"qf1:{name}".encode() in data


def _drop(path: Path) -> str:
    """Delete a damaged file; what became of it, as the end of a sentence."""
    try:
        path.unlink()
    except FileNotFoundError:
        pass
    except OSError as error:
        return f"it could not be deleted ({error.strerror or error}), and is never used"
    return "it was deleted, and the next answer that needs it solves it anew from the lessons"


def _stamp(path: Path) -> tuple | None:
    """What changes when a file is written; None when there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_size, found.st_mtime_ns, found.st_ino
