"""Owning wrappers over llama.cpp's C handles: a model, its adapters, a context. Only this folder knows llama_cpp."""

import ctypes
import logging
import os
import sys
from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path

import llama_cpp as lc
import numpy as np

from qfcore.errors import ModelError, RuntimeFailure
from qfcore.export.adapter import edited_layer

log = logging.getLogger(__name__)
_ADAPTERS_KEPT = 8


@lc.llama_log_callback
def _log_to_logging(level: int, text: bytes, _data: ctypes.c_void_p) -> None:
    log.debug("llama.cpp: %s", text.decode("utf-8", "replace").rstrip())


def usable_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class LlamaModel:
    """A loaded GGUF model and the LoRA adapters loaded for it.

    Raises:
        ModelError: llama.cpp refused the file.
    """

    def __init__(self, path: Path, on_progress: Callable[[float, str], None] | None = None) -> None:
        lc.llama_log_set(_log_to_logging, None)
        lc.llama_backend_init()
        params = lc.llama_model_default_params()

        @lc.llama_progress_callback
        def progress(fraction: float, _data: ctypes.c_void_p) -> bool:
            if on_progress:
                on_progress(fraction, "Loading the model")
            return True

        params.progress_callback = progress
        params.use_extra_bufts = False
        self.handle = lc.llama_model_load_from_file(str(path).encode(), params)
        if not self.handle:
            raise ModelError(
                f"llama.cpp cannot open {path}. A complete GGUF file of a known architecture was expected; "
                "fetch the file again or choose another model."
            )
        self.path = path
        self.vocab = lc.llama_model_get_vocab(self.handle)
        self.n_layer = lc.llama_model_n_layer(self.handle)
        self.n_embd = lc.llama_model_n_embd(self.handle)
        self.n_vocab = lc.llama_vocab_n_tokens(self.vocab)
        self.bos, self.eos = lc.llama_vocab_bos(self.vocab), lc.llama_vocab_eos(self.vocab)
        self.only_forward = lc.llama_model_is_recurrent(self.handle) or lc.llama_model_is_hybrid(self.handle)
        self.adapters = Adapters(self.handle)

    def meta(self, key: str) -> str:
        """A metadata value as text, empty when absent."""
        buffer = ctypes.create_string_buffer(1 << 16)
        length = lc.llama_model_meta_val_str(self.handle, key.encode(), buffer, len(buffer))
        return buffer.value.decode("utf-8", "replace") if length >= 0 else ""

    def chat_template(self) -> str | None:
        """The template stored in the file, or None."""
        text = lc.llama_model_chat_template(self.handle, None)
        return text.decode("utf-8", "replace") if text else None

    def tokenize(self, text: str, *, add_special: bool, parse_special: bool) -> list[int]:
        """Token ids. With parse_special, the text of a control token becomes that token."""
        data = text.encode("utf-8")
        count, room = -(len(data) + 8), 0
        while count < 0 and -count > room:  # a negative count says how much room is needed
            room = -count
            buffer = (lc.llama_token * room)()
            count = lc.llama_tokenize(self.vocab, data, len(data), buffer, room, add_special, parse_special)
        if count < 0:
            raise RuntimeFailure("The text could not be split into tokens.")
        return list(buffer[:count])

    def piece(self, token: int, *, special: bool = False) -> bytes:
        """Bytes of one token (a character may span several tokens)."""
        buffer = ctypes.create_string_buffer(256)
        length = lc.llama_token_to_piece(self.vocab, token, buffer, len(buffer), 0, special)
        return buffer.raw[: max(length, 0)]

    def added_begin(self) -> str:
        """Text of the token that the tokenizer puts before every text; empty when it puts none."""
        token = lc.llama_vocab_bos(self.vocab) if lc.llama_vocab_get_add_bos(self.vocab) else -1
        return self.piece(token, special=True).decode("utf-8", "replace") if token >= 0 else ""

    def is_end(self, token: int) -> bool:
        """Whether the token ends a turn."""
        return bool(lc.llama_vocab_is_eog(self.vocab, token))

    def ends(self) -> list[int]:
        """Tokens that end a turn, the one that llama.cpp takes for it first."""
        likely = (lc.llama_vocab_eot(self.vocab), self.eos)
        # Of gpt-oss it takes <|end|>, which ends a message and no turn.
        return list(dict.fromkeys(t for t in (*likely, *self._controls) if t >= 0 and self.is_end(t)))

    @cached_property
    def _controls(self) -> list[int]:
        return [token for token in range(self.n_vocab) if lc.llama_vocab_is_control(self.vocab, token)]

    def control_tokens(self) -> list[int]:
        """Ids of all control tokens."""
        return self._controls

    def special_texts(self) -> list[str]:
        """Texts of all control tokens."""
        return self._specials

    @cached_property
    def _specials(self) -> list[str]:
        texts = (self.piece(token, special=True).decode("utf-8", "replace") for token in self._controls)
        return [text for text in texts if len(text) > 1]

    def close(self) -> None:
        """Free the weights."""
        if self.handle:
            self.adapters.close()
            lc.llama_model_free(self.handle)
            self.handle = None


