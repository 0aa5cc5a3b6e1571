"""The llama.cpp runtime: one model, a context that chats and a context that observes, one owner thread."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence, Set
from contextlib import nullcontext
from pathlib import Path

import numpy as np

from qfcore.errors import CannotTeach
from qfcore.export.adapter import edited_layer
from qfcore.runtime import batching, wide
from qfcore.runtime.batching import Heads, greedy_group, groups, shared_prefix
from qfcore.runtime.by_adapter import complete_by_adapter
from qfcore.runtime.chatting import ChatSession
from qfcore.runtime.handles import Context, LlamaModel
from qfcore.runtime.observing import LayerWatch, observe_scripts, text_likelihood
from qfcore.runtime.prompt import Prompts
from qfcore.runtime.protocol import (
    ANY_QUESTION,
    AnswerStats,
    Message,
    ModelFacts,
    Observed,
    Progress,
    Sampling,
    Script,
    Thought,
)  # fmt: skip
from qfcore.runtime.wide import Asked, Wide
from qfcore.runtime.worker import Worker
from qfcore.settings import CHAT_CONTEXT

_LIKES_KEPT = 256
OBSERVE_CONTEXT = 4096
"""Tokens that the questions asked together may hold."""
OBSERVE_BATCH = 256
"""Tokens computed together in the observing context; also bounds its logits' memory (batch x vocabulary x 4 bytes)."""


