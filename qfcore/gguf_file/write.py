"""Writing a GGUF file from a base: its keys and tensors keep their bytes, unless one is replaced, renamed or added.

The gguf package's reader takes 6 s for the header of a vocabulary of 150,000 words; copying its bytes takes none.
Layout: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md.
"""

import hashlib
import struct
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import gguf
import numpy as np

from qfcore.errors import Cancelled, ExportError
from qfcore.gguf_file.header import MAGIC, GGUFFacts, TensorPlace

_VERSION = 3
_BLOCK = 8 << 20


@dataclass(frozen=True)
class Written:
    """One tensor of the new file. shape: in elements, fastest first. data: as it is stored, or its place in the base."""

    name: str
    shape: tuple[int, ...]
    kind: int
    data: np.ndarray | TensorPlace

    @property
    def length(self) -> int:
        """In bytes."""
        return self.data.length if isinstance(self.data, TensorPlace) else self.data.nbytes


def as_it_is(name: str, place: TensorPlace) -> Written:
    """A tensor of the base, under this name."""
    return Written(name, place.shape, place.kind, place)


def as_kind(
    name: str, values: np.ndarray, kind: gguf.GGMLQuantizationType,
    quantize: Callable[[np.ndarray, gguf.GGMLQuantizationType], np.ndarray] = gguf.quantize,
) -> Written:  # fmt: skip
    """Float32 values, the last axis being the fastest, stored as `kind`."""
    stored = np.ascontiguousarray(quantize(np.ascontiguousarray(values, dtype=np.float32), kind))
    return Written(name, tuple(reversed(values.shape)), kind, stored)


def write_model(
    base: Path, facts: GGUFFacts, tensors: Sequence[Written], out: "Output", *, metadata: Mapping[str, str],
    numbers: Mapping[str, int] | None = None, own: str = "",
) -> None:  # fmt: skip
    """The header with the base's keys, then the tensors in the order given.

    metadata: texts that are added. numbers: keys that get another 32-bit number. own: beginning of the keys of an earlier
    export, which are left out.
    """
    numbers = numbers or {}
    kept = [name for name in facts.keys if not (own and name.startswith(own))]
    with base.open("rb") as source:
        out.write(MAGIC + struct.pack("<IQQ", _VERSION, len(tensors), len(kept) + len(metadata)))
        for name in kept:
            if name in numbers:
                out.write(_text(name) + struct.pack("<II", gguf.GGUFValueType.UINT32, numbers[name]))
            else:
                out.copy(source, *facts.keys[name])
        for key in sorted(metadata):
            out.write(_text(key) + struct.pack("<I", gguf.GGUFValueType.STRING) + _text(metadata[key]))
        offset = 0
        for tensor in tensors:
            shape = struct.pack(f"<I{len(tensor.shape)}Q", len(tensor.shape), *tensor.shape)
            out.write(_text(tensor.name) + shape + struct.pack("<IQ", tensor.kind, offset))
            offset += _aligned(tensor.length, facts.alignment)
        out.pad(facts.alignment)
        total, done = sum(tensor.length for tensor in tensors), 0
        for tensor in tensors:
            out.tell(done / total, f"Writing {tensor.name}")
            if isinstance(tensor.data, TensorPlace):
                out.copy(source, tensor.data.offset, tensor.data.length)
            else:
                out.write(np.ascontiguousarray(tensor.data).data)
            out.pad(facts.alignment)
            done += tensor.length


def _text(value: str) -> bytes:
    data = value.encode()
    return struct.pack("<Q", len(data)) + data


def _aligned(size: int, alignment: int) -> int:
    return -(-size // alignment) * alignment


class Output:
    """The file in progress: what is written is hashed on the way; it tells how far it is, and can be stopped."""

    def __init__(self, file: BinaryIO, tell: Callable[[float, str], None], cancel: threading.Event | None) -> None:
        self._file, self._tell, self._cancel = file, tell, cancel
        self._hash = hashlib.sha256()

    def write(self, data: bytes | memoryview) -> None:
        self._file.write(data)
        self._hash.update(data)

    def copy(self, source: BinaryIO, offset: int, length: int) -> None:
        source.seek(offset)
        while length:
            block = source.read(min(length, _BLOCK))
            if not block:
                raise ExportError(f"{source.name} became shorter while it was read. Nothing was written.")
            self.write(block)
            length -= len(block)

    def pad(self, alignment: int) -> None:
        at = self._file.tell()
        self.write(bytes(_aligned(at, alignment) - at))

    def tell(self, fraction: float, text: str) -> None:
        if self._cancel is not None and self._cancel.is_set():
            raise Cancelled("Stopped. No file was written.")
        self._tell(fraction, text)

    @property
    def sha256(self) -> str:
        return self._hash.hexdigest()
