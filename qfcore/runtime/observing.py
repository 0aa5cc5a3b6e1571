"""Watching one layer while llama.cpp computes: its key (the down projection's input) and its output.

llama.cpp calls `cb_eval` for every tensor of the graph; the two wanted ones are copied out (DESIGN.md section 3, fact 1).
The last layer computes only the rows whose logits are asked for, so logits are asked for at the wanted positions and
rows are matched by counting.
"""

import ctypes
from collections.abc import Sequence

import llama_cpp as lc
import numpy as np

from qfcore.errors import ModelError
from qfcore.runtime.ggml import library
from qfcore.runtime.handles import Context, LlamaModel
from qfcore.runtime.protocol import Observed

KEY_NAMES = ("ffn_swiglu", "ffn_geglu", "ffn_reglu", "ffn_gate_par")
RESIDUAL_NAME = "l_out"


class _Ggml:
    """The three functions of libggml-base that read a tensor."""

    def __init__(self) -> None:
        base = library()
        self.name = base.ggml_get_name
        self.name.restype, self.name.argtypes = ctypes.c_char_p, [ctypes.c_void_p]
        self.nbytes = base.ggml_nbytes
        self.nbytes.restype, self.nbytes.argtypes = ctypes.c_size_t, [ctypes.c_void_p]
        self.get = base.ggml_backend_tensor_get
        self.get.restype = None
        self.get.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_size_t]


class LayerWatch:
    """The callback of an observing context; collects the float32 tensors of one layer while a layer is set."""

    def __init__(self) -> None:
        self._ggml = _Ggml()
        self._wanted: dict[bytes, str] = {}
        self._seen: dict[str, np.ndarray] = {}
        self.callback = lc.ggml_backend_sched_eval_callback(self._on_tensor)

    def watch(self, layer: int | None) -> None:
        """Collect layer `layer` from now on; None collects nothing."""
        self._wanted = {}
        if layer is not None:
            self._wanted = {f"{name}-{layer}".encode(): "keys" for name in KEY_NAMES}
            self._wanted[f"{RESIDUAL_NAME}-{layer}".encode()] = "residuals"

    def take(self, kind: str, rows: int) -> np.ndarray:
        """(rows, width) float32 of the last batch.

        Raises:
            ModelError: the model's graph has no such tensor.
        """
        data = self._seen.pop(kind, None)
        if data is None or data.size % rows:
            raise ModelError(
                f"This model's graph shows no {kind} at the layer to be taught, so it can chat but not learn. "
                "Choose a model of the Qwen2, Llama or Mistral family."
            )
        return data.reshape(rows, -1)

    def rows(self, kind: str, wanted: Sequence[bool], *, only_wanted: bool) -> np.ndarray:
        """(number wanted, width) float32 rows of the last batch.

        only_wanted: the layer is the last one, which computes nothing but the wanted rows.
        """
        if only_wanted:
            return self.take(kind, sum(wanted))
        return self.take(kind, len(wanted))[np.asarray(wanted)]

    def _on_tensor(self, tensor: int, ask: bool, _data: object) -> bool:
        if not self._wanted:
            return not ask
        kind = self._wanted.get(self._ggml.name(tensor))
        if kind is None:
            return not ask
        if not ask:
            size = self._ggml.nbytes(tensor)
            data = np.empty(size // 4, dtype=np.float32)
            self._ggml.get(tensor, data.ctypes.data, 0, size)
            self._seen[kind] = data
        return True


def observe_scripts(
    context: Context, watch: LayerWatch, prompts: Sequence[list[int]], answers: Sequence[Sequence[int]], layer: int
) -> list[Observed]:
    """Teacher-forced passes; each script is computed alone, so what it shows depends on nothing else."""
    watch.watch(layer)
    try:
        return [_observe_one(context, watch, p, list(a), layer) for p, a in zip(prompts, answers, strict=True)]
    finally:
        watch.watch(None)


def _observe_one(context: Context, watch: LayerWatch, prompt: list[int], answer: list[int], layer: int) -> Observed:
    tokens = prompt + answer[:-1]  # the last answer token is predicted, never read
    first = len(prompt) - 1
    if len(tokens) + 1 > context.size:
        raise ModelError(
            f"The lesson and its answer have {len(tokens):,} tokens, the observing context holds {context.size:,}. "
            "Shorten the lesson."
        )
    context.clear()
    last = layer == context.model.n_layer - 1
    keys, residuals, logits = [], [], []
    for begin in range(0, len(tokens), context.batch):
        part = tokens[begin : begin + context.batch]
        wanted = [begin + i >= first for i in range(len(part))]
        context.decode(part, range(begin, begin + len(part)), [(0,)] * len(part), wanted)
        if not any(wanted):
            continue
        keys.append(watch.rows("keys", wanted, only_wanted=last))
        residuals.append(watch.rows("residuals", wanted, only_wanted=last))
        logits += [context.logits(i) for i, want in enumerate(wanted) if want]
    return Observed(np.concatenate(keys), np.concatenate(residuals), np.stack(logits))


def text_likelihood(context: Context, model: LlamaModel, tokens: Sequence[int]) -> tuple[float, int]:
    """(sum of negative log-likelihoods in nats, predicted tokens) of a text read alone."""
    tokens = list(tokens)[: min(context.size, context.batch)]
    if len(tokens) < 2:
        return 0.0, 0
    context.clear()
    context.decode(tokens, range(len(tokens)), [(0,)] * len(tokens), [True] * len(tokens))
    total = 0.0
    for position, following in enumerate(tokens[1:]):
        row = context.logits(position).astype(np.float64)
        peak = row.max()
        total += peak + float(np.log(np.exp(row - peak).sum())) - row[following]
    return total, len(tokens) - 1
