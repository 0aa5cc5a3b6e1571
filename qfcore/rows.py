"""What one lesson contributes to the regression at one layer: keys, targets and weights.

Rows depend on the base model, the lesson and the recipe only, never on other lessons (DESIGN.md 3, fact 3),
so they are computed once and stored.
"""

import hashlib
import json
from dataclasses import dataclass

import gguf
import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from qfcore.errors import LessonError, StoreCorrupt

_BYTEWISE = gguf.GGMLQuantizationType.Q8_0


@dataclass(frozen=True)
class Rows:
    """K rows of the regression: the weights at `layer` must send each key to its target.

    keys: (K, I) float32, inputs of the layer's down projection without the instruction (u_k).
    targets: (K, O) float32, what the weights must add (d_k); a zero row says "leave this as it is".
    weights: (K,) float32, positive; a larger weight is fitted more closely.
    """

    layer: int
    keys: np.ndarray
    targets: np.ndarray
    weights: np.ndarray

    def __post_init__(self) -> None:
        count = len(self.keys)
        if self.keys.ndim != 2 or self.targets.ndim != 2 or self.weights.shape != (count,) or len(self.targets) != count:
            raise LessonError(
                f"Rows do not fit together: keys {self.keys.shape}, targets {self.targets.shape}, "
                f"weights {self.weights.shape}; (K, I), (K, O) and (K,) were expected."
            )
        for name in ("keys", "targets", "weights"):
            if not np.isfinite(getattr(self, name)).all():
                raise LessonError(f"The lesson's {name} hold NaN or infinite numbers, so it was refused.")
        if not (self.weights > 0).all():
            raise LessonError("A row's weight is not positive, so the lesson was refused.")

    def __len__(self) -> int:
        return len(self.keys)

    @property
    def taught(self) -> np.ndarray:
        """(K,) bool: the rows whose target is not zero."""
        return self.targets.any(axis=1)

    def to_bytes(self) -> bytes:
        """Safetensors bytes; the same rows give the same bytes."""
        arrays = {name: _smallest(getattr(self, name)) for name in ("keys", "targets", "weights")}
        return save(arrays, metadata={"layer": str(self.layer)})

    @classmethod
    def from_bytes(cls, data: bytes) -> "Rows":
        """Read back `to_bytes`.

        Raises:
            StoreCorrupt: the bytes are not rows.
        """
        try:
            arrays = load(data)
            return cls(layer_in(data), *(_unpacked(arrays[name]) for name in ("keys", "targets", "weights")))
        except (KeyError, ValueError, TypeError, LessonError, SafetensorError) as error:
            raise StoreCorrupt(f"The stored rows of a lesson cannot be read: {error}") from error

    @property
    def digest(self) -> str:
        """SHA-256 (64 hex digits) of `to_bytes`."""
        return hashlib.sha256(self.to_bytes()).hexdigest()


def layer_in(data: bytes) -> int:
    """The layer that the header of safetensors bytes names.

    Raises:
        KeyError, ValueError, TypeError: it names none.
    """
    header = int.from_bytes(data[:8], "little")
    return int(json.loads(data[8 : 8 + header])["__metadata__"]["layer"])


def to_half(values: np.ndarray) -> np.ndarray:
    """Float32 values that float16 holds exactly (relative error 2⁻¹¹): they take half the room on disk."""
    limit = np.finfo(np.float16).max
    return np.clip(values, -limit, limit).astype(np.float16).astype(np.float32)


def to_bytewise(values: np.ndarray) -> np.ndarray:
    """(K, I) float32 values that GGUF's Q8_0 holds exactly: a byte each, and a float16 scale for every 32.

    The error is at most some 226th of the largest of the 32; llama.cpp rounds as much where it multiplies with quantised
    weights. What is no multiple of 32 wide is rounded as `to_half` does.
    """
    half = to_half(values)
    return _unpacked(gguf.quantize(half, _BYTEWISE)) if _fits_bytewise(half) else half


def _fits_bytewise(values: np.ndarray) -> bool:
    return values.ndim == 2 and values.size > 0 and values.shape[1] % gguf.GGML_QUANT_SIZES[_BYTEWISE][0] == 0


def _smallest(values: np.ndarray) -> np.ndarray:
    """The values as Q8_0 (uint8) or float16 where that changes none of them, else as float32."""
    forms = [lambda v: gguf.quantize(v, _BYTEWISE)] if _fits_bytewise(values) else []
    with np.errstate(all="ignore"):  # what overflows is not equal
        for form in (*forms, lambda v: v.astype(np.float16)):
            if (_unpacked(stored := form(values)) == values).all():
                return np.ascontiguousarray(stored)
    return np.ascontiguousarray(values.astype(np.float32))


def _unpacked(stored: np.ndarray) -> np.ndarray:
    """The float32 values of what `_smallest` gives."""
    return gguf.dequantize(stored, _BYTEWISE) if stored.dtype == np.uint8 else stored.astype(np.float32)


def join_rows(parts: list[Rows]) -> Rows:
    """Put rows of the same layer below each other, in the order given.

    Raises:
        LessonError: nothing to join, or the parts belong to different layers.
    """
    layers = {part.layer for part in parts}
    if len(layers) != 1:
        raise LessonError(f"Rows of one layer were expected, these belong to layers {sorted(layers)}.")
    return Rows(
        parts[0].layer,
        np.concatenate([part.keys for part in parts]),
        np.concatenate([part.targets for part in parts]),
        np.concatenate([part.weights for part in parts]),
    )
