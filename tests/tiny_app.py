"""`python -m tests.tiny_app run …` is the app, whose model says what it is told to where a test needs to know it.

A tiny model with random weights says anything, and ends when it likes, within a second. So "Say …" says the rest, "Count
slowly" counts until the longest answer or a stop, and "Think for ever" says nothing until a stop. The rest it answers.
"""

import threading
from collections.abc import Iterator, Sequence

from app.cli import main
from qfcore.runtime.llama import LlamaRuntime
from qfcore.runtime.protocol import AnswerStats, Message, Sampling

SAY, COUNT, SILENT = "Say ", "Count slowly", "Think for ever"
SECONDS_BETWEEN = 0.05

_stream = LlamaRuntime.stream


def _counted(
    runtime: LlamaRuntime, messages: Sequence[Message], sampling: Sampling, stop: threading.Event
) -> Iterator[str | AnswerStats]:
    """The numbers from one on; those that the last answer said are not said again."""
    before = len(messages[-1]["content"].split()) if messages[-1]["role"] == "assistant" else 0
    made = 0
    while not stop.is_set() and made < sampling.max_tokens:
        made += 1
        yield f" {before + made}"
        stop.wait(SECONDS_BETWEEN)
    yield _figures(runtime, messages, made, stopped=stop.is_set(), cut=not stop.is_set())


def _figures(runtime: LlamaRuntime, messages: Sequence[Message], made: int, **more: bool) -> AnswerStats:
    read, size = runtime.count_tokens(messages), runtime.facts.context_size
    return AnswerStats(read, 0, made, 0.1, 1 / SECONDS_BETWEEN, more.pop("stopped", False), read + made, size, **more)


def _said(self: LlamaRuntime, messages: Sequence[Message], sampling: Sampling, **more: object) -> Iterator:
    asked = next((m["content"] for m in reversed(messages) if m["role"] == "user"), "")
    if asked.startswith(SAY):
        return iter((asked.removeprefix(SAY), _figures(self, messages, len(asked.split()))))
    if asked.startswith(COUNT):
        return _counted(self, messages, sampling, more["stop"])
    if asked.startswith(SILENT):
        more["stop"].wait()
    return _stream(self, messages, sampling, **more)


if __name__ == "__main__":
    LlamaRuntime.stream = _said
    main()
