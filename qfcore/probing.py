"""Reading a model's state off linearly: where it is read, what was measured of a model, and what was read already.

For qfcore/relation.py, which reads a message alone, and qfcore/match.py, which reads it together with a question.
"""

import threading
from collections import OrderedDict
from collections.abc import Hashable
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np
from safetensors.numpy import load

from qfcore.assets import assets_folder
from qfcore.rows import layer_in
from qfcore.runtime.protocol import Runtime, Script

_KEPT = 4096
Key, Value = TypeVar("Key", bound=Hashable), TypeVar("Value")


def state_behind(runtime: Runtime, message: str, begun: str, layer: int) -> np.ndarray:
    """(D,) float32 residual after a layer, at the end of the beginning of an answer that is put in the model's mouth.

    Raises:
        RuntimeFailure: the model could not read it.
    """
    tokens = runtime.tokenize_answer(begun)  # its end of turn is predicted, and not read
    return runtime.observe([Script((("user", message),), tuple(tokens))], layer=layer)[0].residuals[-1]


def measured_file(kind: str, sha256: str) -> Path:
    """Where lies what was measured of a model's file, if the project has it. kind: its folder among the assets."""
    return assets_folder() / kind / f"{sha256[:16]}.safetensors"


def read_measured(kind: str, sha256: str) -> tuple[int, dict[str, np.ndarray]] | None:
    """The layer and the float64 tensors that were measured of a model's file; None for a model of which they were not."""
    try:
        data = measured_file(kind, sha256).read_bytes()
    except FileNotFoundError:
        return None
    return layer_in(data), {name: tensor.astype(np.float64) for name, tensor in load(data).items()}


class Remembered(Generic[Key, Value]):
    """What was read while the program runs; of too much, what was not asked for lately goes. Any thread may use it."""

    def __init__(self) -> None:
        self._kept: OrderedDict[Key, Value] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: Key) -> Value | None:
        """What was kept; None for what was not, or is gone."""
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
            return self._kept.get(key)

    def keep(self, key: Key, value: Value) -> Value:
        """Keep a value, and give it back."""
        with self._lock:
            self._kept[key] = value
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        return value


def balanced_ridge(one: np.ndarray, other: np.ndarray, ridge: float) -> tuple[np.ndarray, np.ndarray]:
    """(D,) weights along which one side is above 0 and the other below, and the middle (D,) from which that is counted.

    Ridge regression (Hoerl and Kennard 1970) on +1 and -1, both sides weighing the same.

    one, other: (N, D). ridge: ε as a share of the vectors' mean square.
    """
    x = np.concatenate([one, other]).astype(np.float64)
    middle = (one.mean(axis=0) + other.mean(axis=0)) / 2
    x = x - middle
    size = np.sqrt((x**2).mean())
    wanted = np.concatenate([np.ones(len(one)), -np.ones(len(other))])
    weights = len(x) / 2 / np.where(wanted > 0, len(one), len(other))
    x = x / size
    system = x.T @ (x * weights[:, None]) + ridge * len(x) * np.eye(x.shape[1])
    return np.linalg.solve(system, x.T @ (weights * wanted)) / size, middle