class Adapters:
    """Loaded LoRA adapters by path; a few are kept, the least recently used is freed."""

    def __init__(self, model: int) -> None:
        self._model = model
        self._loaded: OrderedDict[Path, int] = OrderedDict()
        self._layers: dict[Path, int] = {}

    def load(self, path: Path, in_use: set[Path]) -> int:
        """Handle of the adapter in `path`.

        Raises:
            RuntimeFailure: llama.cpp refused the file.
        """
        if path not in self._loaded:
            handle = lc.llama_adapter_lora_init(self._model, str(path).encode())
            if not handle:
                raise RuntimeFailure(f"The adapter {path} does not fit the model. Run `qfchat verify`.")
            self._loaded[path] = handle
            self._layers[path] = edited_layer(path)
        self._loaded.move_to_end(path)
        for old in [p for p in self._loaded if p != path and p not in in_use][: -_ADAPTERS_KEPT or None]:
            lc.llama_adapter_lora_free(self._loaded.pop(old))
            del self._layers[old]
        return self._loaded[path]

    def layer(self, path: Path) -> int:
        """The layer that a loaded adapter edits; keys and values of the layers above depend on it. -1: all may."""
        return self._layers[path]

    def close(self) -> None:
        """Forget all; llama.cpp frees them with the model."""
        self._loaded.clear()
        self._layers.clear()


