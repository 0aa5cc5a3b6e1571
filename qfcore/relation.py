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
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors.numpy import load, save

from qfcore.assets import assets_folder
from qfcore.rows import layer_in
from qfcore.runtime.protocol import Message, Progress, Runtime, Script

SUFFIX = "What you want to know is"
"""Beginning of an answer that is put in the model's mouth: its last token sums up the question, in any language."""
DEPTH = 20 / 28
"""Share of the layers after which the residual is read."""
DIMENSIONS = 128
SHRINK = 0.1
"""Share of its mean variance that is added to a covariance."""
NEARER, OWN_NEARER = 0.3, 0.15
"""By how much a known group must be nearer to a message than a lesson's question is, so that something else is asked for.
The second is for a lesson about the life of who asks."""
SHOWN = 300
"""Characters of a long message's beginning and of its end that are read."""
BEFORE = 3
"""Messages of a conversation that are read where the last one alone asks for nothing taught ("And where is it?")."""
ASKED = 0.4
"""Likeness from which a message that mentions a lesson's subject asks for what the lesson answers."""
FOLLOWS = 0.3
"""`Asked.follows` from which a message may be about what was named in an earlier one."""
OWN, NAMED_OWN = 0.15, 0.5
"""`Asked.own` of a lesson's question from which it is about the life of who asks; the second where it names somebody."""
OWN_ASKED, OWN_MENTIONED = 0.6, 0.5
"""Likeness from which a message asks for such a lesson; the second where it shares words with the lesson's question."""
_KEPT = 4096
_WHOLE = ("mean", "own", "own_mean", "follows", "follows_mean")
"""Of a metric, what is kept in single precision."""


@dataclass(frozen=True)
class Asked:
    """What a message asks for.

    vector: (K,) of length 1. own: above 0 where it is about the life of who asks ("Who am I?"). follows: above 0 where only
    what was said before tells whom it is about ("And where was she born?"). Both in whatever language.
    """

    vector: np.ndarray
    own: float
    follows: float = 0.0

    def like(self, other: "Asked") -> float:
        """Cosine: 1 for the same, near 0 for something else."""
        return float(self.vector @ other.vector)

    def to_text(self) -> str:
        """In half precision, for a store."""
        return base64.b64encode(np.array([self.own, self.follows, *self.vector], np.float16).tobytes()).decode()

    @classmethod
    def from_text(cls, text: str) -> "Asked | None":
        """Back from `to_text`; None for anything else."""
        try:
            numbers = np.frombuffer(base64.b64decode(text, validate=True), np.float16).astype(np.float64)
        except (binascii.Error, ValueError, TypeError):
            return None
        size = np.linalg.norm(numbers[2:])
        if not np.isfinite(numbers).all() or abs(size - 1.0) > 0.1:
            return None
        return cls(numbers[2:] / size, *map(float, numbers[:2]))


@dataclass(frozen=True)
class Metric:
    """Linear discriminants of what is asked for.

    layer: after which the residual is read. mean: (D,). axes: (K, D), of what is asked for. own, own_mean, follows,
    follows_mean: (D,), of the two scores of `Asked`. centres: (G, K) mean directions of the groups that it was made of.
    """

    layer: int
    mean: np.ndarray
    axes: np.ndarray
    own: np.ndarray
    own_mean: np.ndarray
    follows: np.ndarray
    follows_mean: np.ndarray
    centres: np.ndarray

    def asked(self, residual: np.ndarray) -> Asked:
        """What a message's residual (D,) says."""
        placed = self.axes @ (residual - self.mean)
        own, follows = self.own @ (residual - self.own_mean), self.follows @ (residual - self.follows_mean)
        return Asked(placed / np.linalg.norm(placed), float(own), float(follows))

    def tells_apart(self, one: Asked, other: Asked, by: float) -> bool:
        """Whether a group of known messages is nearer to the first, `by` so much, than the other is, and than to that."""
        near = self.centres @ one.vector - by
        return bool(((near > one.like(other)) & (near > self.centres @ other.vector)).any())

    def to_bytes(self) -> bytes:
        """As a safetensors file in half precision; the axes are scaled, which changes no direction."""
        halves = {"axes": self.axes / np.abs(self.axes).max(), "centres": self.centres}
        tensors = {name: value.astype(np.float16) for name, value in halves.items()}
        tensors |= {name: getattr(self, name).astype(np.float32) for name in _WHOLE}
        return save(tensors, metadata={"layer": str(self.layer)})

    @functools.cached_property
    def name(self) -> str:
        """Of this metric: what one reads, another cannot compare."""
        return hashlib.sha256(self.to_bytes()).hexdigest()[:8]


