"""What the engine and the window ask of a runtime, whatever computes the model."""

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

Progress = Callable[[float, str], None]


def part_of(tell: Progress | None, start: float, share: float) -> Progress | None:
    """Tells a part of the whole, which begins at `start` and takes `share` of it; None where nobody is told."""
    return tell and (lambda fraction, text: tell(start + share * fraction, text))


Message = dict[str, str]
"""{"role": "system" | "user" | "assistant", "content": text}."""


@dataclass(frozen=True)
class Sampling:
    """How the next token is drawn. Temperature 0 is greedy decoding: the most probable token, always."""

    temperature: float = 0.7
    """Softmax temperature; 0 is greedy."""
    top_k: int = 20
    """Keep the k most probable tokens; 0 keeps all."""
    top_p: float = 0.8
    """Keep the smallest set of tokens with this probability mass."""
    repeat_penalty: float = 1.05
    """Divides the logits of recent tokens; 1 is off."""
    max_tokens: int = 1024
    """Longest answer in tokens, thoughts included."""
    seed: int | None = None
    """Seed of the draw; None draws a new one for each answer."""
    frequency_penalty: float = 0.0
    """Subtracted from a recent token's logit for each time it occurred; 0 is off."""
    presence_penalty: float = 0.0
    """Subtracted from the logit of each recent token; 0 is off."""


GREEDY = Sampling(temperature=0.0, top_k=0, top_p=1.0, repeat_penalty=1.0, seed=0)


@dataclass(frozen=True)
class AnswerStats:
    """How one answer was computed; times in seconds."""

    prompt_tokens: int
    cached_tokens: int
    generated_tokens: int
    first_token_s: float
    tokens_per_s: float
    stopped: bool
    context_tokens: int
    context_size: int
    version: int | None = None
    lessons: tuple[int, ...] = ()
    """Numbers of the lessons that were active."""
    cut: bool = False
    """Whether the answer ended because it was as long as it may be."""
    thought_tokens: int = 0
    """How many of the generated tokens were thoughts."""


@dataclass(frozen=True)
class Thought:
    """A piece of what a model thinks before it answers; never a part of the answer."""

    text: str


@dataclass(frozen=True)
class ModelFacts:
    """What a runtime knows of its model. Sizes in elements."""

    path: Path
    name: str
    architecture: str
    n_layer: int
    n_embd: int
    n_vocab: int
    context_size: int
    end_of_turn: str = ""
    """Text of the token that ends an answer."""
    thinks: bool = False
    """Whether it can think before it answers."""
    added_begin: str = ""
    """Text of the token that the tokenizer puts before a prompt by itself; empty when it does not."""
    placement: str = ""
    """Device and type of the weights ("cuda:0 bfloat16") where there is a choice: answers differ in their bits."""


@dataclass(frozen=True)
class Script:
    """A conversation up to the question, and the answer's tokens to walk along (teacher forcing)."""

    messages: tuple[tuple[str, str], ...]
    """(role, content) pairs, ending with the user's question."""
    answer: tuple[int, ...]
    """Token ids of the answer, end of turn included."""

    def as_messages(self) -> list[Message]:
        """The conversation in chat form."""
        return [{"role": role, "content": content} for role, content in self.messages]


@dataclass(frozen=True)
class Observed:
    """What was seen at one layer along one script, at the K positions that predict the answer's tokens.

    keys: (K, I) float32, input of the layer's down projection.
    residuals: (K, O) float32, the layer's output (residual stream).
    logits: (K, V) float32.
    branches, gain: (K, O) and (O,) float32, the down projection's output and the weight of the RMS norm that follows it
    before the residual stream; None where there is no such norm.
    """

    keys: np.ndarray
    residuals: np.ndarray
    logits: np.ndarray
    branches: np.ndarray | None = None
    gain: np.ndarray | None = None


ANY_QUESTION: list[Message] = [{"role": "user", "content": "0"}]
"""Begins as every question in a fresh conversation does; for `like` of Runtime.complete_many."""


class Runtime(Protocol):
    """One loaded model. Every method may be called from any thread; one owner thread computes, in order of arrival."""

    facts: ModelFacts

    def stream(
        self, messages: Sequence[Message] | str, sampling: Sampling, *, adapter: Path | None, stop: threading.Event,
        think: bool = False,
    ) -> Iterator[str | Thought | AnswerStats]:  # fmt: skip
        """Thoughts and pieces of the answer, then its AnswerStats. Setting `stop` ends it, also while the prompt is read.

        messages: a conversation, or a text that goes on where it ends, without the chat template.
        think: let a model that can think do so before it answers.
        """

    def complete_many(
        self,
        conversations: Sequence[Sequence[Message]],
        *,
        max_tokens: int,
        adapter: Path | None,
        like: Sequence[Sequence[Message]] | None = None,
        on_progress: Progress | None = None,
        cancel: threading.Event | None = None,
    ) -> list[list[int]]:
        """Greedy answers as token ids (end of turn included when reached), computed in batches.

        like: a conversation for each; how far it begins alike will be asked again with other ends, so it may be kept. With
        it an answer depends on its conversation and the adapter alone (llama.cpp: to the bit); without, what all
        conversations have in common is read once, and where that ends may change the last bits.
        """

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
        """Greedy answers as those of `complete_many`, each conversation with an adapter of its own, for many at once.

        An answer depends on its conversation and adapter alone here, too; but its last bits, and so now and then a word, may
        be other ones than there: compare only answers of the same method. Raises RuntimeFailure where a conversation is
        longer than the context.
        """

    def check_teachable(self, layer: int) -> None:
        """Raises CannotTeach when layer `layer` has no place for lessons."""

    def observe(
        self, scripts: Sequence[Script], *, layer: int, adapter: Path | None = None
    ) -> list[Observed]:
        """Walk along each script and return what layer `layer` saw."""

    def replay(
        self,
        conversations: Sequence[Sequence[Message]],
        *,
        max_tokens: int,
        layer: int,
        on_progress: Progress | None = None,
        cancel: threading.Event | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Let the base answer greedily and collect the keys of layer `layer` at every answered position.

        Returns keys (R, I) float32 and first (R,) bool, which marks the positions that predict an answer's first token.
        """

    def perplexity_parts(
        self, texts: Sequence[str], *, adapter: Path | None, cancel: threading.Event | None = None
    ) -> list[tuple[float, int]]:
        """For each text: (sum of negative log-likelihoods in nats, number of predicted tokens)."""

    def detokenize(self, tokens: Sequence[int]) -> str:
        """Text of an answer's tokens, end of turn left out."""

    def tokenize_answer(self, text: str) -> list[int]:
        """Token ids of an answer's plain text, with the end of turn appended."""

    def render(self, messages: Sequence[Message]) -> str:
        """The prompt's text of a conversation, through the chat template."""

    def count_tokens(self, messages: Sequence[Message]) -> int:
        """Prompt tokens of a conversation through the chat template."""

    def swap(self, adapter: Path | None) -> float:
        """Make `adapter` ready in the chat context; waits for the answer in progress. Seconds that the swap took."""

    def close(self) -> None:
        """Free the model; a second call does nothing."""
