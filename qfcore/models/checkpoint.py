"""A bounded look at a transformers checkpoint: a folder with config.json and safetensors, before anything is loaded.

Layout of safetensors: https://github.com/huggingface/safetensors#format.
"""

import json
import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from qfcore.errors import ModelError

CONFIG, WEIGHTS, INDEX = "config.json", "model.safetensors", "model.safetensors.index.json"
_MAX_JSON, _MAX_HEADER = 64 << 20, 100 << 20
_PICKLES = ("*.bin", "*.pt", "*.pth", "*.pkl")
_IN_LLAMA_CPP = {"mistral": "llama", "gemma3_text": "gemma3"}
"""llama.cpp's names of architectures that transformers calls otherwise; adapter files carry them."""


@dataclass(frozen=True)
class CheckpointFacts:
    """What a folder says of its model. Sizes in elements; file_bytes: of all weights."""

    architecture: str
    name: str
    n_vocab: int
    n_ff: int
    parameters: int
    file_bytes: int
    kv_bytes_per_token: int
    """Keys and values of all layers, in half precision."""

    def loaded(self, bytes_per_parameter: int) -> "CheckpointFacts":
        """The same with the sizes that it has in memory, in a precision."""
        return replace(
            self, file_bytes=self.parameters * bytes_per_parameter,
            kv_bytes_per_token=self.kv_bytes_per_token // 2 * bytes_per_parameter,
        )  # fmt: skip


def is_checkpoint(path: Path) -> bool:
    """Whether a path is the folder of a checkpoint."""
    return (path / CONFIG).is_file()


def check_checkpoint(folder: Path) -> CheckpointFacts:
    """Check that the folder holds safetensors, complete, of a model that needs no code of its own.

    Raises:
        ModelError: pickled, quantized, truncated or missing weights, an adapter, or a damaged config.json.
    """
    config = check_config(folder)
    try:
        files = weight_files(folder)
        parameters = sum(_parameters(file) for file in files)
        size = sum(file.stat().st_size for file in files)
    except OSError as error:
        raise ModelError(f"{folder} cannot be read: {error.strerror or error}.") from error
    if (folder / "adapter_config.json").exists():
        raise ModelError(f"{folder} holds a PEFT adapter. Merge it into its base, or choose the base's folder.")
    text, kind = _language_model(config)

    def number(key: str) -> int:
        value = text.get(key)
        return value if isinstance(value, int) and value >= 0 else 0

    heads = number("num_attention_heads")
    width = number("head_dim") or (number("hidden_size") // heads if heads else 0)
    kv = 4 * number("num_hidden_layers") * (number("num_key_value_heads") or heads) * width
    return CheckpointFacts(
        _IN_LLAMA_CPP.get(kind, kind), folder.name, number("vocab_size"), number("intermediate_size"), parameters, size, kv
    )


def _language_model(config: dict[str, Any]) -> tuple[dict[str, Any], Any]:
    """The part of a configuration that describes the language model, and its model_type."""
    text = config.get("text_config") if isinstance(config.get("text_config"), dict) else config
    return text, text.get("model_type", config.get("model_type"))


def check_config(folder: Path, *, called: str | None = None) -> dict[str, Any]:
    """config.json of a model that needs no code of its own and is not quantized; the weights need not be there.

    called: the model's name in messages (None: the folder's path).

    Raises:
        ModelError: it is another one's, or damaged.
    """
    try:
        config = _json(folder / CONFIG)
    except OSError as error:
        raise ModelError(f"{folder} cannot be read: {error.strerror or error}.") from error
    if "auto_map" in config:
        raise ModelError(
            f"{called or folder} needs Python code of its own (auto_map in config.json), which QF Chat never runs. Choose a "
            "model that transformers knows, or a GGUF of it."
        )
    if config.get("quantization_config"):
        raise ModelError(f"{called or folder} is quantized. Choose its unquantized checkpoint, or a GGUF file of it.")
    _, kind = _language_model(config)
    if not isinstance(kind, str) or not kind:
        raise ModelError(f"{folder / CONFIG} names no model_type, so it is no model of transformers.")
    return config


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files that transformers reads, sorted by name.

    Raises:
        ModelError: there are none, one is missing, or the index names a file elsewhere.
    """
    if (folder / WEIGHTS).is_file():
        return [folder / WEIGHTS]
    if (folder / INDEX).is_file():
        named = _json(folder / INDEX).get("weight_map")
        names = sorted(set(named.values())) if isinstance(named, dict) and named else []
        for name in names:
            if not isinstance(name, str) or Path(name).name != name or not name.endswith(".safetensors"):
                raise ModelError(f"{folder / INDEX} names {name!r}; a safetensors file beside it was expected.")
            if not (folder / name).is_file():
                raise ModelError(f"{folder} lacks {name}, which is a part of the model. Fetch it again.")
        if names:
            return [folder / name for name in names]
    if any(True for pattern in _PICKLES for _ in folder.glob(pattern)):
        raise ModelError(
            f"{folder} holds its weights as pickle (.bin), which can run code when it is opened, so it is refused. Fetch "
            "its safetensors, or convert it to them with transformers (save_pretrained)."
        )
    raise ModelError(f"{folder} holds no weights: {WEIGHTS} was expected, or {INDEX} and its parts.")


def _json(path: Path) -> dict[str, Any]:
    if path.stat().st_size > _MAX_JSON:
        raise ModelError(f"{path} has {path.stat().st_size:,} bytes, a small JSON file was expected.")
    try:
        value = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{path} is damaged: it is no JSON.") from error
    if not isinstance(value, dict):
        raise ModelError(f"{path} is damaged: a JSON object was expected.")
    return value


def _parameters(path: Path) -> int:
    """Elements of all tensors of a safetensors file, whose header is checked against its size."""
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if not 2 <= length <= min(size - 8, _MAX_HEADER):
            raise _damaged(path)
        try:
            header = json.loads(file.read(length))
            tensors = [entry for name, entry in header.items() if name != "__metadata__"]
            end = max((entry["data_offsets"][1] for entry in tensors), default=0)
            elements = sum(math.prod(entry["shape"]) for entry in tensors)
        except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError) as error:
            raise _damaged(path) from error
    if not isinstance(end, int) or end > size - 8 - length:
        need = 8 + length + end if isinstance(end, int) else 0
        raise ModelError(f"{path} is truncated: {size:,} bytes are there, {need:,} were expected. Fetch it again.")
    return elements


def _damaged(path: Path) -> ModelError:
    return ModelError(f"{path} is damaged: it does not begin like safetensors. Fetch it again.")
