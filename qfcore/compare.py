"""Two versions against each other: what they know, how their weights differ, what they say."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

from qfcore.delta import Delta
from qfcore.evaluate import Route, asking
from qfcore.runtime.protocol import Progress, Runtime
from qfcore.store.records import VersionDiff

COMPARED_TOKENS = 32
"""Longest answer that is compared."""


@dataclass(frozen=True)
class TwoAnswers:
    """One question to two versions."""

    question: str
    old: str
    new: str

    @property
    def same(self) -> bool:
        """Whether both say the same, word for word."""
        return self.old == self.new


@dataclass(frozen=True)
class WeightsDiff:
    """How the weights of two versions differ, all their lessons active; Frobenius norms by layer."""

    layers: dict[int, float]
    ranks: tuple[int, int]
    n_layer: int

    @property
    def norm(self) -> float:
        """Over all layers."""
        return sum(value**2 for value in self.layers.values()) ** 0.5


@dataclass(frozen=True)
class Comparison:
    """Everything about two versions; answers is empty when nobody was asked."""

    lessons: VersionDiff
    weights: WeightsDiff
    answers: tuple[TwoAnswers, ...]


def weights_diff(old: Delta | None, new: Delta | None, n_layer: int) -> WeightsDiff:
    """‖ΔW_new − ΔW_old‖ by layer, from the factors: B₂A₂ − B₁A₁ = [B₂, −B₁][A₂; A₁]."""
    layers: dict[int, float] = {}
    for layer in sorted({delta.layer for delta in (old, new) if delta is not None}):
        parts = [d.scaled(sign) for d, sign in ((new, 1), (old, -1)) if d is not None and d.layer == layer]
        layers[layer] = reduce(Delta.joined, parts).norm
    return WeightsDiff(layers, tuple(d.rank if d else 0 for d in (old, new)), n_layer)


def ask_both(
    runtime: Runtime, questions: Sequence[str], old: Route, new: Route,
    on_progress: Progress | None = None, cancel: threading.Event | None = None,
) -> tuple[TwoAnswers, ...]:  # fmt: skip
    """Greedy answers of two versions, each question with the weights that it calls for in that version.

    Raises:
        Cancelled: `cancel` was set.
    """
    tell = on_progress or (lambda *_: None)
    ask = asking(len(questions))
    tell(0.0, "Asking the base model")
    base = ask(runtime, questions, lambda _: None, max_tokens=COMPARED_TOKENS, cancel=cancel)
    tell(0.3, "Asking the first version")
    before = ask(runtime, questions, old, base, max_tokens=COMPARED_TOKENS, cancel=cancel)
    tell(0.6, "Asking the second version")
    after = ask(runtime, questions, new, base, max_tokens=COMPARED_TOKENS, cancel=cancel)
    return tuple(TwoAnswers(q, a, b) for q, a, b in zip(questions, before, after, strict=True))
