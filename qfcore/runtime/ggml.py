"""libggml-base, the part of llama.cpp that llama-cpp-python does not wrap."""

import ctypes
from functools import cache
from pathlib import Path

import llama_cpp as lc

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
