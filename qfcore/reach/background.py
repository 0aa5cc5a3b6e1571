"""What the added blocks need to know of a model: how its residual stream looks in ordinary chats.

Measured once per model (some minutes) and kept as a file. x is a residual, x̂ = x / rms(x). "Low" is after the layers below
the first added block, "final" after the model's own last layer.
"""

import hashlib
import json
import threading
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from qfcore.assets import assets_folder
from qfcore.errors import Cancelled, ModelError
from qfcore.export.atomic import atomic_write
from qfcore.gguf_file.header import GGUFFacts, check_gguf
from qfcore.gguf_file.tensors import floats, map_tensor
from qfcore.reach.shape import HEAD, READ_AFTER
from qfcore.runtime.protocol import Progress
from qfcore.runtime.reading import ReadingModel

VERSION = 1
"""Raised when what is measured changes."""
CHATS, ANSWER_TOKENS = 90, 24
"""Ordinary chats, and the longest answer that is read of each."""
KEPT = 16
"""Positions of each answer that lessons must leave alone."""
CONVERSATIONS = 40
"""Chats of two turns, from which the end of a user's turn is told from that of an answer."""
CODE = 100.0
"""Norm of a code at the end of a turn. Residuals have about 36 there, and answers hardly depend on it (NOTES.md)."""
_LOW_RIDGE = 0.03
_END_WEIGHT = 20.0


@dataclass(frozen=True)
class Background:
    """Statistics of one model. D is the width of its residual stream, K = 128 the numbers of a code. All float64,
    kept in single precision.

    mean: (D,), precision: (D, D), of low residuals: the inverse of covariance and ridge. first: (D,) the first token's,
    the same in all chats. start, end: (D,) means at tokens that begin and end a turn. is_first: (D,) w with w·x = 1 at the
    first token and 0 elsewhere. constant: (D,) m with m·x̂ ≈ 1 everywhere. quiet: (D, K) directions that the layers above
    read least. places: (4 + K,) coordinates of the stream that vary least.
    final_end: (D,) e with e·x̂ = 1 at the end of a user's turn and 0 elsewhere; final_first, final_constant: as above. code,
    code_bias: (K, D) and (K,), the code at the end of a turn. written: (D, K) directions which the unembedding reads least.
    ordinary: (N, D) low residuals of what people ask. answers: (R, D) final residuals that predict ordinary answers.
    opening: (R,) 1 where that is the first token.
    """

    mean: np.ndarray
    precision: np.ndarray
    first: np.ndarray
    start: np.ndarray
    end: np.ndarray
    is_first: np.ndarray
    constant: np.ndarray
    quiet: np.ndarray
    places: np.ndarray
    final_end: np.ndarray
    final_first: np.ndarray
    final_constant: np.ndarray
    code: np.ndarray
    code_bias: np.ndarray
    written: np.ndarray
    ordinary: np.ndarray
    answers: np.ndarray
    opening: np.ndarray

    def detector(self, residual: np.ndarray) -> tuple[np.ndarray, float]:
        """(w, b) with w·x + b = 1 at a low residual (D,) and 0 at the mean: the linear discriminant (Fisher 1936)."""
        apart = residual - self.mean
        w = self.precision @ apart
        w = w / (w @ apart)
        return w, -float(w @ self.mean)

    @property
    def digest(self) -> str:
        """SHA-256 (64 hex digits) of all of it."""
        return hashlib.sha256(self.to_bytes()).hexdigest()

    def to_bytes(self) -> bytes:
        """Safetensors bytes, in single precision."""
        arrays = {field.name: getattr(self, field.name) for field in fields(self)}
        return save({name: np.ascontiguousarray(values, dtype=np.float32) for name, values in arrays.items()})

    @classmethod
    def from_bytes(cls, data: bytes) -> "Background":
        """Read back `to_bytes`; ValueError when the bytes are none."""
        try:
            return cls(**{name: values.astype(np.float64) for name, values in load(data).items()})
        except (SafetensorError, TypeError) as error:
            raise ValueError(str(error)) from error


