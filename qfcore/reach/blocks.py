"""The three blocks that give an exported model its lessons, as standard tensors of a transformer (arXiv 2401.02415: an added
block whose output projections are zero changes nothing).

Reading: the first block's FFN has a detector for every subject, which puts a loud flag and the subject's code on its last
token. Gathering: the second one's attention takes the code of the last flag in the user's turn to the token that ends the
turn, where it disturbs no name, and its FFN takes all flags away again. Memory: the last block's attention lets every token
of the answer read that code; its FFN holds the lessons' changes, behind gates that open at their subject's code only.
Figures: NOTES.md, 2026-11-27.

Loud flags make exact arithmetic: next to them a residual of norm 30 is nothing, so x / rms(x) is a constant, and a ramp
(silu(z) - silu(z - 4)) / 4 gives exactly 0 or 1. What is added to tokens without a flag is 0 in half precision.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from qfcore.gguf_file.expand import Tensors
from qfcore.reach.background import CODE, Background, normed
from qfcore.reach.shape import HEAD, Shape

LOUD, CODE_FLAG, TURN_FLAG = 4096.0, 256.0, 1024.0
"""What flags add to coordinates of the residual: presence and the constant, each number of a code, marks of turns."""
STEP = 4.0
"""Width of a ramp in its argument."""
FIRES, STEEP = 0.6, 40.0
"""Score from which a detector flags, and how steep its ramp is: from 0.6 on it rises, at 0.7 it is whole."""
NEAR = 2.0
"""Nats by which attention prefers a token to the one before it: a turn's beginning hides the flags of earlier turns."""
FLAGGED, TURN = 3000.0, 2998.0
"""Nats of a flag and of a turn's beginning against other tokens; flags up to 1,500 tokens before its end are found."""
SINK = 150.0
"""Nats of the first token, at which attention rests that has nothing to look for. Its value is 0."""
MEMORY, MEMORY_SINK, MEMORY_NEAR = 200.0, 100.0, 0.6
"""The same of the memory's attention: the end of a user's turn (read with 5 % of noise), the first token, a token nearer.
The latest turn is read, up to some 160 tokens into its answer."""
WRITTEN = 120.0
"""Norm of a whole code beside a final residual (of norm 190); half of it arrives. With 40, ordinary answers read as
up to 0.6 of a code; with this as up to 0.2."""
RIDGE = 3.0
"""Of the ordinary answers' covariance where codes are read, as a share of its mean."""
OPENS, WIDTH = 0.45, 0.1
"""Share of the own code at which a gate begins to open, and over which it opens."""
_ERASES = 80.0
_GATHER_PAIR, _MEMORY_PAIR = 36, 39
"""Rotary pairs whose rotation tells distance: slow enough to be monotonous over some thousand tokens."""


@dataclass(frozen=True)
class Places:
    """Coordinates of the low residual that carry flags: a constant, presence, ends and beginnings of turns, the code."""

    constant: int
    presence: int
    end: int
    start: int
    code: np.ndarray

    @classmethod
    def of(cls, background: Background) -> "Places":
        """Those that the background chose."""
        chosen = background.places.astype(int)
        return cls(*(int(place) for place in chosen[:4]), np.sort(chosen[4:]))

    @property
    def marks(self) -> list[int]:
        """All but the code."""
        return [self.constant, self.presence, self.end, self.start]


@dataclass(frozen=True)
class Subject:
    """What the first block knows of a subject.

    detectors: each w (D,) and b of a score w·x + b on a low residual. code: (K,) of ±1. arrived: (K,) what the memory reads
    of it, weaker and turned by the layers between.
    """

    detectors: Sequence[tuple[np.ndarray, float]]
    code: np.ndarray
    arrived: np.ndarray


@dataclass(frozen=True)
class Change:
    """What the memory does at a subject's code: gate (D,), and the change down @ up of an answer's residual.

    up: (R, D), down: (D, R).
    """

    gate: np.ndarray
    up: np.ndarray
    down: np.ndarray

    def scaled(self, strength: float) -> "Change":
        """The change times a number."""
        return Change(self.gate, self.up, self.down * strength)


def empty_block(shape: Shape) -> Tensors:
    """A block that adds nothing."""
    width, kv, inner = shape.width, shape.kv_heads * HEAD, shape.inner
    zero = lambda *size: np.zeros(size, np.float32)  # noqa: E731
    return {
        "attn_norm.weight": np.ones(width, np.float32), "ffn_norm.weight": np.ones(width, np.float32),
        "attn_q.weight": zero(width, width), "attn_q.bias": zero(width),
        "attn_k.weight": zero(kv, width), "attn_k.bias": zero(kv),
        "attn_v.weight": zero(kv, width), "attn_v.bias": zero(kv), "attn_output.weight": zero(width, width),
        "ffn_gate.weight": zero(inner, width), "ffn_up.weight": zero(inner, width), "ffn_down.weight": zero(width, inner),
    }  # fmt: skip


