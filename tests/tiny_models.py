"""Random-weight models of many architectures, a few hundred kilobytes each: enough for llama.cpp to open and compute."""

from collections.abc import Callable, Sequence
from pathlib import Path

import gguf
import numpy as np

from tests.conftest import write_gguf

LAYERS, WIDTH, INNER, HEADS, KV_HEADS, HEAD = 3, 64, 128, 4, 2, 16
CONVOLUTION, STATE = 4, 16
VOCABULARY = 320
TEMPLATE = (
    "{% for m in messages %}<s>{{ m.role }}: {{ m.content }}</s>{% endfor %}"
    "{% if add_generation_prompt %}<s>assistant: {% endif %}"
)

Tensors = dict[str, np.ndarray]


class _Weights:
    """Random matrices and unit norms, the same for the same seed."""

    def __init__(self, seed: int) -> None:
        self._random = np.random.default_rng(seed)

    def matrix(self, rows: int, columns: int) -> np.ndarray:
        return (self._random.normal(size=(rows, columns)) / np.sqrt(columns)).astype(np.float32)

    def norm(self, size: int) -> np.ndarray:
        return self._random.uniform(0.5, 1.5, size=size).astype(np.float32)

    def bias(self, size: int) -> np.ndarray:
        return self._random.normal(scale=0.1, size=size).astype(np.float32)


def _attention(w: _Weights, block: str) -> Tensors:
    return {
        f"{block}.attn_norm.weight": w.norm(WIDTH),
        f"{block}.attn_q.weight": w.matrix(HEADS * HEAD, WIDTH),
        f"{block}.attn_k.weight": w.matrix(KV_HEADS * HEAD, WIDTH),
        f"{block}.attn_v.weight": w.matrix(KV_HEADS * HEAD, WIDTH),
        f"{block}.attn_output.weight": w.matrix(WIDTH, HEADS * HEAD),
    }


def _feed_forward(w: _Weights, block: str) -> Tensors:
    return {
        f"{block}.ffn_norm.weight": w.norm(WIDTH),
        f"{block}.ffn_gate.weight": w.matrix(INNER, WIDTH),
        f"{block}.ffn_up.weight": w.matrix(INNER, WIDTH),
        f"{block}.ffn_down.weight": w.matrix(WIDTH, INNER),
    }


def _llama(w: _Weights, block: str) -> Tensors:
    return _attention(w, block) | _feed_forward(w, block)


def _qwen2(w: _Weights, block: str) -> Tensors:
    biases = {f"{block}.attn_q.bias": w.bias(HEADS * HEAD)}
    biases |= {f"{block}.attn_{name}.bias": w.bias(KV_HEADS * HEAD) for name in "kv"}
    return _llama(w, block) | biases


def _qwen3(w: _Weights, block: str) -> Tensors:
    return _llama(w, block) | {f"{block}.attn_{name}_norm.weight": w.norm(HEAD) for name in "qk"}


def _gemma3(w: _Weights, block: str) -> Tensors:
    posts = {f"{block}.{name}.weight": w.norm(WIDTH) for name in ("post_attention_norm", "post_ffw_norm")}
    return _qwen3(w, block) | posts


def _phi3(w: _Weights, block: str) -> Tensors:
    return {
        f"{block}.attn_norm.weight": w.norm(WIDTH),
        f"{block}.attn_qkv.weight": w.matrix((HEADS + 2 * KV_HEADS) * HEAD, WIDTH),
        f"{block}.attn_output.weight": w.matrix(WIDTH, HEADS * HEAD),
        f"{block}.ffn_norm.weight": w.norm(WIDTH),
        f"{block}.ffn_up.weight": w.matrix(2 * INNER, WIDTH),
        f"{block}.ffn_down.weight": w.matrix(WIDTH, INNER),
    }


def _experts(w: _Weights, block: str) -> Tensors:
    """A mixture of four experts: its down projection is not one matrix."""
    stacked = {
        f"{block}.ffn_gate_exps.weight": (INNER, WIDTH), f"{block}.ffn_up_exps.weight": (INNER, WIDTH),
        f"{block}.ffn_down_exps.weight": (WIDTH, INNER),
    }  # fmt: skip
    experts = {name: np.stack([w.matrix(*shape) for _ in range(4)]) for name, shape in stacked.items()}
    router = {f"{block}.ffn_norm.weight": w.norm(WIDTH), f"{block}.ffn_gate_inp.weight": w.matrix(4, WIDTH)}
    return _attention(w, block) | router | experts