@dataclass(frozen=True)
class Group:
    """Messages that ask for the same thing.

    own: whether about the life of who asks; None where they are mixed. follows: whether only what was said before tells whom
    they are about.
    """

    ways: tuple[str, ...]
    own: bool | None = None
    follows: bool = False


def fit_metric(read: Sequence[np.ndarray], groups: Sequence[Group], layer: int) -> Metric:
    """The metric of groups of messages, of each of which the residuals (N, D) were read.

    A x with A Sw Aᵀ = 1 for the covariance Sw within groups, along the leading eigenvectors of the groups' means (Fisher
    1936, Rao 1948), each times the square root of its eigenvalue: what tells more groups apart counts more. Messages
    that name nobody take no part in it. The two scores are ridge regressions on +1 and -1, both sides weighing the same.
    """
    read = [residuals.astype(np.float64) for residuals in read]
    whole = [residuals for residuals, group in zip(read, groups, strict=True) if not group.follows]
    mean = np.concatenate(whole).mean(axis=0)
    within = np.concatenate([residuals - residuals.mean(axis=0) for residuals in whole])
    covariance = within.T @ within / (len(within) - len(whole))
    covariance += SHRINK * np.trace(covariance) / len(covariance) * np.eye(len(covariance))
    whiten = np.linalg.inv(np.linalg.cholesky(covariance))
    between = np.array([residuals.mean(axis=0) - mean for residuals in whole]) @ whiten.T
    _, spread, axes = np.linalg.svd(between, full_matrices=False)
    axes = spread[:DIMENSIONS, None] * axes[:DIMENSIONS] @ whiten
    centres = np.array([_directions((residuals - mean) @ axes.T).mean(axis=0) for residuals in whole])

    def score(of: Callable[[Group], bool | None]) -> tuple[np.ndarray, np.ndarray]:
        sides = [[r for r, group in zip(read, groups, strict=True) if of(group) is side] for side in (True, False)]
        return _regression(*map(np.concatenate, sides))

    own, follows = score(lambda group: group.own), score(lambda group: group.follows)
    return Metric(layer, mean, axes, *own, *follows, _directions(centres))


def _directions(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def _regression(one: np.ndarray, other: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(D,) along which one side is above 0 and the other below, and the mean (D,) from which that is counted."""
    x = np.concatenate([one, other])
    mean = x.mean(axis=0)
    x = x - mean
    size = np.sqrt((x**2).mean())
    wanted = np.concatenate([np.ones(len(one)), -np.ones(len(other))])
    weights = len(x) / 2 / np.where(wanted > 0, len(one), len(other))
    x = x / size
    system = x.T @ (x * weights[:, None]) + SHRINK * len(x) * np.eye(x.shape[1])
    return np.linalg.solve(system, x.T @ (weights * wanted)) / size, mean


def read_groups(path: Path | None = None) -> list[Group]:
    """The project's messages, sorted by what they ask for."""
    lines = (path or assets_folder() / "relations.jsonl").read_text(encoding="utf-8").splitlines()
    found = [json.loads(line) for line in lines]
    return [Group(tuple(one["ways"]), one["own"], one.get("follows", False)) for one in found]


def measure_metric(runtime: Runtime, groups: Sequence[Group], on_progress: Progress | None = None) -> Metric:
    """The metric of a model: it reads all messages, four or five a second on two cores for the default model."""
    layer, read = round(DEPTH * runtime.facts.n_layer), []
    for index, group in enumerate(groups):
        read.append(np.array([_residual(runtime, (("user", text),), layer) for text in group.ways]))
        if on_progress:
            on_progress((index + 1) / len(groups), f"Reading what is asked for: {index + 1} of {len(groups)}")
    return fit_metric(read, groups, layer)


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
    return Metric(layer_in(data), **{name: tensor.astype(np.float64) for name, tensor in load(data).items()})


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
        said = (*earlier[1 - BEFORE :], ("user", _shown(message)))
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
