"""The smallest change of a residual that makes the model say a token with a margin.

The paper asks the layer for the teacher's whole residual h*. Most of h* − h is not needed to say the teacher's words,
but all of it disturbs other questions. Here the target is the nearest point to h where the wanted token leads every
other by a margin: the solution of linear inequalities in h (for a fixed rms), found by Kaczmarz projections (Kaczmarz
1937; Agmon 1954). It needs no teacher's consent, so it also teaches what the teacher refuses to say.
"""

import math
import weakref
from typing import Protocol

import numpy as np

from qfcore.errors import ModelError

CANDIDATES = 128
"""Rivals of the wanted token that are kept in sight: the student's most probable tokens."""
BACKGROUND = 4096
"""Further rivals, evenly spaced over the vocabulary: going away from the probable tokens raises all the others."""
ROUNDS, WORST, STEPS = 12, 16, 60
"""Rounds over all rivals, how many of the worst each round adds, and steps on those per round."""
REACH = 0.5
"""Largest margin that is asked for, as a share of the largest there is, ‖lead‖ √O: a head of few outputs has not more."""
SLACK = 0.05
"""Missing margin that is tolerated, in logits."""
_TRIED, _TOLERANCE = 512, 0.05
"""Tokens on which a head is tried, and how far its logits may be from the model's, as a share."""
_LONGEST_STEP = 0.3
"""Longest step on the sphere, as a share of its radius."""


class Head(Protocol):
    """From residual to logits: logit of token t = rows(t) · h / rms(h)."""

    epsilon: float

    def rows(self, tokens: np.ndarray) -> np.ndarray:
        """(N, O) float32."""


def check_head(head: Head, residuals: np.ndarray, logits: np.ndarray) -> None:
    """See that a head gives the logits (K, V) that the model itself gives for residuals (K, O).

    Raises:
        ModelError: it gives others, as for a model that scales or caps its logits.
    """
    some = np.unique(np.linspace(0, logits.shape[1] - 1, _TRIED).astype(np.int64))
    expected = (residuals / np.sqrt(np.mean(residuals**2, axis=1, keepdims=True) + head.epsilon)) @ head.rows(some).T
    if not np.linalg.norm(logits[:, some] - expected) <= _TOLERANCE * np.linalg.norm(expected):
        raise ModelError("The model scales or caps its logits, so its margins are unknown.")


