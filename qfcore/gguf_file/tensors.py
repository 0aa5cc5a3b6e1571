"""Single tensors of a GGUF file, mapped: only what is looked at is read."""

import math
from pathlib import Path

import gguf
import numpy as np

from qfcore.gguf_file.header import TensorPlace

_PLAIN = {gguf.GGMLQuantizationType.F32: np.float32, gguf.GGMLQuantizationType.F16: np.float16}


def map_tensor(path: Path, place: TensorPlace) -> np.ndarray:
    """(rows, width) of a tensor as it is stored: float32, float16, or the bytes of other types."""
    rows = math.prod(place.shape[1:])
    data = np.memmap(path, dtype=np.uint8, mode="r", offset=place.offset, shape=(rows, place.length // rows))
    return data.view(_PLAIN.get(gguf.GGMLQuantizationType(place.kind), np.uint8))


def floats(data: np.ndarray, kind: int) -> np.ndarray:
    """(rows, inputs) float32 values of rows of `map_tensor`.

    Raises:
        NotImplementedError: the gguf package cannot read this type.
    """
    return gguf.dequantize(np.ascontiguousarray(data), gguf.GGMLQuantizationType(kind)).astype(np.float32)
