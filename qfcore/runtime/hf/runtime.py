"""The transformers runtime: one checkpoint on the CPU or a GPU, one owner thread."""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from qfcore.errors import RuntimeFailure, StoreCorrupt
from qfcore.export.adapter import read_adapter
from qfcore.runtime.by_adapter import complete_by_adapter
from qfcore.runtime.hf.chatting import ChatSession
from qfcore.runtime.hf.computing import Computer, greedy_group, groups
from qfcore.runtime.hf.head import ModelHead
from qfcore.runtime.hf.layers import Factors, watching
from qfcore.runtime.hf.loading import Placement, choose_placement, load
from qfcore.runtime.hf.vocabulary import CheckpointVocabulary
from qfcore.runtime.prompt import Prompts
from qfcore.runtime.protocol import AnswerStats, Message, ModelFacts, Observed, Progress, Sampling, Script, Thought
from qfcore.runtime.worker import Worker
from qfcore.settings import CHAT_CONTEXT

_ADAPTERS_KEPT = 8


class TransformersRuntime:
    """Implements `qfcore.runtime.protocol.Runtime` with transformers.

    placement: None takes the first GPU, or the CPU (see `choose_placement`).

    Raises:
        ModelError: the folder cannot be opened.
    """

    def __init__(
        self, path: Path, *, placement: Placement | None = None, chat_context: int = CHAT_CONTEXT,
        on_progress: Progress | None = None,
    ) -> None:  # fmt: skip
        self._worker = Worker("qfchat-model")
        self._factors: OrderedDict[Path, Factors] = OrderedDict()
        try:
            self._worker.call(self._open, path, placement or choose_placement(), chat_context, on_progress)
        except BaseException:
            self._worker.close(lambda: None)
            raise

    def _open(self, path: Path, placement: Placement, size: int, on_progress: Progress | None) -> None:
        if on_progress:
            on_progress(0.0, f"Loading the model in {placement.dtype} ({placement.device})")
        model, tokenizer = load(path, placement)
        config = model.config.get_text_config()
        trained = getattr(config, "max_position_embeddings", None) or size
        self._computer = Computer(model, min(size, trained))
        self._vocabulary = CheckpointVocabulary(tokenizer, _ends(model.generation_config, config))
        self._prompts = Prompts(self._vocabulary)
        is_end = self._vocabulary.is_end
        self._prompts.try_thinking(lambda prompt, tokens: greedy_group(self._computer, [prompt], tokens, is_end)[0])
        self._session = ChatSession(self._computer, self._prompts, is_end)
        self._chatting_with, self._chat_layer = None, self._computer.n_layer - 1
        self.placement = placement
        self.facts = ModelFacts(
            path, path.name, config.model_type, self._computer.n_layer, self._computer.n_embd, self._computer.n_vocab,
            self._computer.size, self._prompts.end_of_turn_text, self._prompts.thinks,
            placement=f"{placement.device} {placement.dtype}",
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
            with self._computer.knowing(self._load(adapter)):
                self._session.answer(prompt, sampling, stop, emit, thoughts)

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

        def work(begin: int, end: int) -> list[list[int]]:
            with self._computer.knowing(self._load(adapter)):
                return greedy_group(
                    self._computer, prompts[begin:end], max_tokens, self._vocabulary.is_end, cancel=cancel
                )

        for begin, end in groups(prompts, max_tokens):
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
        return complete_by_adapter(
            self, conversations, adapters, max_tokens=max_tokens, like=like, on_progress=on_progress, cancel=cancel
        )

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
            with watching(self._computer.parts(layer)) as seen:

                def collect(rows: list[int]) -> None:
                    last = seen.keys[:, -1].float().cpu().numpy()
                    keys.append(last[[i for i, row in enumerate(rows) if row >= 0]])
                    owners.extend(begin + row for row in rows if row >= 0)

                greedy_group(
                    self._computer, prompts[begin:end], max_tokens, self._vocabulary.is_end, cancel=cancel, on_step=collect
                )

        for begin, end in groups(prompts, max_tokens):
            self._worker.call(work, begin, end)
            if on_progress:
                on_progress(end / len(prompts), f"Replaying ordinary chats: {end} of {len(prompts)}")
        seen_before: set[int] = set()
        first = np.array([owner not in seen_before and not seen_before.add(owner) for owner in owners], dtype=bool)
        return np.concatenate(keys), first

    def check_teachable(self, layer: int) -> None:
        """See the protocol."""
        self._worker.call(self._computer.parts, layer)

    def down_norm(self, layer: int) -> float:
        """Frobenius norm of a layer's down projection; raises as `check_teachable`."""

        def work() -> float:
            return float(self._computer.parts(layer).projection.weight.float().norm())

        return self._worker.call(work)

    def module_path(self, layer: int) -> str:
        """Where a layer's down projection is in the model; raises as `check_teachable`."""
        return self._worker.call(lambda: self._computer.parts(layer).path)

    def head(self) -> ModelHead:
        """The model's last step.

        Raises:
            ModelError: the model ends otherwise than the margins need.
        """
        return self._worker.call(ModelHead, self._computer)

    def observe(self, scripts: Sequence[Script], *, layer: int, adapter: Path | None = None) -> list[Observed]:
        """See the protocol."""

        def work(script: Script) -> Observed:
            with self._computer.knowing(self._load(adapter)):
                return self._computer.observe(self._prompts.tokens(script.as_messages()), list(script.answer), layer)

        return [self._worker.call(work, script) for script in scripts]

    def perplexity_parts(
        self, texts: Sequence[str], *, adapter: Path | None = None, cancel: threading.Event | None = None
    ) -> list[tuple[float, int]]:
        """See the protocol."""

        def work(text: str) -> tuple[float, int]:
            with self._computer.knowing(self._load(adapter)):
                return self._computer.likelihood(self._prompts.plain(text))

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

    def swap(self, adapter: Path | None) -> float:
        """See the protocol."""
        return self._worker.call(self._swap, adapter)

    def _swap(self, adapter: Path | None) -> float:
        started = time.perf_counter()
        if adapter != self._chatting_with:
            factors, last = self._load(adapter), self.facts.n_layer - 1
            layer = factors.layer if factors else last
            if layer != last or self._chat_layer != last:
                self._session.forget()  # keys and values above a changed layer are no longer the model's
            self._chatting_with, self._chat_layer = adapter, layer
        return time.perf_counter() - started

    def _load(self, path: Path | None) -> Factors | None:
        """An adapter's factors; a few are kept.

        Raises:
            RuntimeFailure: the file is no adapter for this model. CannotTeach: the model has no place for it.
        """
        if path is None:
            return None
        if path not in self._factors:
            try:
                delta, _ = read_adapter(path)
            except StoreCorrupt as error:
                raise RuntimeFailure(f"The adapter {path} does not fit the model. Run `qfchat verify`.") from error
            self._computer.parts(delta.layer)
            self._factors[path] = Factors(delta, self._computer.device)
        self._factors.move_to_end(path)
        while len(self._factors) > _ADAPTERS_KEPT:
            self._factors.popitem(last=False)
        return self._factors[path]

    def close(self) -> None:
        """See the protocol."""
        self._worker.close(self._close)

    def _close(self) -> None:
        self._prompts.close()
        self._factors.clear()
        del self._session, self._computer


def _ends(*configs: object) -> set[int]:
    """Token ids that any of the configurations says end a text."""
    found = [getattr(config, "eos_token_id", None) for config in configs]
    return {token for ids in found if ids is not None for token in (ids if isinstance(ids, list) else [ids])}
