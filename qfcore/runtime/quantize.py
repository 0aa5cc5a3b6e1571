"""llama.cpp's own quantization of a matrix, for the types that the gguf package only reads."""

import ctypes

import gguf
import numpy as np

from qfcore.errors import ExportError
from qfcore.runtime.ggml import library

_FLOATS = (gguf.GGMLQuantizationType.F32, gguf.GGMLQuantizationType.F16, gguf.GGMLQuantizationType.BF16)


def quantize_rows(weights: np.ndarray, kind: gguf.GGMLQuantizationType) -> np.ndarray:
    """A (rows, columns) float32 matrix in any type: as floats, or as (rows, bytes per row) uint8.

    Raises:
        ExportError: the type's blocks do not divide the columns, or it needs an importance matrix.
    """
    if kind in _FLOATS:
        return gguf.quantize(weights, kind)
    rows, columns = weights.shape
    block, size = gguf.GGML_QUANT_SIZES[kind]
    if columns % block:
        raise ExportError(f"{kind.name} has blocks of {block}, which do not fit {columns:,} columns. Choose another type.")
    base = library()
    base.ggml_quantize_requires_imatrix.restype = ctypes.c_bool
    base.ggml_quantize_requires_imatrix.argtypes = [ctypes.c_int]
    if base.ggml_quantize_requires_imatrix(int(kind)):
        raise ExportError(f"{kind.name} needs an importance matrix, which there is none of. Choose another type.")
    quantize = base.ggml_quantize_chunk
    quantize.restype = ctypes.c_size_t
    quantize.argtypes = [
        ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64, ctypes.c_int64, ctypes.c_void_p,
    ]  # fmt: skip
    source = np.ascontiguousarray(weights, dtype=np.float32)
    out = np.empty((rows, columns // block * size), dtype=np.uint8)
    written = quantize(int(kind), source.ctypes.data, out.ctypes.data, 0, rows, columns, None)
    if written != out.nbytes:
        raise ExportError(f"llama.cpp wrote {written:,} bytes of {kind.name}, {out.nbytes:,} were expected.")
    return out
