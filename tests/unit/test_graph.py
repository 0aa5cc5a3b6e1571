"""Where a layer is taught, read from made-up graphs: what counts is what tensors are used for, not what they are called."""

import numpy as np
import pytest

from qfcore.errors import CannotTeach
from qfcore.runtime.graph import Node, find_places

GAIN = np.ones(4, dtype=np.float32)


def layer_nodes(layer: int, into: str, out: str, *, bias: bool = False, post_norm: bool = False) -> list[Node]:
    """The end of a layer's graph: feed forward, maybe a bias, maybe a norm, and the addition of the residual."""
    nodes = [
        Node(f"norm-{layer}", "RMS_NORM", (into,), 3),
        Node(f"ffn_norm-{layer}", "MUL", (f"norm-{layer}", f"blk.{layer}.ffn_norm.weight"), 3, GAIN),
        Node(f"ffn_up-{layer}", "MUL_MAT", (f"blk.{layer}.ffn_up.weight", f"ffn_norm-{layer}"), 3),
        Node(f"ffn_out-{layer}", "MUL_MAT", (f"blk.{layer}.ffn_down.weight", f"ffn_up-{layer}"), 3),
    ]
    if bias:
        nodes.append(Node(f"ffn_biased-{layer}", "ADD", (nodes[-1].name, f"blk.{layer}.ffn_down.bias"), 3))
    if post_norm:
        nodes.append(Node(f"normed-{layer}", "RMS_NORM", (nodes[-1].name,), 3))
        nodes.append(Node(f"post-{layer}", "MUL", (f"normed-{layer}", f"blk.{layer}.post_ffw_norm.weight"), 3, GAIN))
    return [*nodes, Node(out, "ADD", (nodes[-1].name, into), 3)]


END = [
    Node("norm", "RMS_NORM", ("block_end-1",), 3), Node("result_norm", "MUL", ("norm", "output_norm.weight"), 3, GAIN),
    Node("result_output", "MUL_MAT", ("output.weight", "result_norm"), 3),
]  # fmt: skip


@pytest.mark.parametrize("layer", [0, 1])
@pytest.mark.parametrize(("bias", "post_norm"), [(False, False), (True, False), (False, True)])
def test_the_output_is_found_whatever_it_is_called(layer: int, bias: bool, post_norm: bool) -> None:
    nodes = [
        *layer_nodes(0, "embedded", "block_end-0", bias=bias, post_norm=post_norm),
        *layer_nodes(1, "block_end-0", "block_end-1", bias=bias, post_norm=post_norm), *END,
    ]  # fmt: skip
    places = find_places(nodes, layer, tokens=3)
    assert (places.key, places.residual) == (f"ffn_up-{layer}", f"block_end-{layer}")
    assert places.branch == (f"ffn_out-{layer}" if post_norm else None) and not places.only_wanted


def test_an_output_that_the_next_layer_takes_without_a_norm_is_found() -> None:
    nodes = [*layer_nodes(0, "embedded", "block_end-0"), Node("q-1", "MUL_MAT", ("blk.1.attn_q.weight", "block_end-0"), 3)]
    assert find_places(nodes, 0, tokens=3).residual == "block_end-0"


def test_an_output_without_a_lasting_name_is_refused() -> None:
    nodes = [*layer_nodes(1, "embedded", "node_77"), *(_renamed(node, "block_end-1", "node_77") for node in END)]
    with pytest.raises(CannotTeach, match="with a name"):
        find_places(nodes, 1, tokens=3)


def test_an_output_that_nothing_takes_over_is_refused() -> None:
    with pytest.raises(CannotTeach, match="does not reach"):
        find_places(layer_nodes(1, "embedded", "block_end-1"), 1, tokens=3)


def test_a_product_that_is_scaled_is_refused() -> None:
    nodes = layer_nodes(1, "embedded", "block_end-1")
    nodes[-1:] = [Node("scaled-1", "SCALE", (nodes[-2].name,), 3), Node("block_end-1", "ADD", ("scaled-1", "embedded"), 3)]
    with pytest.raises(CannotTeach, match="SCALE"):
        find_places([*nodes, *END], 1, tokens=3)


def _renamed(node: Node, old: str, new: str) -> Node:
    return Node(node.name, node.operation, tuple(new if s == old else s for s in node.sources), node.rows, node.scale)
