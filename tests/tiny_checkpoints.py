"""The same random weights as a transformers checkpoint and as a GGUF file of float32, for comparing the two runtimes."""

from pathlib import Path

import gguf
import numpy as np

from tests.tiny_models import HEAD, HEADS, INNER, KV_HEADS, LAYERS, TEMPLATE, VOCABULARY, WIDTH

EPSILON = 1e-5
KINDS = ("llama", "qwen2", "qwen3", "gemma3")
"""Families whose weights both runtimes open, by llama.cpp's names."""
_MODEL_TYPES = {"gemma3": "gemma3_text"}
_GEMMA = {"tie_word_embeddings": True, "query_pre_attn_scalar": HEAD, "sliding_window": 512}
_VECTORS = {
    "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm", "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm",
}  # fmt: skip
_GEMMA_VECTORS = _VECTORS | {
    "post_attention_layernorm": "post_attention_norm", "pre_feedforward_layernorm": "ffn_norm",
    "post_feedforward_layernorm": "post_ffw_norm",
}  # fmt: skip
_MATRICES = {
    "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down",
}  # fmt: skip


def write_checkpoint(folder: Path, kind: str, *, template: str | None = TEMPLATE, seed: int = 0, **config: object) -> Path:
    """A checkpoint of a family that transformers (or llama.cpp: KINDS) knows by `kind`, with random weights and norms that
    are not one.
    """
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    if kind == "gemma3":
        config = _GEMMA | config
    made = AutoConfig.for_model(
        _MODEL_TYPES.get(kind, kind), vocab_size=VOCABULARY, hidden_size=WIDTH, intermediate_size=INNER,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS, num_key_value_heads=KV_HEADS, head_dim=HEAD, rms_norm_eps=EPSILON,
        max_position_embeddings=4096, bos_token_id=1, eos_token_id=2, pad_token_id=0,
        **{"tie_word_embeddings": False, **config},
    )  # fmt: skip
    model = AutoModelForCausalLM.from_config(made, dtype=torch.float32)
    chance = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.ndim == 2:
                weight.copy_(torch.randn(weight.shape, generator=chance) / weight.shape[1] ** 0.5)
            elif "norm" in name:
                weight.copy_(torch.rand(weight.shape, generator=chance) + (0.5 if "gemma" not in kind else -0.5))
            else:
                weight.copy_(torch.randn(weight.shape, generator=chance) * 0.1)
    model.save_pretrained(folder)
    _write_tokenizer(folder, template)
    return folder


def _write_tokenizer(folder: Path, template: str | None) -> None:
    """The vocabulary of tests/tiny_models.py: bytes, and a few words on top of them."""
    from tokenizers import Tokenizer, decoders, models, normalizers, processors
    from transformers import PreTrainedTokenizerFast

    tokens = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    tokens += [f"▁word{number}" for number in range(VOCABULARY - len(tokens))]
    made = Tokenizer(
        models.BPE({token: n for n, token in enumerate(tokens)}, [], unk_token="<unk>", byte_fallback=True, fuse_unk=True)
    )
    made.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    made.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    made.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    whole = PreTrainedTokenizerFast(tokenizer_object=made, bos_token="<s>", eos_token="</s>", unk_token="<unk>")
    whole.chat_template = template
    whole.save_pretrained(folder)


def as_gguf(folder: Path, path: Path, kind: str) -> Path:
    """The checkpoint's weights in float32, by llama.cpp's names."""
    from safetensors.numpy import load_file

    weights = load_file(folder / "model.safetensors")
    if kind == "gemma3":  # transformers stores g - 1
        weights = {name: value + 1 if "norm" in name else value for name, value in weights.items()}
    tensors = {"token_embd.weight": weights["model.embed_tokens.weight"], "output_norm.weight": weights["model.norm.weight"]}
    if "lm_head.weight" in weights:
        tensors["output.weight"] = weights["lm_head.weight"]
    vectors = _GEMMA_VECTORS if kind == "gemma3" else _VECTORS
    for layer in range(LAYERS):
        for theirs, ours in (vectors | _MATRICES).items():
            for part in ("weight", "bias"):
                value = weights.pop(f"model.layers.{layer}.{theirs}.{part}", None)
                if value is not None:
                    paired = kind == "llama" and ours in ("attn_q", "attn_k")
                    tensors[f"blk.{layer}.{ours}.{part}"] = _paired(value, ours) if paired else value
    assert not any("layers" in name for name in weights), f"{kind} has more weights: {sorted(weights)}"
    writer = gguf.GGUFWriter(path, kind)
    writer.add_name("A tiny model")
    writer.add_block_count(LAYERS)
    writer.add_context_length(4096)
    writer.add_embedding_length(WIDTH)
    writer.add_feed_forward_length(INNER)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_key_length(HEAD)
    writer.add_value_length(HEAD)
    if kind == "gemma3":
        writer.add_sliding_window(_GEMMA["sliding_window"])
    writer.add_rope_dimension_count(HEAD)
    writer.add_layer_norm_rms_eps(EPSILON)
    _describe_tokens(writer)
    writer.add_chat_template(TEMPLATE)
    for name, value in tensors.items():
        writer.add_tensor(name, np.ascontiguousarray(value, dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _paired(value: np.ndarray, name: str) -> np.ndarray:
    """llama.cpp turns neighbouring rows of a head together, transformers those of its two halves."""
    heads = HEADS if name == "attn_q" else KV_HEADS
    return value.reshape(heads, 2, HEAD // 2, *value.shape[1:]).swapaxes(1, 2).reshape(value.shape)


def _describe_tokens(writer: gguf.GGUFWriter) -> None:
    from tests import tiny_models

    tiny_models._describe_tokens(writer, ())
