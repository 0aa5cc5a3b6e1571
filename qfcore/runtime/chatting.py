"""One answer in the chat context: read the prompt, draw tokens, hand out text."""

import random
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import llama_cpp as lc

from qfcore.errors import TooLong
from qfcore.runtime.handles import Context
from qfcore.runtime.prompt import Prompts
from qfcore.runtime.protocol import AnswerStats, Sampling
from qfcore.runtime.saying import THINKING_SHARE, Said, reusable
from qfcore.runtime.thoughts import ThoughtSplitter

CHUNK = 64
"""Prompt tokens computed at a time. Chunks always begin at multiples of it, so a prompt whose beginning is still in the
cache is computed in the same shapes, and therefore to the same bits, as one read from the start."""
_PENALTY_WINDOW = 64


class ChatSession:
    """Keeps the chat context's tokens, to compute only what is new in a conversation."""

    def __init__(self, context: Context, prompts: Prompts) -> None:
        self._context, self._prompts = context, prompts
        self._cached: list[int] = []

    def forget(self) -> None:
        """Drop the cache (the weights below the last layer changed)."""
        self._context.clear()
        self._cached = []

    def answer(
        self, prompt: Sequence[int], sampling: Sampling, stop: threading.Event, emit: Callable[[Any], None],
        thoughts: ThoughtSplitter | None = None,
    ) -> None:  # fmt: skip
        """Emit text pieces, then AnswerStats.

        thoughts: tells thoughts from the answer; None for an answer that has none.

        Raises:
            TooLong: the prompt does not fit. RuntimeFailure: computing failed.
        """
        room = self._context.size - len(prompt)
        if room < 16:
            raise TooLong(
                f"The conversation has {len(prompt):,} tokens, the context holds {self._context.size:,}. "
                "Start a new chat or shorten the message."
            )
        started = time.perf_counter()
        cached = self._keep_common(prompt)
        made, first, ended = 0, 0.0, False
        longest = min(sampling.max_tokens, room)
        stopped = not self._read(prompt, cached, stop)
        sampler = _Sampler(sampling, self._context.model.n_vocab)
        said = Said(self._prompts, thoughts, emit, int(longest * THINKING_SHARE))
        try:
            while not stopped and made < longest:
                token = said.due(made)
                token = sampler.draw(self._context) if token is None else token
                first = first or time.perf_counter() - started
                if ended := self._context.model.is_end(token):
                    break
                made += 1
                said.push(token)
                stopped = stop.is_set() or not self._compute([token], len(self._cached))
        finally:
            sampler.close()
        said.finish()
        spent = time.perf_counter() - started - first
        emit(
            AnswerStats(
                len(prompt), cached, made, first, made / spent if made and spent > 0 else 0.0,
                stopped, len(self._cached), self._context.size, cut=not stopped and not ended,
                thought_tokens=said.thought_tokens,
            )
        )  # fmt: skip

    def _keep_common(self, prompt: Sequence[int]) -> int:
        common = reusable(self._cached, prompt, CHUNK)
        return self._shorten(common)

    def _read(self, prompt: Sequence[int], start: int, stop: threading.Event) -> bool:
        for begin in range(start, len(prompt), CHUNK):
            if stop.is_set() or not self._compute(prompt[begin : begin + CHUNK], begin):
                return False
        return True

    def _compute(self, tokens: Sequence[int], position: int) -> bool:
        count = len(tokens)
        wanted = [False] * (count - 1) + [True]
        done = self._context.decode(tokens, range(position, position + count), [(0,)] * count, wanted)
        if done:
            self._cached += tokens
        else:
            self._shorten(position)
        return done

    def _shorten(self, length: int) -> int:
        kept = self._context.keep(length)
        del self._cached[kept:]
        return kept


class _Sampler:
    """llama.cpp's own samplers, in the usual order."""

    def __init__(self, sampling: Sampling, n_vocab: int) -> None:
        self._chain = lc.llama_sampler_chain_init(lc.llama_sampler_chain_default_params())
        penalties = sampling.repeat_penalty, sampling.frequency_penalty, sampling.presence_penalty
        if penalties != (1.0, 0.0, 0.0):
            self._add(lc.llama_sampler_init_penalties(n_vocab, _PENALTY_WINDOW, *penalties))
        if sampling.temperature <= 0:
            self._add(lc.llama_sampler_init_greedy())
            return
        if sampling.top_k > 0:
            self._add(lc.llama_sampler_init_top_k(sampling.top_k))
        if sampling.top_p < 1:
            self._add(lc.llama_sampler_init_top_p(sampling.top_p, 1))
        self._add(lc.llama_sampler_init_temp(sampling.temperature))
        seed = random.getrandbits(32) if sampling.seed is None else sampling.seed & 0xFFFFFFFF
        self._add(lc.llama_sampler_init_dist(seed))

    def _add(self, sampler: object) -> None:
        lc.llama_sampler_chain_add(self._chain, sampler)

    def draw(self, context: Context) -> int:
        return lc.llama_sampler_sample(self._chain, context.handle, -1)

    def close(self) -> None:
        lc.llama_sampler_free(self._chain)