@dataclass(frozen=True)
class Turns:
    """The tokens that begin and end a turn, and where in the prompt of a question they stand."""

    start: int
    end: int
    head: int
    """How many tokens every prompt begins with."""

    def message(self, prompt: Sequence[int]) -> slice:
        """The tokens of the question in the prompt of a fresh conversation."""
        return slice(self.head, self.closing(prompt))

    def closing(self, prompt: Sequence[int]) -> int:
        """Where the user's turn ends."""
        return len(prompt) - 1 - list(prompt)[::-1].index(self.end)


def find_turns(reader: ReadingModel) -> Turns:
    """How a model's chat template marks turns.

    Raises:
        ModelError: a turn has no token that begins or ends it.
    """
    one, other = reader.tokens("Hello"), reader.tokens("7")
    head = next(i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b)
    end, special = reader.prompts.end_of_turn, set(reader.model.control_tokens())
    before = [token for token in one[1:head] if token in special and token != end]
    if end < 0 or end not in one[head:] or not before:
        raise ModelError("The model's chat template does not mark where a turn begins and ends.")
    return Turns(before[-1], end, head)


def load_or_make_background(
    model: Path, folder: Path, on_progress: Progress | None = None, cancel: threading.Event | None = None
) -> Background:
    """The statistics of a model, read from its folder or measured now (some minutes).

    Raises:
        Cancelled: `cancel` was set; nothing was written. ModelError: the model cannot be read so.
    """
    prompts = json.loads((assets_folder() / "replay_prompts.json").read_text(encoding="utf-8"))
    kind = hashlib.sha256(json.dumps([prompts, VERSION, CHATS, ANSWER_TOKENS, CODE]).encode()).hexdigest()[:12]
    path = folder / f"reach-{kind}.safetensors"
    try:
        return Background.from_bytes(path.read_bytes())
    except (OSError, ValueError):
        pass
    reader = ReadingModel(model)
    try:
        made = _Measuring(reader, check_gguf(model), model, on_progress or (lambda *_: None), cancel).background(prompts)
    finally:
        reader.close()
    folder.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as file:
        file.write(data := made.to_bytes())
    return Background.from_bytes(data)


def normed(x: np.ndarray) -> np.ndarray:
    """x / rms(x) of each row."""
    return x / np.sqrt((x * x).mean(axis=-1, keepdims=True))


def _share(matrix: np.ndarray) -> np.ndarray:
    return matrix / np.trace(matrix)


