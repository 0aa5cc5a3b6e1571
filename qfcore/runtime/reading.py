"""A model that shows what it computes at every token: for the blocks that are added to an exported model."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import llama_cpp as lc
import numpy as np

from qfcore.errors import RuntimeFailure
from qfcore.runtime.ggml import Tensors
from qfcore.runtime.handles import Context, LlamaModel
from qfcore.runtime.prompt import Prompts
from qfcore.runtime.protocol import Message

CONTEXT = 2048
LONGEST = 512
"""Tokens that can be read at once."""

Added = tuple[int, np.ndarray]
"""A position, and the (O,) vector that is added to the tensor there."""


class ReadingModel:
    """One GGUF model in a context of its own. Close it at the end.

    Raises:
        ModelError: the file cannot be opened. RuntimeFailure: not enough memory.
    """

    def __init__(self, path: Path) -> None:
        self._tensors = Tensors()
        self._wanted: frozenset[str] = frozenset()
        self._added: Mapping[str, Sequence[Added]] = {}
        self._seen: dict[str, list[np.ndarray]] = {}
        self._failed: Exception | None = None
        self._callback = lc.ggml_backend_sched_eval_callback(self._on_tensor)
        self.model = LlamaModel(path)
        self._context = Context(self.model, size=CONTEXT, batch=LONGEST, eval_callback=self._callback)
        self.prompts = Prompts(self.model)

    def tokens(self, question: str | Sequence[Message]) -> list[int]:
        """The prompt of a conversation, or of a question in a fresh one."""
        messages = [{"role": "user", "content": question}] if isinstance(question, str) else question
        return list(self.prompts.tokens(messages))

    def read(
        self, tokens: Sequence[int], names: Sequence[str], *, added: Mapping[str, Sequence[Added]] | None = None
    ) -> dict[str, np.ndarray]:
        """(N, O) float32 of each named tensor of the graph for N tokens, which are read alone.

        added: what is added to tensors of the graph before they are used further.

        Raises:
            RuntimeFailure: the tokens do not fit, or the graph has no such tensor.
        """
        if len(tokens) > LONGEST:
            raise RuntimeFailure(f"{len(tokens)} tokens cannot be read at once; {LONGEST} fit.")
        self._context.clear()
        return self._decode(tokens, 0, names, added or {})

    def _decode(
        self, tokens: Sequence[int], begin: int, names: Sequence[str], added: Mapping[str, Sequence[Added]]
    ) -> dict[str, np.ndarray]:
        count = len(tokens)
        self._wanted, self._added, self._seen, self._failed = frozenset(names), added, {}, None
        try:
            self._context.decode(tokens, range(begin, begin + count), [(0,)] * count, [True] * count)
        finally:
            self._wanted, self._added = frozenset(), {}
        if self._failed or self._seen.keys() != set(names):
            raise RuntimeFailure(f"The model's graph does not show what is needed: {self._failed or sorted(names)}.")
        return {name: np.concatenate(parts).reshape(count, -1) for name, parts in self._seen.items()}

    def logits(self, positions: Sequence[int]) -> np.ndarray:
        """(K, V) float32 logits at positions of the tokens that were read last."""
        return np.stack([self._context.logits(position) for position in positions])

    def greedy(
        self, tokens: Sequence[int], most: int, names: Sequence[str] = ()
    ) -> tuple[list[int], dict[str, np.ndarray]]:
        """The most probable continuation, with the end of turn when it is reached; and, as `read` gives them, the named
        tensors for all tokens but the last one, which nobody reads.
        """
        parts = [self.read(tokens, names)]
        said = [int(self._context.logits(len(tokens) - 1).argmax())]
        while len(said) < most and not self.model.is_end(said[-1]):
            parts.append(self._decode([said[-1]], len(tokens) + len(said) - 1, names, {}))
            said.append(int(self._context.logits(0).argmax()))
        return said, {name: np.concatenate([part[name] for part in parts]) for name in names}

    def _on_tensor(self, tensor: int, ask: bool, _data: object) -> bool:
        if not (self._wanted or self._added):
            return not ask
        name = self._tensors.name(tensor).decode("utf-8", "replace")
        needed = name in self._wanted or name in self._added
        if ask:
            return needed
        if needed:
            try:
                self._take(tensor, name)
            except Exception as error:  # noqa: BLE001 - nothing may be raised through llama.cpp
                self._failed = error
        return True

    def _take(self, tensor: int, name: str) -> None:
        values = self._tensors.floats(tensor)
        if name in self._added:
            rows = values.reshape(-1, self.model.n_embd)
            for position, vector in self._added[name]:
                rows[position] += vector
            self._tensors.put(tensor, rows)
        if name in self._wanted:
            self._seen.setdefault(name, []).append(values.copy())

    def close(self) -> None:
        """Free the model."""
        self.prompts.close()
        self._context.close()
        self.model.close()
