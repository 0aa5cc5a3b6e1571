"""Where a layer of a checkpoint can be taught: found by trying, whatever the architecture is called.

The sibling of qfcore/runtime/graph.py: a layer can be taught when a change of its down projection's output reaches the
layer's output unchanged, or through an RMS norm alone. A change is made, and what comes out is compared with what should.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import nn

from qfcore.delta import Delta
from qfcore.errors import CannotTeach, RuntimeFailure
from qfcore.export.modules import down_projections

_TRIED = 4
"""Tokens that are computed to try a layer."""
_TOLERANCE = 0.05
"""Relative error up to which a layer does what is expected; bfloat16 rounds at 0.004."""
_HINT = "It can chat but not be taught; models of the Llama, Mistral, Qwen, Phi 3, SmolLM and Gemma families can."

Run = Callable[[torch.Tensor], object]
"""Computes token ids (1, T)."""


@dataclass(frozen=True)
class LayerParts:
    """A layer's modules. path: the projection's in the model.

    norm, gain: where an RMS norm follows the projection, that norm and its weight g, (O,) float32.
    """

    block: nn.Module
    projection: nn.Module
    path: str
    norm: nn.Module | None = None
    gain: np.ndarray | None = None


@dataclass
class Seen:
    """What a layer computed in the last pass, each (B, T, width); keys I, residuals and branches O."""

    keys: torch.Tensor | None = None
    residuals: torch.Tensor | None = None
    branches: torch.Tensor | None = None
    inputs: dict[str, torch.Tensor] = field(default_factory=dict)
    """Inputs of the block's own parts, by name."""


@contextmanager
def watching(parts: LayerParts) -> Iterator[Seen]:
    """See a layer's key, its branch (the down projection's output) and its residual inside the block."""
    seen = Seen()

    def key(_module: nn.Module, inputs: tuple) -> None:
        seen.keys = inputs[0]

    def branch(_module: nn.Module, _inputs: tuple, output: torch.Tensor) -> None:
        seen.branches = output

    def residual(_module: nn.Module, _inputs: tuple, output: object) -> None:
        seen.residuals = output[0] if isinstance(output, tuple) else output

    def part(name: str) -> Callable:
        def note(_module: nn.Module, inputs: tuple) -> None:
            if inputs and isinstance(inputs[0], torch.Tensor):
                seen.inputs[name] = inputs[0]

        return note

    handles = [
        parts.projection.register_forward_pre_hook(key), parts.projection.register_forward_hook(branch),
        parts.block.register_forward_hook(residual),
        *(child.register_forward_pre_hook(part(name)) for name, child in parts.block.named_children()),
    ]  # fmt: skip
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def changed(parts: LayerParts, change: Callable[[torch.Tensor], torch.Tensor]) -> Iterator[None]:
    """Add `change(u)` to the down projection's output inside the block; the weights are not touched."""

    def add(_module: nn.Module, inputs: tuple, output: torch.Tensor) -> torch.Tensor:
        return (output.float() + change(inputs[0])).to(output.dtype)

    handle = parts.projection.register_forward_hook(add)
    try:
        yield
    finally:
        handle.remove()


class Factors:
    """A change b @ a of a down projection, on the model's device, in float32 whatever the model's precision."""

    def __init__(self, delta: Delta, device: torch.device) -> None:
        self.layer = delta.layer
        self._a = torch.from_numpy(delta.a).to(device)  # (R, I)
        self._b = torch.from_numpy(delta.b).to(device)  # (O, R)

    def __call__(self, keys: torch.Tensor) -> torch.Tensor:
        """b @ (a @ u) for keys (B, T, I)."""
        if keys.shape[-1] != self._a.shape[1]:
            raise RuntimeFailure(
                f"The adapter has {self._a.shape[1]:,} inputs, the model's layer {keys.shape[-1]:,}. Run `qfchat verify`."
            )
        return (keys.float() @ self._a.T) @ self._b.T


def find_parts(model: nn.Module, layer: int, run: Run) -> LayerParts:
    """The parts of a layer, tried out.

    Raises:
        CannotTeach: there is no single down projection, or more than additions and a norm follow it.
    """
    parts = _named_parts(model, layer)
    device = next(parts.projection.parameters()).device
    tokens = torch.arange(_TRIED, device=device)[None]
    with watching(parts) as seen:
        run(tokens)
        before, y = seen.residuals, seen.branches
        fed = {name: value for name, value in seen.inputs.items() if value.shape == y.shape}
        if not isinstance(before, torch.Tensor) or before.shape != y.shape:
            raise CannotTeach(f"Layer {layer} gives no plain residual stream. {_HINT}")
        kick = torch.randn(y.shape, generator=torch.Generator().manual_seed(0)).to(device)
        kick *= torch.maximum(_rms(before.float()), _rms(y.float()))
        with changed(parts, lambda _keys: kick):
            run(tokens)
        moved, kicked = seen.residuals.float() - before.float(), y.float() + kick
    if _close(moved, kick):
        return parts
    for name, norm in parts.block.named_children():
        if name in fed and torch.equal(fed[name], y) and (gain := gain_of(norm, y.shape[-1])) is not None:
            expected = gain * (kicked / _rms(kicked) - y.float() / _rms(y.float()))
            if _close(moved, expected):
                return replace(parts, norm=norm, gain=gain.cpu().numpy())
    raise CannotTeach(f"In layer {layer} more than additions and a norm follow the down projection. {_HINT}")


def gain_of(norm: nn.Module, width: int) -> torch.Tensor | None:
    """g, (O,) float32, of a module that computes g ⊙ x / rms(x); None when it computes something else.

    It is measured rather than read, since some norms store g and others g − 1.
    """
    first = next(norm.parameters(), None)
    if first is None or first.shape != (width,):
        return None
    with torch.inference_mode():
        large = torch.full((1, 1, width), 100.0, device=first.device, dtype=first.dtype)  # beside it, epsilon is nothing
        gain = norm(large).float().flatten()
        x = torch.randn(width, generator=torch.Generator().manual_seed(1)).to(first.device, first.dtype)
        measured = norm(100 * x[None, None]).float().flatten()
    return gain if _close(measured, gain * x.float() / _rms(x.float())) else None


def _named_parts(model: nn.Module, layer: int) -> LayerParts:
    names = [name for name, _ in model.named_modules()]
    found = down_projections(names, layer)
    if len(found) != 1:
        experts = any(f"layers.{layer}.mlp.experts" in name for name in names)
        why = "is a mixture of experts" if experts else "has no down projection of the usual name"
        raise CannotTeach(f"Layer {layer} {why}. {_HINT}")
    return LayerParts(model.get_submodule(found[0].removesuffix(".mlp.down_proj")), model.get_submodule(found[0]), found[0])


def _rms(x: torch.Tensor) -> torch.Tensor:
    return x.square().mean(dim=-1, keepdim=True).sqrt().clamp_min(1e-30)


def _close(found: torch.Tensor, expected: torch.Tensor) -> bool:
    return bool((found - expected).norm() <= _TOLERANCE * expected.norm())
