"""How large the base's own weights are, to tell a change that would drown them."""

import math
from pathlib import Path

import numpy as np

from qfcore.export.adapter import tensor_name
from qfcore.gguf_file.header import check_gguf
from qfcore.gguf_file.tensors import floats, map_tensor

_ROWS = 256


def down_norm(path: Path, layer: int) -> float | None:
    """Frobenius norm of a layer's down projection; None for a model that has no such tensor, or an unknown type of it.

    Raises:
        ModelError: the file cannot be read.
    """
    place = check_gguf(path).tensors.get(tensor_name(layer))
    if place is None:
        return None
    data, total = map_tensor(path, place), 0.0
    try:
        for start in range(0, len(data), _ROWS):  # a part at a time: the whole would be 55 MB in the default model
            total += float(np.square(floats(data[start : start + _ROWS], place.kind), dtype=np.float64).sum())
    except NotImplementedError:
        return None
    return math.sqrt(total)
