"""The whole model with a version's knowledge in its weights: every tensor copied, the edited one replaced."""

import shutil
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

import gguf
import numpy as np

from qfcore.delta import Delta
from qfcore.errors import ExportError
from qfcore.export.adapter import METADATA_PREFIX, tensor_name
from qfcore.export.atomic import atomic_write, check_target
from qfcore.gguf_file.expand import Tensors, write_expanded
from qfcore.gguf_file.header import GGUFFacts, check_gguf
from qfcore.gguf_file.tensors import floats, map_tensor
from qfcore.gguf_file.write import Output, Written, as_kind

TYPES = ("F32", "F16", "BF16", "Q8_0", "Q6_K", "Q5_K", "Q4_K")
"""Types that the edited tensor can have, beside `auto` and `keep`. What each keeps of the lessons: README, Exports."""
Quantize = Callable[[np.ndarray, gguf.GGMLQuantizationType], np.ndarray]
_RESERVE = 64 << 20


def write_merged(
    base: Path,
    delta: Delta | None,
    out: Path,
    *,
    metadata: dict[str, str],
    tensor_type: str = "auto",
    quantize: Quantize = gguf.quantize,
    blocks: Mapping[int, Tensors] | None = None,
    overwrite: bool = False,
    on_progress: Callable[[float, str], None] | None = None,
    cancel: threading.Event | None = None,
) -> dict:
    """Copy `base` to `out` with `blk.L.ffn_down.weight` replaced by its value + b @ a.

    tensor_type: type of the edited tensor; "auto" is Q8_0 (F16 where rows do not divide by 32), which keeps the lesson;
    "keep" is the base's own. quantize: the gguf package's cannot make K types. blocks: what is added, by the indices in the
    new model.
    Other tensors and all other keys keep their bytes. Layout: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md.

    Raises:
        ExportError: `out` is the base, exists, cannot be written, or there is no room. ModelError: the base is damaged.
        Cancelled: `cancel` was set; nothing was written.
    """
    check_target(out, base=base, overwrite=overwrite)
    _check_room(base, out, sum(2 * values.size for block in (blocks or {}).values() for values in block.values()))
    facts = check_gguf(base)
    edited: Written | None = None
    if delta is not None:
        edited = _edited(base, facts, tensor_name(delta.layer), delta, tensor_type, quantize)
    with atomic_write(out) as file:
        output = Output(file, on_progress or (lambda *_: None), cancel)
        named = {METADATA_PREFIX + key: value for key, value in metadata.items()}
        replaced = {edited.name: edited} if edited else {}
        write_expanded(base, facts, blocks or {}, output, replaced=replaced, metadata=named, own=METADATA_PREFIX)
    return {
        "path": str(out), "bytes": out.stat().st_size, "sha256": output.sha256,
        "tensor": edited and edited.name, "type": edited and gguf.GGMLQuantizationType(edited.kind).name,
    }  # fmt: skip


def _check_room(base: Path, out: Path, more: int) -> None:
    free, need = shutil.disk_usage(out.parent).free, base.stat().st_size + more + _RESERVE
    if free < need:
        raise ExportError(
            f"The export needs {need / 1e9:.1f} GB in {out.parent}, {free / 1e9:.1f} GB are free. Choose another folder."
        )


def _edited(
    base: Path, facts: GGUFFacts, name: str, delta: Delta, tensor_type: str, quantize: Quantize
) -> Written:
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
    return as_kind(name, weights, kind, quantize)
