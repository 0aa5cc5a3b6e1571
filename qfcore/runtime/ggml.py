"""libggml-base, the part of llama.cpp that llama-cpp-python does not wrap."""

import ctypes
from functools import cache
from pathlib import Path

import llama_cpp as lc
import numpy as np

from qfcore.errors import ModelError


@cache
def library() -> ctypes.CDLL:
    """The library, loaded once.

    Raises:
        ModelError: llama-cpp-python lacks it.
    """
    folder = Path(lc.__file__).parent / "lib"
    found = [path for ending in ("so", "dylib", "dll") for path in sorted(folder.glob(f"*ggml-base*.{ending}"))]
    if not found:
        raise ModelError(f"libggml-base was not found in {folder}. Reinstall llama-cpp-python.")
    return ctypes.CDLL(str(found[0]))


class Tensors:
    """Reads and writes tensors of a graph, by their addresses."""

    def __init__(self) -> None:
        base = library()
        self.name_address = base.ggml_get_name
        self.name_address.restype, self.name_address.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
        self._operation = base.ggml_op_desc
        self._operation.restype, self._operation.argtypes = ctypes.c_char_p, [ctypes.c_void_p]
        self._nbytes = base.ggml_nbytes
        self._nbytes.restype, self._nbytes.argtypes = ctypes.c_size_t, [ctypes.c_void_p]
        self._get, self._set = base.ggml_backend_tensor_get, base.ggml_backend_tensor_set
        for function in (self._get, self._set):
            function.restype = None
            function.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_size_t]

    def name(self, tensor: int) -> bytes:
        """What it is called."""
        return ctypes.string_at(self.name_address(tensor))

    def operation(self, tensor: int) -> str:
        """What computes it."""
        return self._operation(tensor).decode()

    def floats(self, tensor: int) -> np.ndarray:
        """Its float32 values, flat."""
        size = self._nbytes(tensor)
        data = np.empty(size // 4, dtype=np.float32)
        self._get(tensor, data.ctypes.data, 0, size)
        return data

    def put(self, tensor: int, values: np.ndarray) -> None:
        """Replace its float32 values by as many others."""
        data = np.ascontiguousarray(values, dtype=np.float32)
        self._set(tensor, data.ctypes.data, 0, data.nbytes)