class _Neurons:
    """Fills a block's FFN neuron by neuron."""

    def __init__(self, block: Tensors) -> None:
        self._block, self.count = block, 0

    def add(self, gate: np.ndarray, up: np.ndarray, down: np.ndarray) -> None:
        """Neurons with gates and ups (N, D) or (D,), downs (D, N) or (D,)."""
        gate, up, down = np.atleast_2d(gate), np.atleast_2d(up), down.reshape(down.shape[0], -1)
        place = slice(self.count, self.count + len(up))
        self._block["ffn_gate.weight"][place] = gate
        self._block["ffn_up.weight"][place] = up
        self._block["ffn_down.weight"][:, place] = down
        self.count += len(up)

    def ramp(self, gate: np.ndarray, one: np.ndarray, up: np.ndarray, down: np.ndarray) -> None:
        """Down times up times a ramp that is 0 below gate·x̂ = 0 and 1 from STEP on; one·x̂ = 1 where it matters."""
        self.add(gate, up, down / STEP)
        self.add(gate - STEP * one, up, -down / STEP)


def reading_block(shape: Shape, background: Background, subjects: Sequence[Subject]) -> Tensors:
    """The block that flags subjects, and beginnings and ends of turns. It leaves a constant in the stream for the next."""
    block, at, root = empty_block(shape), Places.of(background), np.sqrt(shape.width)
    block["attn_v.bias"][0], block["attn_output.weight"][at.constant, 0] = 1.0, LOUD
    one, neurons = _axis(shape, at.constant) / root, _Neurons(block)

    def flag(w: np.ndarray, b: float, down: np.ndarray) -> None:
        gate = STEEP * w * (LOUD / root) - 4000.0 * background.is_first
        gate[at.constant] = 0.0
        neurons.ramp(gate + one * STEEP * (b - FIRES), one, one, down)

    for subject in subjects:
        down = _axis(shape, at.presence) * LOUD
        down[at.code] = CODE_FLAG * subject.code
        for w, b in subject.detectors:
            flag(w, b, down)
    for place, token in ((at.end, background.end), (at.start, background.start)):
        flag(*background.detector(token), _axis(shape, place) * TURN_FLAG)
    return block


