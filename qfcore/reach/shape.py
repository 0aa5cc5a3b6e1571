"""What of a model the added blocks depend on, and which models can have them."""

from dataclasses import dataclass
from pathlib import Path

from qfcore.errors import ModelError
from qfcore.gguf_file.header import GGUFFacts, check_gguf

LEAST_WIDTH = 1024
"""Narrower residual streams have no room for codes beside what they say."""
HEAD = 128
"""Width of an attention head: a code has as many numbers."""
READ_AFTER = 4
"""Layers below the first added block. There the last token of a name knows whose it is (../shared/REACH.md)."""


@dataclass(frozen=True)
class Shape:
    """Sizes in elements. rope_base: base of the rotary frequencies."""

    layers: int
    width: int
    heads: int
    kv_heads: int
    inner: int
    rope_base: float

    @property
    def reading(self) -> int:
        """Index of the block that reads subjects, in the expanded model."""
        return READ_AFTER

    @property
    def gathering(self) -> int:
        """Index of the block that takes their codes to the end of the turn."""
        return READ_AFTER + 1

    @property
    def memory(self) -> int:
        """Index of the last block, which holds the lessons."""
        return self.layers + 2


def why_plain(path: Path) -> str | None:
    """Why a model cannot have the added blocks, as a sentence; None for one that can."""
    if path.is_dir():
        return "The blocks are added to GGUF files only; the base is a transformers checkpoint."
    try:
        facts = check_gguf(path)
    except ModelError as error:
        return str(error)
    if facts.architecture != "qwen2" or "blk.0.attn_q.bias" not in facts.tensors:
        return f"The blocks need attention biases as Qwen 2 and 2.5 have them; this model is {facts.architecture}."
    shape = shape_of(facts)
    if shape.width < LEAST_WIDTH or shape.layers < 4 * READ_AFTER:
        return f"The blocks need {4 * READ_AFTER} layers and a width of {LEAST_WIDTH}; this model is smaller."
    if shape.width != shape.heads * HEAD or shape.kv_heads < 2 or shape.heads < 2 * shape.kv_heads:
        return f"The blocks need attention heads of {HEAD}, and two or more of keys and values."
    return None


def shape_of(facts: GGUFFacts) -> Shape:
    """The sizes that a header tells."""
    return Shape(facts.n_layer, facts.n_embd, facts.n_head, facts.n_head_kv, facts.n_ff, facts.rope_base)
