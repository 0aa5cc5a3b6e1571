"""One answer in the chat cache of a checkpoint: read the prompt, draw tokens, hand out text."""

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from qfcore.errors import TooLong
from qfcore.runtime.hf.computing import Computer
from qfcore.runtime.prompt import Prompts
from qfcore.runtime.protocol import AnswerStats, Sampling
from qfcore.runtime.saying import THINKING_SHARE, Said, reusable
from qfcore.runtime.thoughts import ThoughtSplitter

CHUNK = 64
"""Prompt tokens computed at a time. Chunks begin at multiples of it, so a prompt whose beginning is in the cache is computed
in the same shapes, and therefore to the same bits, as one read from the start. Stopping waits for one of them at most."""
_PENALTY_WINDOW = 64


class ChatSession:
    """Keeps the keys and values of a conversation, to compute only what is new in it."""

    def __init__(self, computer: Computer, prompts: Prompts, is_end: Callable[[int], bool]) -> None:
        self._computer, self._prompts, self._is_end = computer, prompts, is_end
        self.forget()

    def forget(self) -> None:
        """Drop the cache (the weights below the last layer changed)."""
        self._cache, self._cached = self._computer.new_cache(), []

    def answer(
        self, prompt: Sequence[int], sampling: Sampling, stop: threading.Event, emit: Callable[[Any], None],
        thoughts: ThoughtSplitter | None = None,
    ) -> None:  # fmt: skip
        """Emit text pieces, then AnswerStats.

        thoughts: tells thoughts from the answer; None for an answer that has none.

        Raises:
            TooLong: the prompt does not fit.
        """
        room = self._computer.size - len(prompt)
        if room < 16:
            raise TooLong(
                f"The conversation has {len(prompt):,} tokens, the context holds {self._computer.size:,}. "
                "Start a new chat or shorten the message."
            )
        started = time.perf_counter()
        cached = self._keep_common(prompt)
        made, first, ended = 0, 0.0, False
        longest = min(sampling.max_tokens, room)
        logits, sampler = self._read(prompt, cached, stop), Sampler(sampling)
        said = Said(self._prompts, thoughts, emit, int(longest * THINKING_SHARE))
        while logits is not None and made < longest:
            token = said.due(made)
            token = sampler.draw(logits) if token is None else token
            first = first or time.perf_counter() - started
            if ended := self._is_end(token):
                break
            made += 1
            said.push(token)
            logits = None if stop.is_set() else self._compute([token])
        said.finish()
        spent, stopped = time.perf_counter() - started - first, logits is None
        emit(
            AnswerStats(
                len(prompt), cached, made, first, made / spent if made and spent > 0 else 0.0,
                stopped, len(self._cached), self._computer.size, cut=not stopped and not ended,
                thought_tokens=said.thought_tokens,
            )
        )  # fmt: skip

    def _keep_common(self, prompt: Sequence[int]) -> int:
        common = reusable(self._cached, prompt, CHUNK)
        self._cache.crop(common - len(self._cached))  # a negative number: so many tokens go
        del self._cached[common:]
        return common

    def _read(self, prompt: Sequence[int], start: int, stop: threading.Event) -> np.ndarray | None:
        """Logits after the prompt; None when it was stopped."""
        logits = None
        for begin in range(start, len(prompt), CHUNK):
            if stop.is_set():
                return None
            logits = self._compute(prompt[begin : begin + CHUNK])
        return logits

    def _compute(self, tokens: Sequence[int]) -> np.ndarray:
        begin = len(self._cached)
        positions = torch.arange(begin, begin + len(tokens), device=self._computer.device)[None]
        try:
            logits = self._computer.logits(torch.tensor([list(tokens)]), cache=self._cache, positions=positions)
        except BaseException:
            self.forget()  # some layers may have kept the tokens, others not
            raise
        self._cached += tokens
        return logits[0, -1].cpu().numpy()


class Sampler:
    """Draws tokens in llama.cpp's usual order: penalties, the k best, the nucleus, temperature."""

    def __init__(self, sampling: Sampling) -> None:
        self._sampling = sampling
        self._random = np.random.default_rng(random.getrandbits(32) if sampling.seed is None else sampling.seed & 0xFFFFFFFF)
        self._drawn: list[int] = []

    def draw(self, logits: np.ndarray) -> int:
        """The next token's id; logits: (V,) float32."""
        logits = self._penalized(logits.astype(np.float64))
        token = int(logits.argmax()) if self._sampling.temperature <= 0 else self._at_random(logits)
        self._drawn.append(token)
        return token

    def _penalized(self, logits: np.ndarray) -> np.ndarray:
        s, counts = self._sampling, Counter(self._drawn[-_PENALTY_WINDOW:])
        if counts and (s.repeat_penalty, s.frequency_penalty, s.presence_penalty) != (1.0, 0.0, 0.0):
            seen, often = np.array(list(counts)), np.array(list(counts.values()))
            values = logits[seen]
            values = np.where(values > 0, values / s.repeat_penalty, values * s.repeat_penalty)
            logits[seen] = values - often * s.frequency_penalty - s.presence_penalty
        return logits

    def _at_random(self, logits: np.ndarray) -> int:
        s = self._sampling
        best = np.argsort(-logits, kind="stable")[: s.top_k or None]
        kept = np.exp(logits[best] - logits[best[0]])
        if s.top_p < 1:
            before = np.cumsum(kept) - kept  # mass of the more probable ones
            best = best[: max(1, int((before < s.top_p * kept.sum()).sum()))]
        weights = np.exp((logits[best] - logits[best[0]]) / s.temperature)
        return int(self._random.choice(best, p=weights / weights.sum()))
