"""What a message asks for, as a vector: messages that ask for the same thing are near, whoever they are about and however
they are worded.

Who a message is about is not enough to choose a lesson: "What should I wear to the Quenby Lantern Festival?" is not answered
by the year in which it was first held. And nobody is named in "Who am I?". The model's own residual, after a middle layer at
the end of a message, knows what is asked. Compared as it is, it tells wordings apart as well as meanings; along linear
discriminants of messages that people sorted by what they ask for (assets/relations.jsonl) it does not. They are computed in
closed form, once per model, and come with the project for the default model. Figures: NOTES.md, 2026-11-28.
"""

import base64
import binascii
import functools
import hashlib
import json
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors.numpy import load, save

from qfcore.assets import assets_folder
from qfcore.runtime.protocol import Message, Progress, Runtime, Script

SUFFIX = "What you want to know is"
"""Beginning of an answer that is put in the model's mouth: its last token sums up the question, in any language."""
DEPTH = 20 / 28
"""Share of the layers after which the residual is read."""
DIMENSIONS = 128
SHRINK = 0.1
"""Share of its mean variance that is added to a covariance."""
SHOWN = 300
"""Characters of a long message's beginning and of its end that are read."""
BEFORE = 3
"""Messages of a conversation that are read where the last one alone asks for nothing taught ("And where is it?")."""
_KEPT = 4096


@dataclass(frozen=True)
class Asked:
    """What a message asks for.

    vector: (K,) of length 1. own: above 0 where it is about the life of who asks ("Who am I?"), in whatever language.
    """

    vector: np.ndarray
    own: float

    def like(self, other: "Asked") -> float:
        """Cosine: 1 for the same, near 0 for something else."""
        return float(self.vector @ other.vector)

    def to_text(self) -> str:
        """In half precision, for a store."""
        return base64.b64encode(np.array([self.own, *self.vector], np.float16).tobytes()).decode()

    @classmethod
    def from_text(cls, text: str) -> "Asked | None":
        """Back from `to_text`; None for anything else."""
        try:
            numbers = np.frombuffer(base64.b64decode(text, validate=True), np.float16).astype(np.float64)
        except (binascii.Error, ValueError, TypeError):
            return None
        size = np.linalg.norm(numbers[1:])
        return cls(numbers[1:] / size, float(numbers[0])) if np.isfinite(numbers).all() and abs(size - 1.0) < 0.1 else None


@dataclass(frozen=True)
class Metric:
    """Linear discriminants of what is asked for.

    layer: after which the residual is read. mean: (D,). axes: (K, D), of what is asked for. own, own_mean: (D,), of whether
    it is about the life of who asks.
    """

    layer: int
    mean: np.ndarray
    axes: np.ndarray
    own: np.ndarray
    own_mean: np.ndarray

    def asked(self, residual: np.ndarray) -> Asked:
        """What a message's residual (D,) says."""
        placed = self.axes @ (residual - self.mean)
        return Asked(placed / np.linalg.norm(placed), float(self.own @ (residual - self.own_mean)))

    def to_bytes(self) -> bytes:
        """As a safetensors file in half precision; the axes are scaled, which changes no direction."""
        axes = (self.axes / np.abs(self.axes).max()).astype(np.float16)
        tensors = {name: getattr(self, name).astype(np.float32) for name in ("mean", "own", "own_mean")}
        return save({"axes": axes, **tensors}, metadata={"layer": str(self.layer)})

    @functools.cached_property
    def name(self) -> str:
        """Of this metric: what one reads, another cannot compare."""
        return hashlib.sha256(self.to_bytes()).hexdigest()[:8]


@dataclass(frozen=True)
class Group:
    """Messages that ask for the same thing. own: whether about the life of who asks; None where they are mixed."""

    ways: tuple[str, ...]
    own: bool | None = None


def fit_metric(groups: Sequence[np.ndarray], own: Sequence[bool | None], layer: int) -> Metric:
    """Discriminants of groups, each the (N, D) residuals of messages that ask for the same thing. own: see `Group`.

    A x with A Sw Aᵀ = 1 for the covariance Sw within groups, along the leading eigenvectors of the groups' means (Fisher
    1936, Rao 1948), each times the square root of its eigenvalue: what tells more groups apart counts more. Own and other
    groups are told apart by ridge regression on +1 and -1, both sides weighing the same.
    """
    groups = [group.astype(np.float64) for group in groups]
    mean = np.concatenate(groups).mean(axis=0)
    within = np.concatenate([group - group.mean(axis=0) for group in groups])
    covariance = within.T @ within / (len(within) - len(groups))
    covariance += SHRINK * np.trace(covariance) / len(covariance) * np.eye(len(covariance))
    whiten = np.linalg.inv(np.linalg.cholesky(covariance))
    between = np.array([group.mean(axis=0) - mean for group in groups]) @ whiten.T
    _, spread, axes = np.linalg.svd(between, full_matrices=False)
    weighted = spread[:DIMENSIONS, None] * axes[:DIMENSIONS]
    sides = [np.concatenate([g for g, o in zip(groups, own, strict=True) if o is side]) for side in (True, False)]
    return Metric(layer, mean, weighted @ whiten, _regression(*sides), np.concatenate(sides).mean(axis=0))