class Context:
    """One llama.cpp context: a KV cache, a batch, and the adapter it answers with."""

    def __init__(
        self, model: LlamaModel, *, size: int, batch: int, sequences: int = 1, eval_callback: object = None
    ) -> None:
        params = lc.llama_context_default_params()
        params.n_ctx, params.n_batch, params.n_ubatch = size, batch, batch
        params.n_seq_max, params.kv_unified = sequences, True
        params.n_threads = params.n_threads_batch = usable_cores()
        params.no_perf = True
        # strlen("") is 0 and strlen("x") is 1, so it serves as llama.cpp's "shall I abort?" without entering Python
        # (a Python callback would wait for the interpreter's lock at each of the graph's thousand nodes).
        self._abort_flag = ctypes.create_string_buffer(2)
        libc = ctypes.CDLL("msvcrt") if sys.platform == "win32" else ctypes.CDLL(None)
        params.abort_callback = ctypes.cast(libc.strlen, lc.ggml_abort_callback)
        params.abort_callback_data = ctypes.cast(self._abort_flag, ctypes.c_void_p)
        if eval_callback is not None:
            params.cb_eval = eval_callback
        self.handle = lc.llama_init_from_model(model.handle, params)
        if not self.handle:
            raise RuntimeFailure(f"A context of {size:,} tokens could not be created. Free some memory and try again.")
        self.model, self.size, self.batch, self.sequences = model, size, batch, sequences
        self.memory = lc.llama_get_memory(self.handle)
        self.adapter: Path | None = None
        self._batch = lc.llama_batch_init(batch, 0, sequences)

    def use_adapter(self, path: Path | None, in_use: set[Path]) -> bool:
        """Answer with this adapter from now on; whether the keys and values in the cache are still those of the weights.

        They are when neither the adapter before nor this one edits anything below the last layer's down projection.
        """
        if path == self.adapter:
            return True
        if path is None:
            code = lc.llama_set_adapters_lora(self.handle, None, 0, None)
        else:
            handle = self.model.adapters.load(path, in_use)
            code = lc.llama_set_adapters_lora(
                self.handle, (lc.llama_adapter_lora_p_ctypes * 1)(handle), 1, (ctypes.c_float * 1)(1.0)
            )
        if code != 0:
            raise RuntimeFailure(f"llama.cpp refused the adapter {path} (code {code}).")
        had, self.adapter = self.has_base_cache, path
        return had and self.has_base_cache

    @property
    def has_base_cache(self) -> bool:
        """Whether keys and values are the untaught model's: those of all layers come from below the last down projection."""
        return self.adapter is None or self.model.adapters.layer(self.adapter) == self.model.n_layer - 1

    def decode(
        self, tokens: Sequence[int], positions: Sequence[int], sequences: Sequence[Sequence[int]], wanted: Sequence[bool]
    ) -> bool:
        """Compute one batch; False when it was aborted.

        Raises:
            RuntimeFailure: llama.cpp failed, or the context is full.
        """
        batch = self._batch
        batch.n_tokens = len(tokens)
        for i, token in enumerate(tokens):
            batch.token[i], batch.pos[i], batch.logits[i] = token, positions[i], wanted[i]
            batch.n_seq_id[i] = len(sequences[i])
            for j, sequence in enumerate(sequences[i]):
                batch.seq_id[i][j] = sequence
        code = lc.llama_decode(self.handle, batch)
        if code == 2:
            return False
        if code != 0:
            reason = "the context is full" if code == 1 else f"code {code}"
            raise RuntimeFailure(f"The model could not compute {len(tokens)} tokens: {reason}.")
        return True

    def logits(self, index: int) -> np.ndarray:
        """(V,) float32 logits at index `index` of the last batch (a copy)."""
        pointer = lc.llama_get_logits_ith(self.handle, index)
        return np.ctypeslib.as_array(pointer, shape=(self.model.n_vocab,)).copy()

    def keep(self, length: int) -> int:
        """Forget the tokens of sequence 0 from position `length` on; how many are still there.

        A recurrent model (Mamba, and its hybrids) has one state and no way back: all is forgotten.
        """
        if length and not self.model.only_forward and lc.llama_memory_seq_rm(self.memory, 0, length, -1):
            return length
        self.clear()
        return 0

    def drop(self, sequence: int) -> None:
        """Forget a sequence."""
        lc.llama_memory_seq_rm(self.memory, sequence, -1, -1)

    def take(self, sequence: int) -> bytes:
        """Keys and values of a sequence, to be put back.

        Raises:
            RuntimeFailure: llama.cpp did not give them.
        """
        size = lc.llama_state_seq_get_size(self.handle, sequence)
        buffer = (ctypes.c_uint8 * size)()
        if lc.llama_state_seq_get_data(self.handle, buffer, size, sequence) != size:
            raise RuntimeFailure("llama.cpp did not give the state of a sequence.")
        return bytes(buffer)

    def put(self, sequence: int, state: bytes) -> None:
        """Give an empty sequence the keys and values that `take` returned.

        Raises:
            RuntimeFailure: llama.cpp did not take them.
        """
        buffer = (ctypes.c_uint8 * len(state)).from_buffer_copy(state)
        if not lc.llama_state_seq_set_data(self.handle, buffer, len(state), sequence):
            raise RuntimeFailure("llama.cpp did not take the state of a sequence; the context may be full.")

    def clear(self) -> None:
        """Forget everything."""
        lc.llama_memory_clear(self.memory, False)

    def abort(self, on: bool) -> None:
        """Ask a running decode to end (from any thread), or take that back."""
        self._abort_flag[0] = b"x" if on else b"\0"

    def close(self) -> None:
        """Free the context."""
        if self.handle:
            lc.llama_batch_free(self._batch)
            lc.llama_free(self.handle)
            self.handle = None
