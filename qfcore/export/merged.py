"""The whole model with a version's knowledge in its weights: every tensor copied, the edited one replaced."""

import hashlib
import shutil
import struct
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import BinaryIO

import gguf
import numpy as np

from qfcore.delta import Delta
from qfcore.errors import Cancelled, ExportError
from qfcore.export.adapter import METADATA_PREFIX, tensor_name
from qfcore.export.atomic import atomic_write, check_target
from qfcore.gguf_file.header import MAGIC, GGUFFacts, check_gguf
from qfcore.gguf_file.tensors import floats, map_tensor

TYPES = ("F32", "F16", "BF16", "Q8_0", "Q6_K", "Q5_K", "Q4_K")
"""Types that the edited tensor can have, beside `auto` and `keep`. What each keeps of the lessons: README, Exports."""
Quantize = Callable[[np.ndarray, gguf.GGMLQuantizationType], np.ndarray]
Replaced = dict[str, tuple[np.ndarray, gguf.GGMLQuantizationType]]
_VERSION = 3
_BLOCK = 8 << 20
_RESERVE = 64 << 20


def write_merged(
    base: Path,
    delta: Delta | None,
    out: Path,
    *,
    metadata: dict[str, str],
    tensor_type: str = "auto",
    quantize: Quantize = gguf.quantize,
    overwrite: bool = False,
    on_progress: Callable[[float, str], None] | None = None,
    cancel: threading.Event | None = None,
) -> dict:
    """Copy `base` to `out` with `blk.L.ffn_down.weight` replaced by its value + b @ a.

    tensor_type: type of the edited tensor; "auto" is Q8_0 (F16 where rows do not divide by 32), which keeps the lesson;
    "keep" is the base's own. quantize: the gguf package's cannot make K types.
    Other tensors and all other keys keep their bytes. Layout: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md.

    Raises:
        ExportError: `out` is the base, exists, cannot be written, or there is no room. ModelError: the base is damaged.
        Cancelled: `cancel` was set; nothing was written.
    """
    check_target(out, base=base, overwrite=overwrite)
    _check_room(base, out)
    facts = check_gguf(base)
    replaced: Replaced = {}
    if delta is not None:
        name = tensor_name(delta.layer)
        replaced[name] = _edited(base, facts, name, delta, tensor_type, quantize)
    with atomic_write(out) as file:
        output = _Output(file, on_progress or (lambda *_: None), cancel)
        _write(base, facts, replaced, metadata, output)
    kind = next((kind.name for _, kind in replaced.values()), None)
    return {
        "path": str(out), "bytes": out.stat().st_size, "sha256": output.sha256,
        "tensor": next(iter(replaced), None), "type": kind,
    }  # fmt: skip


def _check_room(base: Path, out: Path) -> None:
    free, need = shutil.disk_usage(out.parent).free, base.stat().st_size + _RESERVE
    if free < need:
        raise ExportError(
            f"The export needs {need / 1e9:.1f} GB in {out.parent}, {free / 1e9:.1f} GB are free. Choose another folder."
        )


def _edited(
    base: Path, facts: GGUFFacts, name: str, delta: Delta, tensor_type: str, quantize: Quantize
) -> tuple[np.ndarray, gguf.GGMLQuantizationType]:
    place = facts.tensors.get(name)
    if place is None:
        raise ExportError(f"The base has no tensor {name}, so this version does not belong to it.")
    weights = floats(map_tensor(base, place), place.kind)
    if weights.shape != (delta.b.shape[0], delta.a.shape[1]):
        raise ExportError(
            f"{name} is {weights.shape}, the version's change {delta.b.shape[0], delta.a.shape[1]}: another base."
        )
    weights += delta.b @ delta.a
    chosen = tensor_type.upper()
    if chosen == "KEEP":
        kind = gguf.GGMLQuantizationType(place.kind)
    elif chosen == "AUTO":
        kind = gguf.GGMLQuantizationType.Q8_0 if weights.shape[1] % 32 == 0 else gguf.GGMLQuantizationType.F16
    elif chosen in TYPES:
        kind = gguf.GGMLQuantizationType[chosen]
    else:
        raise ExportError(f"The type {tensor_type!r} is not offered; choose auto, keep, {', '.join(TYPES)}.")
    return quantize(weights, kind), kind


def _write(base: Path, facts: GGUFFacts, replaced: Replaced, metadata: Mapping[str, str], out: "_Output") -> None:
    """The header with its keys as they are, then the tensors, in the base's order.

    The gguf package's reader takes 6 s for the header of a vocabulary of 150,000 words; copying its bytes takes none.
    """
    kept = [name for name in facts.keys if not name.startswith(METADATA_PREFIX)]
    kinds = {name: replaced[name][1] if name in replaced else place.kind for name, place in facts.tensors.items()}
    sizes = {name: replaced[name][0].nbytes if name in replaced else p.length for name, p in facts.tensors.items()}
    with base.open("rb") as source:
        out.write(MAGIC + struct.pack("<IQQ", _VERSION, len(facts.tensors), len(kept) + len(metadata)))
        for name in kept:
            out.copy(source, *facts.keys[name])
        for key in sorted(metadata):
            out.write(_text(METADATA_PREFIX + key) + struct.pack("<I", gguf.GGUFValueType.STRING) + _text(metadata[key]))
        offset = 0
        for name, place in facts.tensors.items():
            shape = struct.pack(f"<I{len(place.shape)}Q", len(place.shape), *place.shape)
            out.write(_text(name) + shape + struct.pack("<IQ", kinds[name], offset))
            offset += _aligned(sizes[name], facts.alignment)
        out.pad(facts.alignment)
        total, done = sum(sizes.values()), 0
        for name, place in facts.tensors.items():
            out.tell(done / total, f"Writing {name}")
            if name in replaced:
                out.write(np.ascontiguousarray(replaced[name][0]).data)
            else:
                out.copy(source, place.offset, place.length)
            out.pad(facts.alignment)
            done += sizes[name]


def _text(value: str) -> bytes:
    data = value.encode()
    return struct.pack("<Q", len(data)) + data


def _aligned(size: int, alignment: int) -> int:
    return -(-size // alignment) * alignment


class _Output:
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
