"""A change of weights as a GGUF LoRA adapter, the form in which llama.cpp loads it in a millisecond."""

import re
from pathlib import Path

import gguf
import numpy as np

from qfcore.delta import Delta
from qfcore.errors import ExportError, StoreCorrupt
from qfcore.export.atomic import atomic_write

METADATA_PREFIX = "qfchat."


def tensor_name(layer: int) -> str:
    """Name of the edited weight in a GGUF file."""
    return f"blk.{layer}.ffn_down.weight"


def write_adapter(delta: Delta, path: Path, *, architecture: str, metadata: dict[str, str]) -> None:
    """Write b @ a as `lora_a` (R, I) and `lora_b` (O, R), float32; the same input gives the same bytes.

    llama.cpp scales an adapter by alpha / rank, so alpha is the rank and the scale 1.

    Raises:
        ExportError: the change is empty, or the file cannot be written.
    """
    if delta.rank == 0:
        raise ExportError("The base version has no lessons, so there is no adapter to write. Choose another version.")
    with atomic_write(path) as file:
        # gguf's writer truncates and fills the (empty) temporary file by its path; atomic_write then syncs and renames it.
        writer = gguf.GGUFWriter(Path(file.name), architecture)
        writer.add_type(gguf.GGUFType.ADAPTER)
        writer.add_string(gguf.Keys.Adapter.TYPE, "lora")
        writer.add_float32(gguf.Keys.Adapter.LORA_ALPHA, float(delta.rank))
        for key in sorted(metadata):
            writer.add_string(METADATA_PREFIX + key, metadata[key])
        name = tensor_name(delta.layer)
        writer.add_tensor(f"{name}.lora_a", np.ascontiguousarray(delta.a, dtype=np.float32))
        writer.add_tensor(f"{name}.lora_b", np.ascontiguousarray(delta.b, dtype=np.float32))
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()


def edited_layer(path: Path) -> int:
    """The lowest layer whose down projection an adapter edits; -1 for one that edits anything else.

    That layer's keys and values, and those below, do not depend on the adapter.

    Raises:
        StoreCorrupt: the file is no adapter.
    """
    try:
        names = {tensor.name for tensor in gguf.GGUFReader(path).tensors}
    except (OSError, ValueError, KeyError, IndexError) as error:
        raise StoreCorrupt(f"{path} is no adapter: {error}") from error
    found = [re.fullmatch(r"blk\.(\d+)\.ffn_down\.weight\.lora_[ab]", name) for name in names]
    return min(int(match[1]) if match else -1 for match in found) if found else -1


def read_adapter(path: Path) -> tuple[Delta, dict[str, str]]:
    """Read back what `write_adapter` wrote: the change and its metadata.

    Raises:
        StoreCorrupt: the file is no adapter of ours.
    """
    try:
        reader = gguf.GGUFReader(path)
        tensors = {t.name: t.data for t in reader.tensors}
        name = next(n for n in tensors if n.endswith(".lora_a")).removesuffix(".lora_a")
        a, b = tensors[f"{name}.lora_a"], tensors[f"{name}.lora_b"]
        fields = {k: str(f.contents()) for k, f in reader.fields.items() if k.startswith(METADATA_PREFIX)}
    except (OSError, ValueError, KeyError, StopIteration, IndexError) as error:
        raise StoreCorrupt(f"{path} is not an adapter that QF Chat wrote: {error}") from error
    layer = int(name.split(".")[1])
    metadata = {key.removeprefix(METADATA_PREFIX): value for key, value in fields.items()}
    return Delta(layer, np.array(a), np.array(b)), metadata
