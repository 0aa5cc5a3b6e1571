"""The whole model with a version's knowledge in its weights: every tensor copied, the edited one replaced."""

import hashlib
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import gguf
import numpy as np

from qfcore.delta import Delta
from qfcore.errors import Cancelled, ExportError
from qfcore.export.adapter import METADATA_PREFIX, tensor_name
from qfcore.export.atomic import atomic_write, check_target

TYPES = ("F32", "F16", "BF16", "Q8_0", "Q6_K", "Q5_K", "Q4_K")
"""Types that the edited tensor can have, beside `auto` and `keep`. What each keeps of the lessons: README, Exports."""
Quantize = Callable[[np.ndarray, gguf.GGMLQuantizationType], np.ndarray]
_BLOCK = 8 << 20
_RESERVE = 64 << 20
_ALIGNMENT = "general.alignment"
_GENERATED = ("GGUF.version", "GGUF.tensor_count", "GGUF.kv_count", "general.architecture", _ALIGNMENT)


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
    Other tensors keep their bytes. The base is mapped, never held in memory as a whole.

    Raises:
        ExportError: `out` is the base, exists, cannot be written, or there is no room.
        Cancelled: `cancel` was set; nothing was written.
    """
    check_target(out, base=base, overwrite=overwrite)
    _check_room(base, out)
    reader = gguf.GGUFReader(base)
    replaced: dict[str, tuple[np.ndarray, gguf.GGMLQuantizationType]] = {}
    if delta is not None:
        name = tensor_name(delta.layer)
        replaced[name] = _edited(reader, name, delta, tensor_type, quantize)
    digest = _Hashing(on_progress or (lambda *_: None), cancel)
    with atomic_write(out) as file:
        _write(reader, replaced, metadata, Path(file.name), digest)
    kind = next((kind.name for _, kind in replaced.values()), None)
    return {
        "path": str(out), "bytes": out.stat().st_size, "sha256": digest.of(out),
        "tensor": next(iter(replaced), None), "type": kind,
    }  # fmt: skip


def _check_room(base: Path, out: Path) -> None:
    free, need = shutil.disk_usage(out.parent).free, base.stat().st_size + _RESERVE
    if free < need:
        raise ExportError(
            f"The export needs {need / 1e9:.1f} GB in {out.parent}, {free / 1e9:.1f} GB are free. Choose another folder."
        )


def _edited(
    reader: gguf.GGUFReader, name: str, delta: Delta, tensor_type: str, quantize: Quantize
) -> tuple[np.ndarray, gguf.GGMLQuantizationType]:
    tensor = next((t for t in reader.tensors if t.name == name), None)
    if tensor is None:
        raise ExportError(f"The base has no tensor {name}, so this version does not belong to it.")
    weights = gguf.dequantize(tensor.data, tensor.tensor_type).astype(np.float32)
    if weights.shape != (delta.b.shape[0], delta.a.shape[1]):
        raise ExportError(
            f"{name} is {weights.shape}, the version's change {delta.b.shape[0], delta.a.shape[1]}: another base."
        )
    weights += delta.b @ delta.a
    chosen = tensor_type.upper()
    if chosen == "KEEP":
        kind = tensor.tensor_type
    elif chosen == "AUTO":
        kind = gguf.GGMLQuantizationType.Q8_0 if weights.shape[1] % 32 == 0 else gguf.GGMLQuantizationType.F16
    elif chosen in TYPES:
        kind = gguf.GGMLQuantizationType[chosen]
    else:
        raise ExportError(f"The type {tensor_type!r} is not offered; choose auto, keep, {', '.join(TYPES)}.")
    return quantize(weights, kind), kind


def _write(
    reader: gguf.GGUFReader, replaced: dict, metadata: dict[str, str], path: Path, digest: "_Hashing"
) -> None:
    architecture = reader.fields["general.architecture"].contents()
    writer = gguf.GGUFWriter(path, architecture)
    if _ALIGNMENT in reader.fields:  # as a plain key it would be written, but the tensors laid out for another one
        writer.add_custom_alignment(int(reader.fields[_ALIGNMENT].contents()))
    for key, field in reader.fields.items():
        if key in _GENERATED or key.startswith(METADATA_PREFIX):
            continue
        kind = field.types[0]
        sub = field.types[-1] if kind == gguf.GGUFValueType.ARRAY else None
        writer.add_key_value(key, field.contents(), kind, sub_type=sub)
    for key in sorted(metadata):
        writer.add_string(METADATA_PREFIX + key, metadata[key])
    for tensor in reader.tensors:
        data, kind = replaced.get(tensor.name, (tensor.data, tensor.tensor_type))
        writer.add_tensor_info(tensor.name, data.shape, data.dtype, data.nbytes, kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    done, total = 0, sum(t.n_bytes for t in reader.tensors)
    for tensor in reader.tensors:
        data, _ = replaced.get(tensor.name, (tensor.data, None))
        writer.write_tensor_data(data)
        done += tensor.n_bytes
        digest.step(0.8 * done / total, f"Writing {tensor.name}")
    writer.close()


class _Hashing:
    """Progress and cancelling of an export, and the SHA-256 of what was written."""

    def __init__(self, tell: Callable[[float, str], None], cancel: threading.Event | None) -> None:
        self._tell, self._cancel = tell, cancel

    def step(self, fraction: float, text: str) -> None:
        if self._cancel is not None and self._cancel.is_set():
            raise Cancelled("Stopped. No file was written.")
        self._tell(fraction, text)

    def of(self, path: Path) -> str:
        hasher, size, done = hashlib.sha256(), path.stat().st_size, 0
        file: BinaryIO
        with path.open("rb") as file:
            while block := file.read(_BLOCK):
                hasher.update(block)
                done += len(block)
                self._tell(0.8 + 0.2 * done / size, "Reading the file back")
        return hasher.hexdigest()
