"""How large the base's own weights are, to tell a change that would drown them."""

import math
from pathlib import Path

import gguf
import numpy as np

from qfcore.export.adapter import tensor_name
from qfcore.models.gguf_check import check_gguf

_ROWS = 256


def down_norm(path: Path, layer: int) -> float | None:
    """Frobenius norm of a layer's down projection; None for a model that has no such tensor, or an unknown type of it.

    Raises:
        ModelError: the file cannot be read.
    """
    place = check_gguf(path).tensors.get(tensor_name(layer))
    if place is None:
        return None
    kind, rows = gguf.GGMLQuantizationType(place.kind), math.prod(place.shape[1:])
    data = np.memmap(path, dtype=np.uint8, mode="r", offset=place.offset, shape=(rows, place.length // rows))
    total = 0.0
    try:
        for start in range(0, rows, _ROWS):  # a part at a time: the whole would be 55 MB in the default model
            part = np.ascontiguousarray(data[start : start + _ROWS])
            plain = {gguf.GGMLQuantizationType.F32: np.float32, gguf.GGMLQuantizationType.F16: np.float16}
            values = gguf.dequantize(part.view(plain.get(kind, np.uint8)), kind)
            total += float(np.square(values, dtype=np.float64).sum())
    except NotImplementedError:
        return None
    return math.sqrt(total)
