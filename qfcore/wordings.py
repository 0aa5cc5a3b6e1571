"""A question in words that its lesson was not taught with is one more phrasing: it is learned while it is asked.

Which lesson a message asks for is known (qfcore/choosing.py); how its answer would begin after just these words is not,
since a lesson's rows are of the few questions that it was studied with. One pass over the answer shows the keys, and the
smallest further change that lets each of its tokens lead is solved in closed form, for this message alone. It joins the
lesson's own change in the adapter: the prompt holds no word of the lesson. Figures: NOTES.md, 2026-11-28.
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from qfcore.delta import Delta
from qfcore.margin import Head
from qfcore.observe import margin_targets
from qfcore.recipe import Recipe
from qfcore.runtime.protocol import Message, Runtime, Script

_VERSION = 1
"""Raised when the change for a message is made otherwise: its file is named by it."""
_RECIPE = Recipe("ridge", margin=10.0)
"""The keys are the answer's own, so less margin is needed than where they are only alike."""
_RIDGE = 1e-3
"""Of the keys' mean squared norm, on the diagonal."""


class Wordings:
    """Observes answers after messages. head: the model's last step; None where its margins are unknown."""

    def __init__(self, runtime: Runtime, head: Callable[[], Head | None]) -> None:
        self._runtime, self._head = runtime, head

    def further(self, messages: Sequence[Message], answer: str, lessons: Path, layer: int) -> Delta | None:
        """What is to be added to the lessons' change so that the answer follows on the messages; None for nothing.

        lessons: the adapter of the lessons' own change of that layer.

        Raises:
            RuntimeFailure: the model could not read it.
        """
        head = self._head()
        if head is None or layer != self._runtime.facts.n_layer - 1:
            return None
        tokens = tuple(self._runtime.tokenize_answer(answer))
        script = Script(tuple((m["role"], m["content"]) for m in messages), tokens)
        seen = self._runtime.observe([script], layer=layer, adapter=lessons)[0]
        targets, _ = margin_targets(seen, tokens, _RECIPE, head)
        return least_change(layer, seen.keys, targets) if targets.any() else None


def least_change(layer: int, keys: np.ndarray, targets: np.ndarray) -> Delta:
    """The smallest ΔW with ΔW u_k ≈ d_k: ΔW = Dᵀ (U Uᵀ + ε1)⁻¹ U, ε a small share of the keys' mean squared norm.

    Without ε it is `solve_minimum_norm`; here keys of one answer may be nearly equal, and chatting does without torch.

    keys: (K, I) float32. targets: (K, O) float32, 0 where the output is to stay.
    """
    keys = keys.astype(np.float64)
    gram = keys @ keys.T
    gram += _RIDGE * np.trace(gram) / len(gram) * np.eye(len(gram))
    moved = targets.any(axis=1)
    factors = np.linalg.solve(gram, keys)[moved]
    return Delta(layer, factors.astype(np.float32), np.ascontiguousarray(targets[moved].T, dtype=np.float32))


def mark_of(messages: Sequence[Message], answer: str) -> str:
    """Names what is further changed for: the messages and the answer after them."""
    told = json.dumps([_VERSION, *([m["role"], m["content"]] for m in messages), answer], ensure_ascii=True)
    return hashlib.sha256(told.encode()).hexdigest()
