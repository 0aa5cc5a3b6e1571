"""Replay: keys of ordinary chats that the base generates itself; new knowledge must leave them alone.

Prepared once per model and edited layer, kept as a file in the store's folder (it can be made again).
"""

import hashlib
import json
import threading
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from qfcore.errors import StoreCorrupt
from qfcore.export.atomic import atomic_write
from qfcore.observe import student_messages
from qfcore.recipe import Recipe
from qfcore.runtime.protocol import Progress, Runtime
from qfcore.solve import ReplayBasis, prepare_replay

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

    def basis(self, recipe: Recipe) -> ReplayBasis:
        """The solver's form under a recipe's weights."""
        weights = np.where(self.first, recipe.replay_first_weight, recipe.replay_weight).astype(np.float32)
        return prepare_replay(self.keys, weights, recipe.ridge)


def assets_folder() -> Path:
    """Where the shipped assets lie: inside the package when installed, beside it in a checkout."""
    packaged = Path(str(resources.files("app"))) / "assets"
    return packaged if packaged.is_dir() else Path(__file__).resolve().parent.parent / "assets"


def load_or_make_replay(
    runtime: Runtime,
    folder: Path,
    shared: Path,
    layer: int,
    *,
    on_progress: Progress | None = None,
    cancel: threading.Event | None = None,
) -> Replay:
    """Read the replay of this model, or let the model answer the shipped prompts (minutes, once).

    folder: the store's, which keeps its own copy, since its versions depend on it.
    shared: this model's folder, from which further stores on this machine take it.

    Raises:
        Cancelled: `cancel` was set; nothing was written.
        StoreCorrupt: the file is damaged.
    """
    prompts = json.loads((assets_folder() / "replay_prompts.json").read_text(encoding="utf-8"))
    kind = hashlib.sha256(json.dumps([prompts, ANSWER_TOKENS]).encode()).hexdigest()[:12]
    name = f"replay-{layer}-{kind}.safetensors"
    path, origin = folder / name, shared / name
    if path.exists():
        return _read(path)
    shared.mkdir(parents=True, exist_ok=True)
    if not origin.exists():
        keys, first = runtime.replay(
            [student_messages(prompt) for prompt in prompts],
            max_tokens=ANSWER_TOKENS, layer=layer, on_progress=on_progress, cancel=cancel,
        )  # fmt: skip
        with atomic_write(origin) as file:  # half precision: keys of replay need no more, and it halves the file
            file.write(save({"keys": keys.astype(np.float16), "first": first.astype(np.uint8)}))
    with atomic_write(path) as file:
        file.write(origin.read_bytes())
    return _read(path)


def _read(path: Path) -> Replay:
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    try:
        arrays = load_file(path)
        keys, first = arrays["keys"].astype(np.float32), arrays["first"].astype(bool)
        if keys.ndim != 2 or first.shape != keys.shape[:1] or not np.isfinite(keys).all():
            raise ValueError(f"keys {keys.shape}, first {first.shape}")
    except (SafetensorError, KeyError, ValueError) as error:
        raise StoreCorrupt(f"The replay file {path} is damaged. Delete it; it will be made again.") from error
    return Replay(keys, first, digest)
