"""Where a model's layer can be taught: found in the graph that llama.cpp computes, whatever the architecture is called.

A layer can be taught when its down projection is one matrix W whose product with the key u reaches the residual stream by
additions only: then h + ΔW u is what a change of W does (DESIGN.md 2). Gemma 3 has a norm in between, g ⊙ y / rms(y)
with y = W u; it is undone in `qfcore.observe`.
"""

import ctypes
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from qfcore.errors import CannotTeach
from qfcore.runtime.ggml import Tensors

# Offsets in llama.cpp's `struct ggml_tensor` (ggml.h): the rows in ne[1], src[10], the name.
_ROWS, _SOURCES, _NAME, _MOST_SOURCES = 24, 152, 256, 10
_FLOAT32 = 0
_WEIGHT = re.compile(r"(?:blk\.(?P<layer>\d+)|output|output_norm)\..*")
_NORMS = {"NORM", "RMS_NORM"}
_PASSING = {"ADD", "VIEW", "RESHAPE", "CONT", "CPY", "GET_ROWS"}


@dataclass(frozen=True)
class Node:
    """One step of a graph: what it is called, what it does, the names of what it works on, how many rows it gives.

    scale: (O,) float32, the weight that a MUL works with.
    """

    name: str
    operation: str
    sources: tuple[str, ...]
    rows: int
    scale: np.ndarray | None = None


@dataclass(frozen=True)
class Places:
    """Names of a layer's key (the down projection's input), product (its output) and residual (the layer's output).

    branch, gain: where a norm follows the projection, the name of its input y and its weight g, (O,) float32. only_wanted:
    the layer computes no other rows than those whose logits are asked for.
    """

    key: str
    product: str
    residual: str
    branch: str | None
    gain: np.ndarray | None
    only_wanted: bool


class NodeReader:
    """Reads llama.cpp's tensors while a graph is computed."""

    def __init__(self) -> None:
        self._tensors = Tensors()

    def node(self, tensor: int) -> Node:
        """What a tensor is.

        Raises:
            CannotTeach: this llama.cpp lays its tensors out otherwise.
        """
        if self._tensors.name_address(tensor) - tensor != _NAME:
            raise CannotTeach("This build of llama.cpp is not known here. Install the pinned llama-cpp-python.")
        pointers = [p for p in (ctypes.c_void_p * _MOST_SOURCES).from_address(tensor + _SOURCES) if p]
        operation = self._tensors.operation(tensor)
        scale = self._vector(pointers[1]) if operation == "MUL" and len(pointers) > 1 else None
        return Node(self._name(tensor), operation, tuple(map(self._name, pointers)), _count(tensor, _ROWS), scale)

    def _name(self, tensor: int) -> str:
        return self._tensors.name(tensor).decode("utf-8", "replace")

    def _vector(self, tensor: int) -> np.ndarray | None:
        """The values of a layer's float32 vector; None for everything else."""
        plain = ctypes.c_int32.from_address(tensor).value == _FLOAT32 and _count(tensor, _ROWS) == 1
        if not plain or not self._name(tensor).startswith("blk."):
            return None
        return self._tensors.floats(tensor)


def _count(tensor: int, offset: int) -> int:
    return ctypes.c_int64.from_address(tensor + offset).value


def find_places(nodes: Sequence[Node], layer: int, *, tokens: int) -> Places:
    """Follow the down projection of a layer to its output: the first tensor on the way that weights of another layer, or of
    the model's end, work on. nodes: of a batch of `tokens` tokens of which one is wanted.

    Raises:
        CannotTeach: there is no such matrix, or more than additions and a norm follow it.
    """
    weight = f"blk.{layer}.ffn_down.weight"
    start = next((i for i, node in enumerate(nodes) if weight in node.sources), None)
    if start is None:
        experts = any(f"blk.{layer}.ffn_down_exps" in source for node in nodes for source in node.sources)
        why = "is a mixture of experts" if experts else "has no down projection of the usual name"
        raise CannotTeach(f"Layer {layer} {why}, so this model can chat but not be taught. {_HINT}")
    product = nodes[start]
    if product.operation != "MUL_MAT" or not product.sources[1].endswith(f"-{layer}"):  # other names change with the graph
        raise CannotTeach(f"Layer {layer} does not use its down projection as expected ({product.operation}). {_HINT}")
    path = _to_the_output(nodes[start:], layer)
    residual = path[-1].name
    if not residual.endswith(f"-{layer}"):
        raise CannotTeach(f"The down projection of layer {layer} does not reach an output of the layer with a name. {_HINT}")
    steps = [node for node in path[1:] if node.operation not in _PASSING]
    if not steps:
        return Places(product.sources[1], product.name, residual, None, None, path[-1].rows < tokens)
    if [node.operation for node in steps] != ["RMS_NORM", "MUL"] or steps[1].scale is None:
        names = ", ".join(node.operation for node in steps)
        raise CannotTeach(f"In layer {layer} more than additions follow the down projection ({names}). {_HINT}")
    return Places(product.sources[1], product.name, residual, steps[0].sources[0], steps[1].scale, path[-1].rows < tokens)


def _to_the_output(nodes: Sequence[Node], layer: int) -> list[Node]:
    """The steps from the first node, the product of a layer's down projection, to the layer's output.

    Raises:
        CannotTeach: no other layer takes it over.
    """
    path, at = [nodes[0]], 0
    while not _leaves(nodes[at + 1 :], path[-1].name, layer):
        at = next((i for i, node in enumerate(nodes) if i > at and path[-1].name in node.sources), 0)
        if not at:
            raise CannotTeach(f"The down projection of layer {layer} does not reach the layer's output. {_HINT}")
        path.append(nodes[at])
    return path


def _leaves(nodes: Sequence[Node], name: str, layer: int) -> bool:
    """Whether something else than this layer uses a tensor: through norms, its first weight is not one of the layer's."""
    for number, node in enumerate(nodes):
        if name not in node.sources:
            continue
        weights = [match for source in node.sources if (match := _WEIGHT.fullmatch(source))]
        if weights:
            return weights[0]["layer"] != str(layer)
        if node.operation in _NORMS and _leaves(nodes[number + 1 :], node.name, layer):
            return True
    return False


_HINT = "Models of the Llama, Mistral, Qwen 2 and 3, Phi 3, SmolLM 3 and Gemma 3 families can be taught."
