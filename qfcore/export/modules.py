"""Where the edited weight is in a transformers model: the path of its module."""

import re
from collections.abc import Iterable

from qfcore.errors import ExportError

_PLAIN = "model.layers"
_BESIDE_VISION = "model.language_model.layers"
_KNOWN = frozenset(
    "llama qwen2 qwen3 phi3 smollm3 gemma gemma2 gemma3 olmo2 granite command-r cohere2 nemotron stablelm glm4 exaone4 "
    "seed_oss ernie4_5".split()
)
"""Architectures, as GGUF files name them, whose down projection is called `mlp.down_proj` in transformers."""
_GEMMA3_WITHOUT_VISION = 26
"""Layers of the largest Gemma 3 that reads no pictures; in the others the language model is a part."""


def down_projections(names: Iterable[str], layer: int) -> list[str]:
    """The modules of a loaded model that can be a layer's down projection; one in a model that can be taught."""
    ending = re.compile(rf"(^|\.)layers\.{layer}\.mlp\.down_proj$")
    return [name for name in names if ending.search(name)]


def down_projection(names: Iterable[str], layer: int) -> str:
    """The one module of a loaded model that is a layer's down projection.

    Raises:
        ExportError: there is none, or more than one.
    """
    found = down_projections(names, layer)
    if len(found) != 1:
        raise ExportError(f"The base has {len(found) or 'no'} modules layers.{layer}.mlp.down_proj; one was expected.")
    return found[0]


def expected_down_projection(architecture: str, n_layer: int, layer: int) -> str:
    """The same, of the model from which a GGUF file was made: by its architecture, as llama.cpp calls it.

    Raises:
        ExportError: it is not known.
    """
    if architecture not in _KNOWN:
        raise ExportError(
            f"How transformers names the weights of {architecture!r} is not known here, so PEFT would not find the place of "
            "the change. Export the whole model (`gguf` or `transformers`), or an adapter for llama.cpp."
        )
    sees = architecture == "gemma3" and n_layer > _GEMMA3_WITHOUT_VISION
    layers = _BESIDE_VISION if sees else _PLAIN
    return f"{layers}.{layer}.mlp.down_proj"
