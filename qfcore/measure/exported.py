"""What an exported file says, opened as others open it: by stock llama-cpp-python, with the file's own chat template."""

import math
import time
from collections.abc import Sequence
from pathlib import Path

import llama_cpp
import numpy as np

from qfcore.runtime.protocol import Message, Progress

_CONTEXT, _TEXT = 4096, 512


def _opened(path: Path, **settings: object) -> llama_cpp.Llama:
    """The file in llama-cpp-python's own class, without AMX buffers: some virtual machines offer them in vain."""
    module, original = llama_cpp.llama_cpp, llama_cpp.llama_cpp.llama_model_default_params

    def without_extra_buffers() -> llama_cpp.llama_model_params:
        params = original()
        params.use_extra_bufts = False
        return params

    module.llama_model_default_params = without_extra_buffers
    try:
        return llama_cpp.Llama(str(path), verbose=False, **settings)
    finally:
        module.llama_model_default_params = original


class Consumer:
    """One GGUF file in llama-cpp-python's own class, asked greedily, every conversation from the beginning."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._llama = _opened(path, n_ctx=_CONTEXT)
        self.tokens, self.seconds = 0, 0.0

    def answers(
        self, conversations: Sequence[Sequence[Message]], max_tokens: int, on_progress: Progress | None = None
    ) -> list[str]:
        """The next answer of each conversation."""
        said = []
        for index, messages in enumerate(conversations):
            if on_progress:
                on_progress(index / len(conversations), f"Asked {self._path.name} {index} of {len(conversations)} questions")
            self._llama.reset()
            begun = time.perf_counter()
            made = self._llama.create_chat_completion(
                list(messages), temperature=0.0, max_tokens=max_tokens, repeat_penalty=1.0
            )
            self.seconds += time.perf_counter() - begun
            self.tokens += made["usage"]["completion_tokens"]
            said.append(made["choices"][0]["message"]["content"])
        return said

    @property
    def tokens_per_second(self) -> float:
        """Of all answers so far, the reading of the questions included."""
        return self.tokens / self.seconds if self.seconds else 0.0

    def close(self) -> None:
        """Free the model."""
        self._llama.close()


def perplexity_of(path: Path, texts: Sequence[str]) -> float:
    """Perplexity of a file over texts, each read alone up to 512 tokens; NaN without any."""
    llama = _opened(path, n_ctx=_TEXT, n_batch=_TEXT, logits_all=True)
    try:
        total, count = 0.0, 0
        for text in texts:
            tokens = llama.tokenize(text.encode())[:_TEXT]
            llama.reset()
            llama.eval(tokens)
            rows = llama.scores[: len(tokens) - 1].astype(np.float64)
            peak = rows.max(axis=1)
            whole = peak + np.log(np.exp(rows - peak[:, None]).sum(axis=1))
            total += float((whole - rows[np.arange(len(rows)), tokens[1:]]).sum())
            count += len(rows)
        return math.exp(total / count) if count else math.nan
    finally:
        llama.close()
