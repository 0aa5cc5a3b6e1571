"""The smallest change of a residual that makes the model say a token with a margin.

The paper asks the layer for the teacher's whole residual h*. Most of h* − h is not needed to say the teacher's words,
but all of it disturbs other questions. Here the target is the nearest point to h where the wanted token leads every
other by a margin: the solution of linear inequalities in h (for a fixed rms), found by Kaczmarz projections (Kaczmarz
1937; Agmon 1954). It needs no teacher's consent, so it also teaches what the teacher refuses to say.
"""

from typing import Protocol

import numpy as np

CANDIDATES = 128
"""Rivals of the wanted token that are kept in sight: the student's most probable tokens."""
BACKGROUND = 4096
"""Further rivals, evenly spaced over the vocabulary: going away from the probable tokens raises all the others."""
ROUNDS, WORST, STEPS = 12, 16, 60
"""Rounds over all rivals, how many of the worst each round adds, and steps on those per round."""
SLACK = 0.05
"""Missing margin that is tolerated, in logits."""


class Head(Protocol):
    """From residual to logits: logit of token t = rows(t) · h / rms(h)."""

    epsilon: float

    def rows(self, tokens: np.ndarray) -> np.ndarray:
        """(N, O) float32."""


def margins(logits: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """(K,) how many logits the wanted tokens (K,) lead their best rivals by in logits (K, V); negative when behind."""
    index = np.arange(len(wanted))
    lead = logits[index, wanted]
    rivals = logits.copy()
    rivals[index, wanted] = -np.inf
    return lead - rivals.max(axis=1)


def smallest_changes(
    head: Head, residuals: np.ndarray, logits: np.ndarray, wanted: np.ndarray, margin: np.ndarray
) -> np.ndarray:
    """(K, O) float32 changes d with margin(h + d, wanted) ≥ margin, of small norm; zero where that holds already.

    residuals: (K, O) float32, h. logits: (K, V) float32 at h. wanted: (K,) token ids. margin: (K,) in logits.
    """
    changes = np.zeros_like(residuals, dtype=np.float32)
    vocabulary = logits.shape[1]
    background = np.unique(np.linspace(0, vocabulary - 1, BACKGROUND).astype(np.int64))
    others = head.rows(background)
    short = margins(logits, wanted) < margin - SLACK
    for k in np.flatnonzero(short):
        count = min(CANDIDATES, vocabulary - 1)
        rivals = np.argpartition(-logits[k], count)[: count + 1]
        own, near = head.rows(wanted[k : k + 1]), head.rows(rivals[rivals != wanted[k]])
        leads = own - np.concatenate([near, others[background != wanted[k]]])
        changes[k] = _project(leads, residuals[k].astype(np.float64), float(margin[k]), head.epsilon)
    return changes


def _project(leads: np.ndarray, start: np.ndarray, margin: float, epsilon: float) -> np.ndarray:
    """Steps onto the most violated of the half-spaces leads · h / rms(h) ≥ margin.

    Only those that were ever violated are looked at in each step; the others are checked when these hold.
    """
    point, seen = start.copy(), np.zeros(0, dtype=np.int64)
    for _ in range(ROUNDS):
        scale = 1.0 / np.sqrt(np.mean(point * point) + epsilon)
        missing = margin - leads @ point.astype(np.float32) * scale
        if missing.max() <= SLACK:
            break
        seen = np.union1d(seen, np.argsort(missing)[-WORST:])
        point = _steps(leads[seen].astype(np.float64), point, margin, epsilon)
    return point - start


def _steps(leads: np.ndarray, point: np.ndarray, margin: float, epsilon: float) -> np.ndarray:
    for _ in range(STEPS):
        scale = 1.0 / np.sqrt(np.mean(point * point) + epsilon)
        lead = leads @ point * scale
        worst = int(lead.argmin())
        missing = margin - lead[worst]
        if missing <= SLACK / 2:
            break
        # The gradient of leads · h / rms(h): the part along h changes nothing, since the norm takes it out.
        normal = leads[worst] * scale
        normal -= (normal @ point) / (point @ point) * point
        point = point + missing / (normal @ normal) * normal
    return point