def _regression(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    x = np.concatenate([one, other])
    x = x - x.mean(axis=0)
    size = np.sqrt((x**2).mean())
    wanted = np.concatenate([np.ones(len(one)), -np.ones(len(other))])
    weights = len(x) / 2 / np.where(wanted > 0, len(one), len(other))
    x = x / size
    system = x.T @ (x * weights[:, None]) + SHRINK * len(x) * np.eye(x.shape[1])
    return np.linalg.solve(system, x.T @ (weights * wanted)) / size


def read_groups(path: Path | None = None) -> list[Group]:
    """The project's messages, sorted by what they ask for."""
    lines = (path or assets_folder() / "relations.jsonl").read_text(encoding="utf-8").splitlines()
    found = [json.loads(line) for line in lines]
    return [Group(tuple(one["ways"]), one["own"]) for one in found]


def measure_metric(runtime: Runtime, groups: Sequence[Group], on_progress: Progress | None = None) -> Metric:
    """The metric of a model: it reads all messages, four or five a second on two cores for the default model."""
    layer, read = round(DEPTH * runtime.facts.n_layer), []
    for index, group in enumerate(groups):
        read.append(np.array([_residual(runtime, (("user", text),), layer) for text in group.ways]))
        if on_progress:
            on_progress((index + 1) / len(groups), f"Reading what is asked for: {index + 1} of {len(groups)}")
    return fit_metric(read, [group.own for group in groups], layer)


def metric_file(sha256: str) -> Path:
    """Where the metric of a model's file lies, if the project has one."""
    return assets_folder() / "relations" / f"{sha256[:16]}.safetensors"


@functools.lru_cache(maxsize=2)
def known_metric(sha256: str) -> Metric | None:
    """The metric that comes with the project for a model's file; None for a model that it was not measured for."""
    try:
        data = metric_file(sha256).read_bytes()
    except FileNotFoundError:
        return None
    tensors = load(data)
    layer = int(json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])["__metadata__"]["layer"])
    return Metric(layer, *(tensors[name].astype(np.float64) for name in ("mean", "axes", "own", "own_mean")))


Said = tuple[tuple[str, str], ...]
"""(role, text) of the messages of a conversation; the last one is the user's."""


class Relations:
    """Reads what messages ask for. Any thread may ask; what was read is remembered while the program runs.

    metric: of the runtime's model.
    """

    def __init__(self, runtime: Runtime, metric: Metric) -> None:
        self._runtime, self.metric = runtime, metric
        self._known: OrderedDict[Said, Asked] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, message: str, before: Sequence[Message] = ()) -> Asked:
        """What a message asks for. before: the conversation so far, of which the last messages are read, too.

        Raises:
            RuntimeFailure: the model could not read it.
        """
        earlier = [(m["role"], _shown(m["content"])) for m in before if m["role"] != "system"]
        said = (*earlier[len(earlier) - min(len(earlier), BEFORE - 1) :], ("user", _shown(message)))
        found = self._remembered(said)
        return found or self._keep(said, self.metric.asked(_residual(self._runtime, said, self.metric.layer)))

    def known(self, message: str) -> Asked | None:
        """What a message asks for, if it was read before."""
        return self._remembered((("user", _shown(message)),))

    def remember(self, message: str, text: str) -> None:
        """Keep what was read of a message at another time (`Asked.to_text`)."""
        asked = Asked.from_text(text)
        if asked is not None and len(asked.vector) == len(self.metric.axes) and self.known(message) is None:
            self._keep((("user", _shown(message)),), asked)

    def _remembered(self, said: Said) -> Asked | None:
        with self._lock:
            if said in self._known:
                self._known.move_to_end(said)
            return self._known.get(said)

    def _keep(self, said: Said, asked: Asked) -> Asked:
        with self._lock:
            self._known[said] = asked
            while len(self._known) > _KEPT:
                self._known.popitem(last=False)
        return asked


def _shown(text: str) -> str:
    """A message, of a long one its two ends: what is asked for stands there."""
    return text if len(text) <= 2 * SHOWN else f"{text[:SHOWN]} … {text[-SHOWN:]}"


def _residual(runtime: Runtime, said: Said, layer: int) -> np.ndarray:
    """(D,) after a layer, where the model has begun to say what is asked for."""
    begun = runtime.tokenize_answer(SUFFIX)  # its end of turn is predicted, and not read
    return runtime.observe([Script(said, tuple(begun))], layer=layer)[0].residuals[-1]
