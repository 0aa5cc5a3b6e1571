"""A bounded look at a GGUF file's header, before llama.cpp (a parser in C++) sees the file.

Layout: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md. Everything read is checked against what is left of
the file, so a hostile count or length ends in an error, not in memory.
"""

import mmap
import struct
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, BinaryIO

import gguf

from qfcore.errors import ModelError

_MAX_KEYS, _MAX_TENSORS, _MAX_STRING, _MAX_KEY = 4096, 65_536, 16 << 20, 256
_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_STRING, _ARRAY = 8, 9
MAGIC = b"GGUF"
_ALIGNMENT, _DEFAULT_ALIGNMENT = "general.alignment", 32
_NO_TOKEN = 0xFFFFFFFF
_LENGTH = struct.Struct("<Q")
_INTEGERS, _LONGEST_LIST = "BbHhIiQq", 4096


@dataclass(frozen=True)
class _Skipped:
    """An array of the header that is not kept."""

    count: int


@dataclass(frozen=True)
class TensorPlace:
    """Where a tensor lies in its file: shape in elements (fastest first, as GGUF writes it), byte offset and length."""

    shape: tuple[int, ...]
    kind: int
    offset: int
    length: int


@dataclass(frozen=True)
class GGUFFacts:
    """What a header says of its model. Sizes in elements; 0 or empty where it says nothing."""

    architecture: str
    name: str
    n_layer: int
    n_embd: int
    n_ff: int
    context_length: int
    file_bytes: int
    has_template: bool
    rms_epsilon: float = 0.0
    n_vocab: int = 0
    kv_bytes_per_token: int = 0
    """Keys and values of all layers, in half precision; of an attention over a window, as if it had none."""
    tensors: dict[str, TensorPlace] = field(default_factory=dict, repr=False)
    """In the header's order."""
    keys: dict[str, tuple[int, int]] = field(default_factory=dict, repr=False)
    """Where each key lies with its value: byte offset and length."""
    alignment: int = _DEFAULT_ALIGNMENT
    """Every tensor begins at a multiple of this from the first."""
    n_head: int = 0
    n_head_kv: int = 0
    """Attention heads, and those of keys and values."""
    rope_base: float = 10_000.0
    """Base of the rotary frequencies."""


def check_gguf(path: Path) -> GGUFFacts:
    """Check magic, version, counts, lengths and that every tensor lies inside the file.

    Raises:
        ModelError: not a GGUF file, damaged, truncated, or of an unknown version.
    """
    try:
        if not path.is_file():
            raise ModelError(f"There is no model file {path}. Give the path of a GGUF file or a name from `qfchat models`.")
        with path.open("rb") as file:
            return _Header(file, path).check()
    except OSError as error:
        raise ModelError(f"The model file {path} cannot be read: {error.strerror or error}.") from error