def margins(logits: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """(K,) how many logits the wanted tokens (K,) lead their best rivals by in logits (K, V); negative when behind."""
    index = np.arange(len(wanted))
    lead = logits[index, wanted]
    rivals = logits.copy()
    rivals[index, wanted] = -np.inf
    return lead - rivals.max(axis=1)


def smallest_changes(
    head: Head, residuals: np.ndarray, logits: np.ndarray, wanted: np.ndarray, margin: np.ndarray,
    branches: np.ndarray | None = None, gain: np.ndarray | None = None,
) -> np.ndarray:  # fmt: skip
    """(K, O) float32 changes d with margin(h + d, wanted) ≥ margin, of small norm; zero where that holds already.

    Zero, too, where no change makes the token lead: it was never trained, or the branch is too short for it.

    residuals: (K, O) float32, h. logits: (K, V) float32 at h. wanted: (K,) token ids. margin: (K,) in logits.
    branches, gain: (K, O) and (O,) float32, y and g, where h = x + g ⊙ y / rms(y): then d is a change of y, and since the
    norm takes the length of y out, it is sought on the sphere of rms(y) = 1.
    """
    changes = np.zeros_like(residuals, dtype=np.float32)
    vocabulary = logits.shape[1]
    background, others = _background(head, vocabulary)
    short = margins(logits, wanted) < margin - SLACK
    for k in np.flatnonzero(short):
        count = min(CANDIDATES, vocabulary - 1)
        rivals = np.argpartition(-logits[k], count)[: count + 1]
        own, near = head.rows(wanted[k : k + 1]), head.rows(rivals[rivals != wanted[k]])
        leads = own - np.concatenate([near, others[background != wanted[k]]])
        reachable = REACH * math.sqrt(leads.shape[1]) * np.linalg.norm(leads, axis=1).astype(np.float64)
        if branches is None:
            place: _Plain = _Plain(residuals[k].astype(np.float64))
        else:
            place = _Sphere(residuals[k].astype(np.float64), branches[k].astype(np.float64), gain.astype(np.float64))
        if _approach(place, leads, np.minimum(margin[k], reachable), head.epsilon) > 0:
            changes[k] = place.change()
    return changes


_BACKGROUNDS: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()


def _background(head: Head, vocabulary: int) -> tuple[np.ndarray, np.ndarray]:
    """Ids (B,) and rows (B, O) of the background rivals; dequantized once for each head."""
    if head not in _BACKGROUNDS:
        tokens = np.unique(np.linspace(0, vocabulary - 1, BACKGROUND).astype(np.int64))
        _BACKGROUNDS[head] = tokens, head.rows(tokens)
    return _BACKGROUNDS[head]


class _Plain:
    """Any residual can be reached."""

    def __init__(self, residual: np.ndarray) -> None:
        self._start, self.residual = residual, residual.copy()

    def step(self, normal: np.ndarray, missing: float) -> None:
        """Go along `normal` so far that its product with the residual grows by `missing`."""
        self.residual = self.residual + missing / (normal @ normal) * normal

    def change(self) -> np.ndarray:
        return self.residual - self._start


class _Sphere:
    """Residuals x + g ⊙ v with rms(v) = 1; the change is that of y, which v is the direction of."""

    def __init__(self, residual: np.ndarray, branch: np.ndarray, gain: np.ndarray) -> None:
        self._branch, self._gain, self._length = branch, gain, math.sqrt(len(branch))
        self._v = branch * self._length / np.linalg.norm(branch)
        self._rest = residual - gain * self._v
        self.residual = residual.copy()

    def step(self, normal: np.ndarray, missing: float) -> None:
        inside = self._gain * normal
        inside -= (inside @ self._v) / (self._v @ self._v) * self._v
        step = missing / max(inside @ inside, 1e-30) * inside
        step *= min(1.0, _LONGEST_STEP * self._length / max(np.linalg.norm(step), 1e-30))
        self._v = self._v + step
        self._v *= self._length / np.linalg.norm(self._v)
        self.residual = self._rest + self._gain * self._v

    def change(self) -> np.ndarray:
        """The y nearest to the old one in the new direction, less the old one."""
        along = (self._v @ self._branch) / (self._v @ self._v)
        return along * self._v - self._branch


def _approach(place: "_Plain | _Sphere", leads: np.ndarray, margins: np.ndarray, epsilon: float) -> float:
    """Steps onto the most violated of the half-spaces leads · h / rms(h) ≥ margins; the smallest lead at the end.

    Only those that were ever violated are looked at in each step; the others are checked when these hold.
    """
    seen = np.zeros(0, dtype=np.int64)
    for _ in range(ROUNDS):
        missing = margins - _leads_at(place.residual, leads, epsilon)
        if missing.max() <= SLACK:
            break
        seen = np.union1d(seen, np.argsort(missing)[-WORST:])
        _steps(place, leads[seen].astype(np.float64), margins[seen], epsilon)
    return float(_leads_at(place.residual, leads, epsilon).min())


def _leads_at(point: np.ndarray, leads: np.ndarray, epsilon: float) -> np.ndarray:
    scale = 1.0 / np.sqrt(np.mean(point * point) + epsilon)
    return leads @ point.astype(np.float32) * scale


def _steps(place: "_Plain | _Sphere", leads: np.ndarray, margins: np.ndarray, epsilon: float) -> None:
    for _ in range(STEPS):
        point = place.residual
        scale = 1.0 / np.sqrt(np.mean(point * point) + epsilon)
        short = margins - leads @ point * scale
        worst = int(short.argmax())
        missing = short[worst]
        if missing <= SLACK / 2:
            break
        # The gradient of leads · h / rms(h): the part along h changes nothing, since the norm takes it out.
        normal = leads[worst] * scale
        normal -= (normal @ point) / (point @ point) * point
        place.step(normal, missing)
