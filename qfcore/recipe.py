"""How lessons are turned into weights: the numbers that a learned version depends on.

A recipe is part of every version's hash. Three are shipped: `RIDGE` (thorough) and `FAST`, the joint regression of
DESIGN.md 4.2, and, to compare with, `PAPER`, the bare formula of arXiv 2507.04300.
"""

import hashlib
import json
from dataclasses import asdict, dataclass

from qfcore.errors import NotFound

ROWS_VERSION = 11
"""Raised when the code that makes rows changes what it makes."""


@dataclass(frozen=True)
class Recipe:
    """Settings of one way to learn."""

    method: str
    """`ridge`: joint ridge regression with replay; `paper`: minimum-norm solution, no ridge, no replay."""
    layer: int = -1
    """Edited layer; negative counts from the end (-1 is the last)."""
    rephrasings: int = 2
    """Ways of asking that the model writes by itself, beside the question."""
    turned: bool = True
    """Whether it writes one that asks for the lesson's subject ("Which bridge has 47 arches?")."""
    situation: bool = True
    """Whether it writes one of somebody who needs the lesson ("Ines is coming to visit me. What should I offer her?")."""
    confirming: bool = False
    """Whether "Is it true that …?" is taught where the lesson's own sentence is its answer; it costs no writing."""
    certain: float = 0.9
    """A position is taught where the model gives the answer's token a smaller probability; the others are told to stay."""
    kl_threshold: float = 0.1
    """The same without a margin: taught where KL(teacher ‖ student) in nats exceeds this."""
    margin: float = 16.0
    """Logits by which each word of the answer is to lead (qfcore/margin.py); 0 asks for the teacher's whole residual."""
    keep_weight: float = 0.3
    """Weight of the answer positions that are told to stay, relative to taught ones."""
    ridge: float = 0.003
    """ε as a share of the replay keys' mean squared norm."""
    fit: float = 0.1
    """Share of a taught target that may be missing after the solve; more raises the row's weight. 1 accepts anything."""
    replay_weight: float = 1.0
    """Weight of a replay position, relative to a taught one."""
    replay_first_weight: float = 4.0
    """Weight of the position that predicts a replayed answer's first token: every chat passes through it."""

    @property
    def rows_key(self) -> str:
        """Names everything that a lesson's rows depend on, besides lesson and model."""
        return self._digest(
            "method", "layer", "rephrasings", "turned", "situation", "confirming", "certain", "kl_threshold", "margin",
            "keep_weight", version=ROWS_VERSION,
        )  # fmt: skip

    @property
    def solve_settings(self) -> dict[str, float | str]:
        """What the solve depends on, besides rows and replay."""
        fields = ("method", "layer", "ridge", "fit", "replay_weight", "replay_first_weight")
        return {name: getattr(self, name) for name in fields}

    def layer_of(self, n_layer: int) -> int:
        """The edited layer's index in a model of `n_layer` layers.

        Raises:
            NotFound: the model has no such layer.
        """
        index = self.layer + n_layer if self.layer < 0 else self.layer
        if not 0 <= index < n_layer:
            raise NotFound(f"Layer {self.layer} does not exist; the model has layers 0 to {n_layer - 1}.")
        return index

    def _digest(self, *fields: str, **more: int) -> str:
        content = {name: asdict(self)[name] for name in fields} | more
        text = json.dumps(content, sort_keys=True, separators=(",", ":"))
        return f"{self.method}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"


RIDGE = Recipe("ridge")
FAST = Recipe("ridge", rephrasings=0, turned=False, situation=False, confirming=True)
PAPER = Recipe("paper", layer=-5, rephrasings=0, turned=False, situation=False, kl_threshold=0.0, margin=0.0, ridge=0.0)
"""The paper edits layer 23 of 28 and teaches every position of the answer."""

RECIPES = {"thorough": RIDGE, "fast": FAST, "paper": PAPER}


def recipe_named(name: str) -> Recipe:
    """The recipe called `name`.

    Raises:
        NotFound: there is none.
    """
    if name not in RECIPES:
        raise NotFound(f"There is no method {name!r}; choose one of {', '.join(RECIPES)}.")
    return RECIPES[name]
