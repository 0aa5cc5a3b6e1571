"""A low-rank change of one weight: delta W = b @ a, the form in which knowledge leaves the solver."""

import hashlib
from dataclasses import dataclass

import numpy as np

_ROUNDING = 1e-7
"""Relative size below which a singular value is float32 rounding."""


@dataclass(frozen=True)
class Delta:
    """The change b @ a of `blk.{layer}.ffn_down.weight`.

    a: (R, I) float32. b: (O, R) float32. Rank 0 is the empty change.
    """

    layer: int
    a: np.ndarray
    b: np.ndarray

    def __post_init__(self) -> None:
        if self.a.ndim != 2 or self.b.ndim != 2 or self.a.shape[0] != self.b.shape[1]:
            raise ValueError(f"Factors do not fit: a {self.a.shape}, b {self.b.shape}; (R, I) and (O, R) expected.")

    @property
    def rank(self) -> int:
        """R, the number of columns of b."""
        return self.a.shape[0]

    def scaled(self, strength: float) -> "Delta":
        """The change times a number; 1 is itself."""
        return self if strength == 1 else Delta(self.layer, self.a, self.b * np.float32(strength))

    def joined(self, other: "Delta") -> "Delta":
        """Both changes of one layer at once."""
        if self.layer != other.layer:
            raise ValueError(f"Changes of the layers {self.layer} and {other.layer} cannot be joined.")
        return Delta(self.layer, np.concatenate([self.a, other.a]), np.concatenate([self.b, other.b], axis=1))

    def reduced(self, most: int | None = None) -> tuple["Delta", float]:
        """The same change with the fewest factors, or the closest one with at most `most`; and the share of its Frobenius
        norm that is lost, 0 up to float32 rounding when nothing had to go.

        With b = Q S and aᵀ = P T (QR), b a = Q (S Tᵀ) Pᵀ, whose singular values are those of S Tᵀ (R, R).
        """
        left, core_left = np.linalg.qr(self.b.astype(np.float64))
        right, core_right = np.linalg.qr(self.a.T.astype(np.float64))
        u, values, v = np.linalg.svd(core_left @ core_right.T)
        rank = int((values > _ROUNDING * values[0]).sum()) if len(values) else 0
        kept = rank if most is None else min(rank, most)
        if kept == self.rank:
            return self, 0.0
        lost = float(np.linalg.norm(values[kept:rank]) / np.linalg.norm(values)) if kept < rank else 0.0
        root = np.sqrt(values[:kept])
        a, b = (root[:, None] * v[:kept]) @ right.T, left @ (u[:, :kept] * root)
        return Delta(self.layer, a.astype(np.float32), b.astype(np.float32)), lost

    def inner(self, other: "Delta") -> float:
        """Frobenius product of two changes, without forming either: ⟨b a, d c⟩ = Σ (bᵀ d) ∘ (a cᵀ)."""
        return float(((self.b.T.astype(np.float64) @ other.b) * (self.a.astype(np.float64) @ other.a.T)).sum())

    @property
    def norm(self) -> float:
        """Frobenius norm of b @ a."""
        return float(np.sqrt(max(self.inner(self), 0.0)))

    @property
    def digest(self) -> str:
        """SHA-256 (64 hex digits) over layer, shapes and both factors as little-endian float32."""
        hasher = hashlib.sha256(f"qf-delta-1:{self.layer}:{self.a.shape}:{self.b.shape}:".encode())
        for factor in (self.a, self.b):
            hasher.update(np.ascontiguousarray(factor, dtype="<f4").tobytes())
        return hasher.hexdigest()