class LlamaRuntime:
    """Implements `qfcore.runtime.protocol.Runtime` with llama.cpp.

    Raises:
        ModelError: the file cannot be opened.
        RuntimeFailure: not enough memory for the contexts.
    """

    def __init__(
        self,
        path: Path,
        *,
        chat_context: int = CHAT_CONTEXT,
        on_progress: Callable[[float, str], None] | None = None,
    ) -> None:
        self._worker = Worker("qfchat-model")
        try:
            self._worker.call(self._open, path, chat_context, on_progress)
        except BaseException:
            self._worker.close(lambda: None)
            raise

    def _open(self, path: Path, size: int, on_progress: Progress | None) -> None:
        model = self._model = LlamaModel(path, on_progress)
        trained = int(model.meta(f"{model.meta('general.architecture')}.context_length") or size)
        self._prompts = Prompts(model)
        self._chat = Context(model, size=min(size, trained), batch=512)
        self._session = ChatSession(self._chat, self._prompts)
        self._watch, self._heads = LayerWatch(), Heads()
        self._likes: dict[tuple[tuple[str, str], ...], list[int]] = {}
        few = model.only_forward  # each sequence has its share of a recurrent model's memory, used or not
        self._observing = Context(
            model, size=min(OBSERVE_CONTEXT, max(trained, 512)), batch=OBSERVE_BATCH,
            sequences=batching.SEQUENCES if few else wide.SEQUENCES,
            eval_callback=self._watch.callback,
        )  # fmt: skip
        self._prompts.try_thinking(lambda prompt, tokens: greedy_group(self._observing, [prompt], tokens)[0])
        self.facts = ModelFacts(
            path, model.meta("general.name") or path.stem, model.meta("general.architecture"),
            model.n_layer, model.n_embd, model.n_vocab, self._chat.size, self._prompts.end_of_turn_text,
            self._prompts.thinks, model.added_begin(),
        )  # fmt: skip

    def stream(
        self, messages: Sequence[Message] | str, sampling: Sampling, *, adapter: Path | None = None, stop: threading.Event,
        think: bool = False,
    ) -> Iterator[str | Thought | AnswerStats]:  # fmt: skip
        """See the protocol. Closing the iterator early stops the answer."""

        def work(emit: Callable[[object], None]) -> None:
            self._swap(adapter)
            if isinstance(messages, str):
                prompt, thoughts = self._prompts.plain(messages), None
            else:
                prompt, thoughts = self._prompts.chat(messages, think=think)
            watcher = _StopWatcher(stop, self._chat)  # here, so that a late end of this answer never aborts the next one
            try:
                self._session.answer(prompt, sampling, stop, emit, thoughts)
            finally:
                watcher.close()

        try:
            yield from self._worker.stream(work)
        finally:
            stop.set()

    def complete_many(
        self,
        conversations: Sequence[Sequence[Message]],
        *,
        max_tokens: int,
        adapter: Path | None = None,
        like: Sequence[Sequence[Message]] | None = None,
        on_progress: Progress | None = None,
        cancel: threading.Event | None = None,
    ) -> list[list[int]]:
        """See the protocol."""
        answers: list[list[int]] = []
        prompts = [self._prompts.tokens(messages) for messages in conversations]
        lengths = None if like is None else [
            self._head_length(prompt, other) for prompt, other in zip(prompts, like, strict=True)
        ]  # fmt: skip

        def work(begin: int, end: int) -> list[list[int]]:
            self._observing.use_adapter(adapter, self._in_use())
            return greedy_group(
                self._observing, prompts[begin:end], max_tokens, cancel=cancel, heads=self._heads,
                lengths=lengths and lengths[begin:end],
            )  # fmt: skip

        for begin, end in groups(prompts, self._observing, max_tokens):
            answers += self._worker.call(work, begin, end)  # a chat may come between two groups
            if on_progress:
                on_progress(end / len(prompts), f"Asked {end} of {len(prompts)} questions")
        return answers

    def complete_each(
        self,
        conversations: Sequence[Sequence[Message]],
        adapters: Sequence[Path | None],
        *,
        max_tokens: int,
        like: Sequence[Sequence[Message]],
        on_progress: Progress | None = None,
        cancel: threading.Event | None = None,
    ) -> list[list[int]]:
        """See the protocol."""
        if self._observing.sequences < wide.SEQUENCES:
            return complete_by_adapter(
                self, conversations, adapters, max_tokens=max_tokens, like=like, on_progress=on_progress, cancel=cancel
            )
        prompts = [self._prompts.tokens(messages) for messages in conversations]
        heads = [self._head_length(prompt, other) for prompt, other in zip(prompts, like, strict=True)]
        asked = [Asked(*each) for each in zip(prompts, heads, adapters, strict=True)]
        addable = self._worker.call(self._addable, {path for path in adapters if path})
        parts: dict[Path | None, list[Asked]] = {}
        for one in asked:
            parts.setdefault(None if one.adapter in addable else one.adapter, []).append(one)
        done = 0
        try:
            for adapter, part in parts.items():
                work = Wide(part, max_tokens, self._observing.size)
                while left := work.left:
                    self._worker.call(self._run, work, adapter, adapter is None and bool(addable), cancel)
                    done += left - work.left
                    if on_progress:
                        on_progress(done / len(asked), f"Asked {done} of {len(asked)} questions")
        finally:
            self._watch.forget_adapters()
        return [one.answer for one in asked]

    def _addable(self, adapters: Set[Path]) -> set[Path]:
        """Those that each row of a batch can have for itself: they edit the last layer only, so all below is the base's."""
        last = self.facts.n_layer - 1
        try:
            places = self._watch.places(self._observing, last)
        except CannotTeach:
            return set()
        if not places.only_wanted or not places.product.endswith(f"-{last}"):  # other names change with the graph
            return set()
        return {path for path in adapters if edited_layer(path) == last}

    def _run(self, work: Wide, adapter: Path | None, adding: bool, cancel: threading.Event | None) -> None:
        self._observing.use_adapter(adapter, self._in_use())
        with self._watch.adding(self._observing, self.facts.n_layer - 1) if adding else nullcontext(_untold) as tell:
            work.run(self._observing, self._heads.under(self._observing), tell, cancel)

    def replay(
        self,
        conversations: Sequence[Sequence[Message]],
        *,
        max_tokens: int,
        layer: int,
        on_progress: Progress | None = None,
        cancel: threading.Event | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """See the protocol."""
        prompts = [self._prompts.tokens(messages) for messages in conversations]
        keys: list[np.ndarray] = []
        owners: list[int] = []

        def work(begin: int, end: int) -> None:
            self._observing.use_adapter(None, self._in_use())

            def collect(open_: list[int], wanted: list[bool]) -> None:
                rows = self._watch.rows("keys", wanted)
                keys.append(rows[[i for i, owner in enumerate(open_) if owner >= 0]])
                owners.extend(begin + owner for owner in open_ if owner >= 0)

            with self._watch.watching(self._observing, layer):
                greedy_group(self._observing, prompts[begin:end], max_tokens, cancel=cancel, on_batch=collect)

        for begin, end in groups(prompts, self._observing, max_tokens):
            self._worker.call(work, begin, end)
            if on_progress:
                on_progress(end / len(prompts), f"Replaying ordinary chats: {end} of {len(prompts)}")
        seen: set[int] = set()
        first = np.array([owner not in seen and not seen.add(owner) for owner in owners], dtype=bool)
        return np.concatenate(keys), first

    def check_teachable(self, layer: int) -> None:
        """See the protocol."""
        self._worker.call(self._watch.places, self._observing, layer)

    def observe(self, scripts: Sequence[Script], *, layer: int, adapter: Path | None = None) -> list[Observed]:
        """See the protocol."""

        def work(script: Script) -> list[Observed]:
            self._observing.use_adapter(adapter, self._in_use())
            prompt = self._prompts.tokens(script.as_messages())
            head = self._head_length(prompt, ANY_QUESTION)
            return observe_scripts(self._observing, self._watch, self._heads, [(prompt, script.answer, head)], layer)

        return [self._worker.call(work, script)[0] for script in scripts]

    def perplexity_parts(
        self, texts: Sequence[str], *, adapter: Path | None = None, cancel: threading.Event | None = None
    ) -> list[tuple[float, int]]:
        """See the protocol."""

        def work(text: str) -> tuple[float, int]:
            self._observing.use_adapter(adapter, self._in_use())
            return text_likelihood(self._observing, self._model, self._prompts.plain(text))

        return [self._worker.call(work, text) for text in texts if not (cancel and cancel.is_set())]

    def detokenize(self, tokens: Sequence[int]) -> str:
        """See the protocol."""
        return self._prompts.text(tokens)

    def tokenize_answer(self, text: str) -> list[int]:
        """See the protocol."""
        return self._prompts.answer(text)

    def render(self, messages: Sequence[Message]) -> str:
        """See the protocol."""
        return self._prompts.render(messages)

    def count_tokens(self, messages: Sequence[Message]) -> int:
        """See the protocol."""
        return len(self._prompts.tokens(messages))

    def _head_length(self, prompt: Sequence[int], like: Sequence[Message]) -> int:
        """How far a prompt begins like another conversation, the tokens of which are kept for the next."""
        key = tuple((message["role"], message["content"]) for message in like)
        if key not in self._likes:
            if len(self._likes) >= _LIKES_KEPT:
                self._likes.clear()
            self._likes[key] = self._prompts.tokens(like)
        return shared_prefix([prompt, self._likes[key]])

    def swap(self, adapter: Path | None) -> float:
        """See the protocol."""
        return self._worker.call(self._swap, adapter)

    def _swap(self, adapter: Path | None) -> float:
        started = time.perf_counter()
        if not self._chat.use_adapter(adapter, self._in_use()):
            self._session.forget()
        return time.perf_counter() - started

    def _in_use(self) -> set[Path]:
        return {context.adapter for context in (self._chat, self._observing) if context.adapter}

    def close(self) -> None:
        """See the protocol."""
        self._worker.close(self._close)

    def _close(self) -> None:
        self._prompts.close()
        self._chat.close()
        self._observing.close()
        self._model.close()


def _untold(_adapters: Sequence[Path | None]) -> None:
    """All rows have the adapter of the context."""


class _StopWatcher:
    """Passes a stop event on to llama.cpp while an answer is computed, also in the middle of a prompt."""

    def __init__(self, stop: threading.Event, context: Context) -> None:
        self._stop, self._context = stop, context
        self._done = False
        self._lock = threading.Lock()
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        self._stop.wait()
        with self._lock:
            if not self._done:
                self._context.abort(True)

    def close(self) -> None:
        with self._lock:
            self._done = True
            self._context.abort(False)
        self._stop.set()