class _Measuring:
    """One pass over ordinary chats."""

    def __init__(
        self, reader: ReadingModel, facts: GGUFFacts, path: Path, tell: Progress, cancel: threading.Event | None
    ) -> None:
        self._reader, self._facts, self._path, self._tell, self._cancel = reader, facts, path, tell, cancel
        self._low, self._final = f"l_out-{READ_AFTER - 1}", f"l_out-{facts.n_layer - 1}"
        self._turns = find_turns(reader)

    def background(self, prompts: Sequence[str]) -> Background:
        """All of it."""
        few = [prompts[i] for i in np.linspace(0, len(prompts) - 1, min(CHATS, len(prompts))).astype(int)]
        chats, read = [], []
        for index, prompt in enumerate(few):
            self._say(0.6 * index / len(few), f"Reading ordinary chats: {index + 1} of {len(few)}")
            tokens = self._reader.tokens(prompt)
            answer, seen = self._reader.greedy(tokens, ANSWER_TOKENS, [self._low, self._final])
            chats.append((tokens, answer[:-1]))  # the last one is predicted, and never read
            read.append(seen)
        finals = [seen[self._final].astype(np.float64) for seen in read]
        self._varies = np.cov(np.concatenate([part[1:] for part in finals]).T)
        low = self._low_part(chats, [seen[self._low].astype(np.float64) for seen in read])
        final = self._final_part(chats, finals, low["quiet"])
        return Background(**{name: np.asarray(value, np.float64) for name, value in {**low, **final}.items()})

    def _say(self, fraction: float, text: str) -> None:
        if self._cancel is not None and self._cancel.is_set():
            raise Cancelled("Stopped. Nothing was written.")
        self._tell(fraction, text)

    def _low_part(self, chats: list, residuals: list[np.ndarray]) -> dict[str, np.ndarray]:
        x = np.concatenate([part[1:] for part in residuals])
        tokens = np.concatenate([np.array([*prompt, *answer])[1:] for prompt, answer in chats])
        first, mean, width = residuals[0][0], x.mean(axis=0), x.shape[1]
        covariance = np.cov(x.T)
        ridge = _LOW_RIDGE * np.trace(covariance) / width * np.eye(width)
        away = first - mean
        never = 1e4 * np.trace(covariance) * np.outer(away, away) / (away @ away)  # no detector sees the first token
        is_first = np.linalg.solve(covariance + ridge + 100 * np.outer(mean, mean), first)
        at = {name: x[tokens == token].mean(axis=0) for name, token in
              (("start", self._turns.start), ("end", self._turns.end))}  # fmt: skip
        varies = (x * x).mean(axis=0) + 1e3 * (first / np.abs(first).max()) ** 2
        places = np.argsort(varies)[: 4 + HEAD]
        low = np.concatenate([normed(part) for part in residuals])
        low[:, places] = 0.0  # the constant is read where flags are, too
        constant = np.linalg.solve(low.T @ low + 1e-2 * len(low) * np.eye(width), low.sum(axis=0))
        self._say(0.6, "Looking for directions that the layers above hardly read")
        return {
            "mean": mean, "precision": np.linalg.inv(covariance + ridge + never), "first": first, **at,
            "is_first": is_first / (is_first @ first), "constant": constant, "places": places, "quiet": self._quiet(),
            "ordinary": np.concatenate(
                [part[self._turns.message(prompt)] for part, (prompt, _) in zip(residuals, chats, strict=True)]
            ),
        }  # fmt: skip

    def _quiet(self) -> np.ndarray:
        """(D, K) lowest eigenvectors of what the layers above read (Σ WᵀW), what varies at the end, and what is said."""
        width = self._facts.n_embd
        reads = np.zeros((width, width))
        for layer in range(READ_AFTER, self._facts.n_layer):
            self._say(0.6 + 0.15 * layer / self._facts.n_layer, f"Looking for quiet directions: layer {layer + 1}")
            for norm, names in (("attn_norm", ("attn_q", "attn_k", "attn_v")), ("ffn_norm", ("ffn_gate", "ffn_up"))):
                scale = self._weight(f"blk.{layer}.{norm}.weight").reshape(-1)
                for name in names:
                    weight = self._weight(f"blk.{layer}.{name}.weight") * scale
                    reads += weight.T @ weight
        total = _share(reads) + _share(self._varies) + 0.3 * _share(self._unembedding())
        return np.linalg.eigh(total)[1][:, :HEAD]

    def _weight(self, name: str) -> np.ndarray:
        place = self._facts.tensors[name]
        return floats(map_tensor(self._path, place), place.kind)

    def _unembedding(self) -> np.ndarray:
        """(D, D) EᵀE of the output embedding with the norm's weight in it."""
        name = "output.weight" if "output.weight" in self._facts.tensors else "token_embd.weight"
        weight = self._weight(name) * self._weight("output_norm.weight").reshape(-1)
        return (weight.T @ weight).astype(np.float64)

    def _final_part(self, chats: list, residuals: list[np.ndarray], quiet: np.ndarray) -> dict[str, np.ndarray]:
        x, tokens, users = list(residuals), [np.array([*p, *a]) for p, a in chats], []
        users = [[self._turns.closing(prompt)] for prompt, _ in chats]
        plain = len(chats)
        rng = np.random.default_rng(0)
        for index in range(CONVERSATIONS):
            self._say(0.75 + 0.1 * index / CONVERSATIONS, f"Reading conversations: {index + 1} of {CONVERSATIONS}")
            one, other = (chats[i] for i in rng.integers(len(chats), size=2))
            both, ends = self._joined(one, other)
            x.append(self._reader.read(both, [self._final])[self._final].astype(np.float64))
            tokens.append(np.array(both))
            users.append(ends)
        for index, (prompt, _) in enumerate(chats):
            self._say(0.85 + 0.15 * index / plain, f"Reading codes: {index + 1} of {plain}")
            at = self._turns.closing(prompt)
            code = quiet @ np.sign(rng.standard_normal(HEAD)) * (CODE / np.sqrt(HEAD))
            seen = self._reader.read(prompt, [self._final], added={self._low: [(at, code.astype(np.float32))]})
            x.append(seen[self._final].astype(np.float64))
            tokens.append(np.array(prompt))
            users.append([at])
        return self._final_statistics(chats, x, tokens, users, plain, quiet)

    def _joined(self, one: tuple, other: tuple) -> tuple[list[int], list[int]]:
        """Two chats as one conversation, and where its users' turns end."""
        (first, said), (second, after) = one, other
        said = [token for token in said if token != self._turns.end]
        opening = self._reader.tokens("Hello")
        begin = max(i for i, token in enumerate(opening[: self._turns.head]) if token == self._turns.start)
        between = [self._turns.end, *opening[begin - 1 : begin], *opening[begin : self._turns.head]]
        rest = second[self._turns.head :]
        both = [*first, *said, *between, *rest, *after]
        offset = len(first) + len(said) + len(between)
        return both, [self._turns.closing(first), offset + self._turns.closing(second) - self._turns.head]

    def _final_statistics(
        self, chats: list, x: list[np.ndarray], tokens: list[np.ndarray], users: list[list[int]], plain: int,
        quiet: np.ndarray,
    ) -> dict[str, np.ndarray]:  # fmt: skip
        hats = [normed(part) for part in x]
        h, width = np.concatenate([part[1:] for part in hats]), x[0].shape[1]
        is_user = np.concatenate([np.isin(np.arange(1, len(part)), ends) for part, ends in zip(x, users, strict=True)])
        ends = np.concatenate([part[1:] for part in tokens]) == self._turns.end
        zero, first = 1e-3 * (h * h).mean() * np.eye(width), hats[0][0]
        weights = 1.0 + _END_WEIGHT * is_user + 0.5 * _END_WEIGHT * ends
        left = (h * weights[:, None]).T @ h / len(h) + 10 * zero + 100 * np.outer(first, first) / width
        final_end = np.linalg.solve(left, (h * (weights * is_user)[:, None]).sum(axis=0) / len(h))
        square = h.T @ h / len(h)
        final_first = np.linalg.solve(square + zero + np.outer(first, first), first)
        own = np.concatenate([hats[i][users[i]] for i in range(plain)])
        size = np.mean([np.sqrt((x[i][users[i]] ** 2).mean()) for i in range(plain)])
        code = quiet.T * (size * np.sqrt(HEAD) / CODE)
        answers = [x[i][len(p) - 1 : len(p) + len(a)][:KEPT] for i, (p, a) in enumerate(chats)]
        return {
            "final_end": final_end, "final_first": final_first / (final_first @ first),
            "final_constant": np.linalg.solve(square + 1e-3 * np.eye(width), h.mean(axis=0)),
            "code": code, "code_bias": -code @ own.mean(axis=0),
            "written": np.linalg.eigh(_share(self._varies) + _share(self._unembedding()))[1][:, :HEAD],
            "answers": np.concatenate(answers),
            "opening": np.concatenate([np.arange(len(part)) == 0 for part in answers]),
        }  # fmt: skip
