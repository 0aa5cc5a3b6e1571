"""A GGUF file with added blocks: the base's tensors keep their bytes, its layers are renumbered."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

import gguf
import numpy as np

from qfcore.gguf_file.header import GGUFFacts
from qfcore.gguf_file.write import Output, Written, as_it_is, as_kind, write_model

Tensors = dict[str, np.ndarray]
"""A block's tensors by their names after `blk.N.`, float32."""
_KIND = gguf.GGMLQuantizationType
_LAYER = re.compile(r"blk\.(\d+)\.(.+)")


def write_expanded(
    base: Path, facts: GGUFFacts, blocks: Mapping[int, Tensors], out: Output, *,
    replaced: Mapping[str, Written] | None = None, metadata: Mapping[str, str] | None = None, own: str = "",
) -> None:  # fmt: skip
    """Write the base with blocks at their indices in the new model.

    replaced: tensors of the base to be written otherwise, by their names there. metadata, own: as in `write_model`. Block
    matrices are F16 (a quantised one would round its detectors away), those without content Q4_0, vectors F32.

    Raises:
        ExportError: the base became shorter while it was read. Cancelled: the output was told to stop.
    """
    count = facts.n_layer + len(blocks)
    kept = [index for index in range(count) if index not in blocks]
    tensors = []
    for name, place in facts.tensors.items():
        written = (replaced or {}).get(name) or as_it_is(name, place)
        if blocks and (layer := _LAYER.fullmatch(name)):
            name = f"blk.{kept[int(layer[1])]}.{layer[2]}"
        tensors.append(Written(name, written.shape, written.kind, written.data))
    for index, block in sorted(blocks.items()):
        tensors += [as_kind(f"blk.{index}.{name}", values, _kind_of(values)) for name, values in block.items()]
    numbers = {f"{facts.architecture}.block_count": count} if blocks else {}
    write_model(base, facts, tensors, out, metadata=metadata or {}, numbers=numbers, own=own)


def write_trial(base: Path, facts: GGUFFacts, blocks: Mapping[int, Tensors], file: BinaryIO, cancel: object = None) -> None:
    """The same, for a file that only this program reads."""
    write_expanded(base, facts, blocks, Output(file, lambda *_: None, cancel))


def _kind_of(values: np.ndarray) -> _KIND:
    if values.ndim == 1:
        return _KIND.F32
    return _KIND.F16 if values.any() or values.shape[1] % 32 else _KIND.Q4_0