class _Header:
    def __init__(self, file: BinaryIO, path: Path) -> None:
        self._file, self._path = file, path
        self._size = path.stat().st_size
        self._keys: dict[str, tuple[int, int]] = {}

    def check(self) -> GGUFFacts:
        if self._file.read(len(MAGIC)) != MAGIC:
            raise ModelError(f"{self._path} is not a GGUF file. llama.cpp's format was expected (a file ending in .gguf).")
        version, tensors, keys = self._unpack("IQQ")
        if version not in (2, 3):
            raise self._bad(f"it has GGUF version {version}, versions 2 and 3 are known")
        if keys > _MAX_KEYS or tensors > _MAX_TENSORS:
            raise self._bad(f"it claims {keys:,} keys and {tensors:,} tensors")
        meta: dict[str, Any] = {}
        for _ in range(keys):
            begin, key = self._file.tell(), self._string(_MAX_KEY)
            (kind,) = self._unpack("I")
            if key in meta:
                raise self._bad(f"it has the key {key[:60]!r} twice")
            meta[key] = self._value(kind)
            self._keys[key] = begin, self._file.tell() - begin
        self._check_vocabulary(meta)
        parts = meta.get("split.count", 0)
        if isinstance(parts, int) and parts > 1:
            raise ModelError(
                f"{self._path} is one of the {parts} files of a model. Join them with llama.cpp's tool "
                "(`llama-gguf-split --merge FIRST_FILE JOINED_FILE`) and give the joined file."
            )
        return self._facts(meta, self._check_tensors(tensors, meta))

    def _facts(self, meta: dict[str, Any], tensors: dict[str, TensorPlace]) -> GGUFFacts:
        architecture = str(meta.get("general.architecture", ""))
        if not architecture:
            raise self._bad("it names no architecture")
        if meta.get("general.type", "model") != "model":
            raise self._bad(f"it holds a {meta['general.type']}, a model was expected")

        def numbers(key: str) -> tuple[int, ...]:
            """A value for all layers, or one for each."""
            value = meta.get(f"{architecture}.{key}")
            return value if isinstance(value, tuple) else (value,) if isinstance(value, int) else ()

        def number(key: str) -> int:
            return max(numbers(key), default=0)

        layers = number("block_count")
        heads = numbers("attention.head_count_kv") or numbers("attention.head_count")
        of_keys = sum(heads) if len(heads) > 1 else layers * sum(heads)
        width = number("embedding_length") // max(number("attention.head_count"), 1)
        both = sum(number(f"attention.{part}_length") or width for part in ("key", "value"))
        embedding = tensors.get("token_embd.weight")
        return GGUFFacts(
            architecture, str(meta.get("general.name", self._path.stem)), layers,
            number("embedding_length"), number("feed_forward_length"), number("context_length"), self._size,
            "tokenizer.chat_template" in meta,
            float(meta.get(f"{architecture}.attention.layer_norm_rms_epsilon", 0.0)),
            embedding.shape[-1] if embedding else 0, 2 * of_keys * both, tensors, self._keys,
            meta.get(_ALIGNMENT, _DEFAULT_ALIGNMENT), number("attention.head_count"), max(heads, default=0),
            float(meta.get(f"{architecture}.rope.freq_base", 10_000.0)),
        )  # fmt: skip

    def _check_tensors(self, count: int, meta: dict[str, Any]) -> dict[str, TensorPlace]:
        found: dict[str, TensorPlace] = {}
        for _ in range(count):
            name = self._string(_MAX_KEY)
            (dims,) = self._unpack("I")
            if not 1 <= dims <= 4:
                raise self._bad(f"tensor {name!r} has {dims} dimensions")
            if name in found:
                raise self._bad(f"it has the tensor {name[:60]!r} twice")
            shape = self._unpack(f"{dims}Q")
            kind, offset = self._unpack("IQ")
            found[name] = TensorPlace(shape, kind, offset, self._tensor_bytes(name, shape, kind))
        self._check_apart(found)
        alignment = meta.get(_ALIGNMENT, _DEFAULT_ALIGNMENT)
        if not isinstance(alignment, int) or alignment <= 0 or alignment & (alignment - 1):
            raise self._bad(f"its alignment {alignment!r} is no power of two")
        start = -(-self._file.tell() // alignment) * alignment
        need = start + max((place.offset + place.length for place in found.values()), default=0)
        if need > self._size:
            raise self._bad(f"it is truncated: {self._size:,} bytes are there, {need:,} were expected")
        return {name: replace(place, offset=start + place.offset) for name, place in found.items()}

    def _check_apart(self, found: dict[str, TensorPlace]) -> None:
        """No two tensors share a byte."""
        places = sorted(found.items(), key=lambda item: item[1].offset)
        for (name, place), (after, next_place) in pairwise(places):
            if place.offset + place.length > next_place.offset:
                raise self._bad(f"its tensors {name[:60]!r} and {after[:60]!r} overlap")

    def _check_vocabulary(self, meta: dict[str, Any]) -> None:
        """Scores and types fit the tokens, and special tokens are among them: llama.cpp would read beyond them."""
        tokens = _length(meta.get("tokenizer.ggml.tokens"))
        if tokens is None:
            return
        for name in ("scores", "token_type"):
            count = _length(meta.get(f"tokenizer.ggml.{name}"))
            if count != tokens and f"tokenizer.ggml.{name}" in meta:
                raise self._bad(f"it has {tokens:,} tokens, but {count} of tokenizer.ggml.{name}")
        for key, value in meta.items():
            if not (key.startswith("tokenizer.ggml.") and key.endswith("_token_id")) or value == _NO_TOKEN:
                continue
            if type(value) is not int or not 0 <= value < tokens:
                raise self._bad(f"{key} is {str(value)[:20]}, but there are {tokens:,} tokens")

    def _tensor_bytes(self, name: str, shape: tuple[int, ...], kind: int) -> int:
        try:
            block, size = gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType(kind)]
        except (ValueError, KeyError):
            raise self._bad(f"tensor {name!r} has the unknown type {kind}") from None
        elements = 1
        for length in shape:
            elements *= length
        if not 0 < elements < 1 << 48 or shape[0] % block:
            raise self._bad(f"tensor {name!r} has the impossible shape {shape}")
        return elements // block * size

    def _value(self, kind: int) -> Any:
        if kind == _STRING:
            return self._string(_MAX_STRING)
        if kind == _ARRAY:
            return self._list()
        if kind not in _SCALARS:
            raise self._bad(f"it has a value of the unknown kind {kind}")
        return self._unpack(_SCALARS[kind])[0]

    def _list(self) -> "tuple[int, ...] | _Skipped":
        """A short list of whole numbers; all others are skipped."""
        kind, count = self._unpack("IQ")
        if kind == _STRING:
            self._skip_strings(count)
        elif kind in _SCALARS and _SCALARS[kind] in _INTEGERS and count <= _LONGEST_LIST:
            return self._unpack(f"{count}{_SCALARS[kind]}")
        elif kind in _SCALARS:
            self._skip(count * struct.calcsize("<" + _SCALARS[kind]))
        else:
            raise self._bad(f"it has an array of the unknown kind {kind}")
        return _Skipped(count)

    def _skip_strings(self, count: int) -> None:
        """Go past a list of texts, such as a vocabulary of 150,000 words: in memory, for each costs a start time."""
        self._need(count * 8)
        begin = self._file.tell()
        with mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_READ) as whole:
            position, last = begin, self._size - 8
            for _ in range(count):
                if position > last:
                    raise self._truncated()
                position += 8 + _LENGTH.unpack_from(whole, position)[0]
        self._file.seek(begin)
        self._skip(position - begin)

    def _string(self, limit: int) -> str:
        (length,) = self._unpack("Q")
        if length > limit:
            raise self._bad(f"it claims a text of {length:,} bytes")
        return self._read(length).decode("utf-8", "replace")

    def _unpack(self, form: str) -> tuple:
        return struct.unpack("<" + form, self._read(struct.calcsize("<" + form)))

    def _read(self, length: int) -> bytes:
        self._need(length)
        return self._file.read(length)

    def _skip(self, length: int) -> None:
        self._need(length)
        self._file.seek(length, 1)

    def _need(self, length: int) -> None:
        if length > self._size - self._file.tell():
            raise self._truncated()

    def _truncated(self) -> ModelError:
        return self._bad("it ends in the middle of its header (truncated)")

    def _bad(self, why: str) -> ModelError:
        return ModelError(f"The model file {self._path} cannot be used: {why}. Fetch it again or choose another file.")


def _length(array: Any) -> int | None:
    """Items of an array of the header; None for anything else."""
    if isinstance(array, _Skipped):
        return array.count
    return len(array) if isinstance(array, (list, tuple)) else None