def _mamba(w: _Weights, block: str) -> Tensors:
    """A state space instead of attention; no feed forward either."""
    inner, rank = 2 * WIDTH, 4
    return {
        f"{block}.attn_norm.weight": w.norm(WIDTH),
        f"{block}.ssm_in.weight": w.matrix(2 * inner, WIDTH),
        f"{block}.ssm_conv1d.weight": w.matrix(inner, CONVOLUTION),
        f"{block}.ssm_conv1d.bias": w.bias(inner),
        f"{block}.ssm_x.weight": w.matrix(rank + 2 * STATE, inner),
        f"{block}.ssm_dt.weight": w.matrix(inner, rank),
        f"{block}.ssm_dt.bias": w.bias(inner),
        f"{block}.ssm_a": -w.norm(inner * STATE).reshape(inner, STATE),
        f"{block}.ssm_d": w.norm(inner),
        f"{block}.ssm_out.weight": w.matrix(WIDTH, inner),
    }


BLOCKS: dict[str, Callable[[_Weights, str], Tensors]] = {
    "llama": _llama, "qwen2": _qwen2, "qwen3": _qwen3, "smollm3": _llama, "phi3": _phi3, "gemma3": _gemma3,
    "mixtral": _experts, "mamba": _mamba,
}  # fmt: skip
"""By name; Mistral's files say `llama`, and a mixture of experts does too."""


def write_tiny_model(
    path: Path, kind: str, *, template: str | None = TEMPLATE, seed: int = 0, controls: Sequence[str] = ()
) -> Path:
    """A model file of one of BLOCKS. controls: further control tokens."""
    w = _Weights(seed)
    tensors = {"token_embd.weight": w.matrix(VOCABULARY, WIDTH), "output_norm.weight": w.norm(WIDTH)}
    if kind != "gemma3":  # its output embedding is the input's
        tensors["output.weight"] = w.matrix(VOCABULARY, WIDTH)
    for layer in range(LAYERS):
        tensors |= BLOCKS[kind](w, f"blk.{layer}")

    def describe(writer: gguf.GGUFWriter) -> None:
        writer.add_name("A tiny model")  # llama.cpp looks for special tokens by the name "phi3"
        writer.add_block_count(LAYERS)
        writer.add_context_length(4096)
        writer.add_embedding_length(WIDTH)
        writer.add_feed_forward_length(INNER)
        writer.add_head_count(HEADS)
        writer.add_head_count_kv(KV_HEADS)
        writer.add_key_length(HEAD)
        writer.add_value_length(HEAD)
        writer.add_rope_dimension_count(HEAD)
        writer.add_layer_norm_rms_eps(1e-5)
        if kind == "gemma3":
            writer.add_sliding_window(512)
        if kind == "phi3":
            writer.add_rope_scaling_orig_ctx_len(4096)
            writer.add_sliding_window(0)
        if kind == "mixtral":
            writer.add_expert_count(4)
            writer.add_expert_used_count(2)
            writer.add_expert_feed_forward_length(INNER)
        if kind == "mamba":
            writer.add_ssm_conv_kernel(CONVOLUTION)
            writer.add_ssm_inner_size(2 * WIDTH)
            writer.add_ssm_state_size(STATE)
            writer.add_ssm_time_step_rank(4)
        _describe_tokens(writer, controls)
        if template:
            writer.add_chat_template(template)

    write_gguf(path, "llama" if kind == "mixtral" else kind, tensors, describe)
    return path


def _describe_tokens(writer: gguf.GGUFWriter, controls: Sequence[str]) -> None:
    """Bytes, and a few words on top of them."""
    tokens = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    tokens += [f"▁word{number}" for number in range(VOCABULARY - len(tokens) - len(controls))]
    kinds = [gguf.TokenType.UNKNOWN, gguf.TokenType.CONTROL, gguf.TokenType.CONTROL]
    kinds += [gguf.TokenType.BYTE] * 256
    kinds += [gguf.TokenType.NORMAL] * (VOCABULARY - len(kinds) - len(controls))
    tokens += controls
    kinds += [gguf.TokenType.CONTROL] * len(controls)
    writer.add_tokenizer_model("llama")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(tokens)
    writer.add_token_scores([0.0] * VOCABULARY)
    writer.add_token_types(kinds)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