def gathering_block(shape: Shape, background: Background) -> Tensors:
    """The block that takes codes to the end of the turn, and flags and the constant away."""
    block, at, width = empty_block(shape), Places.of(background), shape.width
    loud = LOUD**2 + HEAD * CODE_FLAG**2 + 32.0**2
    sizes = np.sqrt((LOUD**2 + loud) / width), np.sqrt((LOUD**2 + TURN_FLAG**2 + 36.0**2) / width)  # rms(x) at flags
    presence, turn, code = LOUD / sizes[0], TURN_FLAG / sizes[1], CODE_FLAG / sizes[0]
    first = background.first + _axis(shape, at.constant) * LOUD
    first = first / np.sqrt((first * first).mean())
    sink = background.is_first.copy()
    sink[[*at.marks, *at.code]] = 0.0
    sink /= sink @ first
    q, k, v, out = (block[f"attn_{name}.weight"] for name in ("q", "k", "v", "output"))
    unit, scale = 30.0, np.sqrt(HEAD)
    k[63, at.presence], k[62, at.start], k[61] = unit / presence, unit / turn, sink * unit
    q[63, at.end], q[62, at.end] = (nats * scale / unit / turn for nats in (FLAGGED, TURN))
    block["attn_q.bias"][61] = SINK * scale / unit
    q[_GATHER_PAIR, at.end] = -_distance(shape, _GATHER_PAIR, NEAR, unit) / turn
    block["attn_k.bias"][_GATHER_PAIR + HEAD // 2] = unit
    for j, place in enumerate(at.code):
        v[j, place] = 1.0 / code
        v[j] -= sink * first[place] / code
        v[j, at.start] -= background.start[place] / sizes[1] / code / turn
    out[:, :HEAD] = background.quiet * (CODE / scale)
    per_kv = shape.heads // shape.kv_heads * HEAD
    block["attn_v.bias"][HEAD], out[at.constant, per_kv] = 1.0, -LOUD  # a head of the other keys takes the constant away
    _erase(shape, background, block, at, loud)
    return block


def _erase(shape: Shape, background: Background, block: Tensors, at: Places, loud: float) -> None:
    """Neurons that take the flags away again; the constant is gone already."""
    width, neurons = shape.width, _Neurons(block)
    sizes = np.sqrt(loud / width), np.sqrt((TURN_FLAG**2 + 36.0**2) / width)

    def take(on: np.ndarray, gate: np.ndarray, down: np.ndarray) -> None:
        neurons.ramp(_ERASES * (gate - 0.5 * on - 2.0 * background.constant), on, on, down)

    present = _axis(shape, at.presence) * (sizes[0] / LOUD)
    take(present, present, _axis(shape, at.presence) * -LOUD)
    for place, usual in ((at.end, background.end), (at.start, background.start)):
        on = _axis(shape, place) * (sizes[1] / TURN_FLAG)
        take(on, on, _axis(shape, place) * -(TURN_FLAG - usual[place]))
    for place in at.code:
        for sign in (1.0, -1.0):
            axis = _axis(shape, place) * sign
            take(present, axis * (sizes[0] / CODE_FLAG), axis * -CODE_FLAG)


def memory_block(shape: Shape, background: Background, changes: Sequence[Change]) -> Tensors:
    """The last block: every token reads the code at the end of the user's last turn, which opens the gates of changes."""
    block = empty_block(shape)
    q, k = block["attn_q.bias"], block["attn_k.weight"]
    unit, scale = 10.0, np.sqrt(HEAD)
    k[63], q[63] = background.final_end * unit, MEMORY * scale / unit
    k[61], q[61] = background.final_first * unit, MEMORY_SINK * scale / unit
    q[_MEMORY_PAIR] = -_distance(shape, _MEMORY_PAIR, MEMORY_NEAR, unit)
    block["attn_k.bias"][_MEMORY_PAIR + HEAD // 2] = unit
    k[_MEMORY_PAIR + HEAD // 2] -= background.final_first * unit
    block["attn_v.weight"][:HEAD], block["attn_v.bias"][:HEAD] = background.code, background.code_bias
    block["attn_output.weight"][:, :HEAD] = background.written * (WRITTEN / scale)
    neurons = _Neurons(block)
    for change in changes:
        size = np.sqrt(np.linalg.norm(change.down, axis=0) / np.linalg.norm(change.up, axis=1))
        up, down = change.up * size[:, None], change.down / size
        gates = np.repeat(change.gate[None], len(up), axis=0)
        neurons.add(gates, up, down / STEP)
        neurons.add(gates - STEP * background.final_constant, up, -down / STEP)
    return block


def gate_of(background: Background, direction: np.ndarray, strength: float) -> np.ndarray:
    """(D,) gate of a subject that is read along a direction (D,) as `strength` on average beside its own answers."""
    steep = STEP / WIDTH
    return steep * (direction / strength - OPENS * background.final_constant)


def directions_of(background: Background, subjects: Sequence[Subject]) -> np.ndarray:
    """(S, D) along which each subject is read beside a normed answer: 1 where its own code is added, near 0 at those of the
    others and at ordinary answers. Linear discriminants (Fisher 1936); along itself alone, a code that arrives weakly would
    be drowned by ordinary answers or by the others.
    """
    plain = normed(background.answers)
    size = float(np.sqrt((background.answers**2).mean(axis=1)).mean())
    arrived = np.array([subject.arrived for subject in subjects]).reshape(-1, HEAD)
    added = arrived @ background.written.T * (WRITTEN / np.sqrt(HEAD) / size)
    noise = np.cov(plain.T)
    noise += RIDGE * np.trace(noise) / len(noise) * np.eye(len(noise))
    found = np.linalg.solve(noise + added.T @ added, added.T).T
    found /= (found * added).sum(axis=1, keepdims=True)
    return found - (found @ plain.mean(axis=0))[:, None] * background.final_constant


def opened(background: Background, gate: np.ndarray, x: np.ndarray) -> np.ndarray:
    """(N,) how far a gate is open at normed residuals (N, D): 0 to 1."""
    z, lower = x @ gate, x @ (gate - STEP * background.final_constant)
    return (_silu(z) - _silu(lower)) / STEP


def neurons_of(changes: Sequence[Change]) -> int:
    """Neurons of the memory's FFN that some changes take."""
    return 2 * sum(len(change.up) for change in changes)


def _silu(z: np.ndarray) -> np.ndarray:
    return z / (1.0 + np.exp(-np.clip(z, -60.0, 60.0)))


def _axis(shape: Shape, place: int) -> np.ndarray:
    axis = np.zeros(shape.width)
    axis[place] = 1.0
    return axis


def _distance(shape: Shape, pair: int, nats: float, key: float) -> float:
    """The query that a key of this size needs in a rotary pair for `nats` less per token of distance.

    q = (a, 0) and k = (0, b), rotated by their positions m and n, have the product a b sin((m - n) φ).
    """
    frequency = shape.rope_base ** (-2.0 * pair / HEAD)
    return nats * np.sqrt(HEAD) / frequency / key
