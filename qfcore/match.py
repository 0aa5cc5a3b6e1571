"""Whether a message asks for just what a lesson's question asks for: the model reads both in one context and compares them.

Vectors of messages that are read alone find which lessons could be meant (qfcore/relation.py), but not whose birthday it
is: two names that nobody saw before are alike there. Read together, the model's own attention compares them, and its
residual after a middle layer knows. Two linear probes read it off: the same person or thing, and just the same question.
They are ridge regressions over pairs that helpers (language models) wrote, who saw no rule (assets/matches.jsonl), in closed
form, once per model. In ranking this is a cross-encoder behind a bi-encoder (Nogueira and Cho, arXiv 1901.04085), here
without gradients.
"""

import functools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors.numpy import save

from qfcore.assets import assets_folder
from qfcore.probing import Remembered, balanced_ridge, measured_file, read_measured, state_behind
from qfcore.relation import shown
from qfcore.runtime.protocol import Message, Progress, Runtime

KIND = "matches"
ASKED = "Question A: {question}\nQuestion B: {message}\nAre A and B about the same person or thing?"
BEGUN = "Answer:"
"""Beginning of an answer that is put in the model's mouth: its last token has compared the two."""
DEPTH = 18 / 28
"""Share of the layers after which the residual is read."""
RIDGE = 1.0
"""ε as a share of the residuals' mean square."""
BEFORE = 3
"""Messages of a conversation that are read where the last one goes on from what came before."""
SCORES = ("subject", "both")


@dataclass(frozen=True)
class Match:
    """How a message compares with a question: -1 for no, 1 for yes, about.

    subject: about the same person or thing. both: and asks for the same of it.
    """

    subject: float
    both: float


@dataclass(frozen=True)
class Probes:
    """The linear probes of a model.

    layer: after which the residual is read. weights, means: (2, D), in the order of SCORES.
    """

    layer: int
    weights: np.ndarray
    means: np.ndarray

    def match(self, residual: np.ndarray) -> Match:
        """What the residual (D,) of a comparison says."""
        return Match(*map(float, ((residual - self.means) * self.weights).sum(axis=1)))

    def to_bytes(self) -> bytes:
        """As a safetensors file."""
        tensors = {name: getattr(self, name).astype(np.float32) for name in ("weights", "means")}
        return save(tensors, metadata={"layer": str(self.layer)})


@dataclass(frozen=True)
class Pair:
    """A known question, a message, and for each of SCORES whether it holds; None where it cannot be said."""

    question: str
    message: str
    holds: tuple[bool | None, bool]


_HOLDS: Mapping[str, tuple[bool | None, bool]] = {
    "same": (True, True), "other": (True, False), "near": (False, False), "mention": (None, False),
}  # fmt: skip


def read_pairs() -> list[Pair]:
    """The project's pairs; with them the question itself, as it stands and as it is typed in haste, and
    messages of two of them, which ask for two things.
    """
    lines = (assets_folder() / "matches.jsonl").read_text(encoding="utf-8").splitlines()
    items, found = [json.loads(line) for line in lines], []
    for one, other in zip(items[::2], items[1::2], strict=False):
        both, half = f"{one['same'][0]} {other['same'][1]}", f"{one['other'][0]} {other['same'][0]}"
        found += [Pair(item["q"], both, (True, True)) for item in (one, other)]
        found += [Pair(one["q"], half, (True, False)), Pair(other["q"], half, (True, True))]
    for item in items:
        found += [Pair(item["q"], text, (True, True)) for text in (item["q"], item["q"].lower().rstrip("?？؟ "))]
        found += [Pair(item["q"], text, holds) for kind, holds in _HOLDS.items() for text in item[kind]]
        goes_on, changes = ("\n".join(said) for said in item["follow"])
        found += [Pair(item["q"], goes_on, (True, True)), Pair(item["q"], changes, (None, False))]
    return found


def fit_probes(residuals: np.ndarray, pairs: Sequence[Pair], layer: int) -> Probes:
    """The probes from the residuals (N, D) of pairs: a ridge regression each, both sides weighing the same."""
    fitted = []
    for n in range(len(SCORES)):
        sides = [[r for r, pair in zip(residuals, pairs, strict=True) if pair.holds[n] is side] for side in (True, False)]
        fitted.append(balanced_ridge(*map(np.array, sides), RIDGE))
    weights, means = zip(*fitted, strict=True)
    return Probes(layer, np.array(weights), np.array(means))


def measure_probes(runtime: Runtime, pairs: Sequence[Pair], on_progress: Progress | None = None) -> Probes:
    """The probes of a model: it compares all pairs, about three a second on two cores for the default model."""
    layer, read = round(DEPTH * runtime.facts.n_layer), []
    for index, pair in enumerate(pairs):
        read.append(_compared(runtime, pair.question, pair.message, layer))
        if on_progress:
            on_progress((index + 1) / len(pairs), f"Comparing questions: {index + 1} of {len(pairs)}")
    return fit_probes(np.array(read), pairs, layer)


def probes_file(sha256: str) -> Path:
    """Where the probes of a model's file lie, if the project has them."""
    return measured_file(KIND, sha256)


@functools.lru_cache(maxsize=2)
def known_probes(sha256: str) -> Probes | None:
    """The probes that come with the project for a model's file; None for a model that they were not measured for."""
    found = read_measured(KIND, sha256)
    return found and Probes(found[0], **found[1])


def recent(before: Sequence[Message]) -> list[Message]:
    """The messages before the last one that are read with it."""
    return [message for message in before if message["role"] != "system"][1 - BEFORE :]


class Matches:
    """Compares messages with questions. Any thread may ask; what was compared is remembered while the program runs."""

    def __init__(self, runtime: Runtime, probes: Probes) -> None:
        self._runtime, self._probes = runtime, probes
        self._known: Remembered[tuple[str, str], Match] = Remembered()

    def of(self, question: str, message: str, before: Sequence[Message] = ()) -> Match:
        """How a message compares with a lesson's question. before: the conversation so far, whose end is read, too.

        Raises:
            RuntimeFailure: the model could not read it.
        """
        asked = question, "\n".join([*(shown(m["content"]) for m in recent(before)), shown(message)])
        found = self._known.get(asked)
        return found or self._known.keep(asked, self._probes.match(_compared(self._runtime, *asked, self._probes.layer)))


def _compared(runtime: Runtime, question: str, message: str, layer: int) -> np.ndarray:
    """(D,) where the model has begun to say whether they are about the same."""
    return state_behind(runtime, ASKED.format(question=question, message=message), BEGUN, layer)
