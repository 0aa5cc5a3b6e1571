"""What a message asks for, as a vector: messages that ask for the same thing are near, whoever they are about and however
they are worded.

Who a message is about is not enough to choose a lesson: "What should I wear to the Quenby Lantern Festival?" is not answered
by the year in which it was first held. And nobody is named in "Who am I?". The model's own residual, after a middle layer at
the end of a message, knows what is asked. Compared as it is, it tells wordings apart as well as meanings; along linear
discriminants of messages that were sorted by what they ask for (assets/relations.jsonl) it does not. They are computed in
closed form, once per model, and come with the project for the default model. Figures: NOTES.md, 2026-11-28.
"""

import base64
import binascii
import functools
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors.numpy import save

from qfcore.assets import assets_folder
from qfcore.probing import Remembered, measured_file, read_measured, state_behind
from qfcore.runtime.protocol import Progress, Runtime

KIND = "relations"
SUFFIX = "What you want to know is"
"""Beginning of an answer that is put in the model's mouth: its last token sums up the question, in any language."""
DEPTH = 20 / 28
"""Share of the layers after which the residual is read."""
DIMENSIONS = 128
SHRINK = 0.1
"""Share of its mean variance that is added to a covariance."""
SHOWN = 300
"""Characters of a long message's beginning and of its end that are read."""


@dataclass(frozen=True)
class Asked:
    """What a message asks for. vector: (K,) of length 1."""

    vector: np.ndarray

    def like(self, other: "Asked") -> float:
        """Cosine: 1 for the same, near 0 for something else."""
        return float(self.vector @ other.vector)

    def to_text(self) -> str:
        """In half precision, for a store."""
        return base64.b64encode(self.vector.astype(np.float16).tobytes()).decode()

    @classmethod
    def from_text(cls, text: str) -> "Asked | None":
        """Back from `to_text`; None for anything else."""
        try:
            vector = np.frombuffer(base64.b64decode(text, validate=True), np.float16).astype(np.float64)
        except (binascii.Error, ValueError, TypeError):
            return None
        size = np.linalg.norm(vector)
        return cls(vector / size) if abs(size - 1.0) < 0.1 else None  # not for NaN either


@dataclass(frozen=True)
class Metric:
    """Linear discriminants of what is asked for. layer: after which the residual is read. mean: (D,). axes: (K, D)."""

    layer: int
    mean: np.ndarray
    axes: np.ndarray

    def asked(self, residual: np.ndarray) -> Asked:
        """What a message's residual (D,) says."""
        placed = self.axes @ (residual - self.mean)
        return Asked(placed / np.linalg.norm(placed))

    def to_bytes(self) -> bytes:
        """As a safetensors file; the axes in half precision, and scaled, which changes no direction."""
        axes = (self.axes / np.abs(self.axes).max()).astype(np.float16)
        return save({"axes": axes, "mean": self.mean.astype(np.float32)}, metadata={"layer": str(self.layer)})

    @functools.cached_property
    def name(self) -> str:
        """Of this metric: what one reads, another cannot compare."""
        return hashlib.sha256(self.to_bytes()).hexdigest()[:8]


def fit_metric(read: Sequence[np.ndarray], layer: int) -> Metric:
    """The metric of groups of messages, of each of which the residuals (N, D) were read.

    A x with A Sw Aᵀ = 1 for the covariance Sw within groups, along the leading eigenvectors of the groups' means (Fisher
    1936, Rao 1948), each times the square root of its eigenvalue: what tells more groups apart counts more.
    """
    read = [residuals.astype(np.float64) for residuals in read]
    mean = np.concatenate(read).mean(axis=0)
    within = np.concatenate([residuals - residuals.mean(axis=0) for residuals in read])
    covariance = within.T @ within / (len(within) - len(read))
    covariance += SHRINK * np.trace(covariance) / len(covariance) * np.eye(len(covariance))
    whiten = np.linalg.inv(np.linalg.cholesky(covariance))
    between = np.array([residuals.mean(axis=0) - mean for residuals in read]) @ whiten.T
    _, spread, axes = np.linalg.svd(between, full_matrices=False)
    return Metric(layer, mean, spread[:DIMENSIONS, None] * axes[:DIMENSIONS] @ whiten)


def read_groups() -> list[list[str]]:
    """The project's messages, sorted by what they ask for."""
    lines = (assets_folder() / "relations.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line)["ways"] for line in lines]


def measure_metric(runtime: Runtime, groups: Sequence[Sequence[str]], on_progress: Progress | None = None) -> Metric:
    """The metric of a model: it reads all messages, four or five a second on two cores for the default model."""
    layer, read = round(DEPTH * runtime.facts.n_layer), []
    for index, group in enumerate(groups):
        read.append(np.array([state_behind(runtime, text, SUFFIX, layer) for text in group]))
        if on_progress:
            on_progress((index + 1) / len(groups), f"Reading what is asked for: {index + 1} of {len(groups)}")
    return fit_metric(read, layer)


def metric_file(sha256: str) -> Path:
    """Where the metric of a model's file lies, if the project has one."""
    return measured_file(KIND, sha256)


@functools.lru_cache(maxsize=2)
def known_metric(sha256: str) -> Metric | None:
    """The metric that comes with the project for a model's file; None for a model that it was not measured for."""
    found = read_measured(KIND, sha256)
    return found and Metric(found[0], **found[1])


class Relations:
    """Reads what messages ask for. Any thread may ask; what was read is remembered while the program runs.

    metric: of the runtime's model.
    """

    def __init__(self, runtime: Runtime, metric: Metric) -> None:
        self._runtime, self.metric = runtime, metric
        self._known: Remembered[str, Asked] = Remembered()

    def of(self, message: str) -> Asked:
        """What a message asks for.

        Raises:
            RuntimeFailure: the model could not read it.
        """
        text, metric = shown(message), self.metric
        found = self._known.get(text)
        return found or self._known.keep(text, metric.asked(state_behind(self._runtime, text, SUFFIX, metric.layer)))

    def known(self, message: str) -> Asked | None:
        """What a message asks for, if it was read before."""
        return self._known.get(shown(message))

    def remember(self, message: str, text: str) -> None:
        """Keep what was read of a message at another time (`Asked.to_text`)."""
        asked = Asked.from_text(text)
        if asked is not None and len(asked.vector) == len(self.metric.axes) and self.known(message) is None:
            self._known.keep(shown(message), asked)


def shown(text: str) -> str:
    """A message, of a long one its two ends: what is asked for stands there."""
    return text if len(text) <= 2 * SHOWN else f"{text[:SHOWN]} … {text[-SHOWN:]}"
