"""`python -m tests.tiny_app run …` is the app, whose model counts when it is told to.

A tiny model with random weights ends when it likes, and within a second. What a window does with a long answer is seen in
one that takes its time: "Count slowly" counts, and "Think for ever" says nothing; both until the longest answer, or a stop.
"""

import threading
import time
from collections.abc import Iterator, Sequence

from app.cli import main
from qfcore.runtime.llama import LlamaRuntime
from qfcore.runtime.protocol import AnswerStats, Message, Sampling

COUNT, SILENT = "Count slowly", "Think for ever"
SECONDS_BETWEEN = 0.05

_stream = LlamaRuntime.stream


def _counted(
    runtime: LlamaRuntime, messages: Sequence[Message], sampling: Sampling, stop: threading.Event
) -> Iterator[str | AnswerStats]:
    """The numbers from one on; those that the last answer ended with are not said again."""
    before = len(messages[-1]["content"].split()) if messages[-1]["role"] == "assistant" else 0
    made, began = 0, time.monotonic()
    while not stop.is_set() and made < sampling.max_tokens:
        made += 1
        yield f" {before + made}"
        stop.wait(SECONDS_BETWEEN)
    spent, read, size = time.monotonic() - began, runtime.count_tokens(messages), runtime.facts.context_size
    yield AnswerStats(read, 0, made, 0.1, made / spent, stop.is_set(), read + made, size, cut=not stop.is_set())


def _said(self: LlamaRuntime, messages: Sequence[Message], sampling: Sampling, **more: object) -> Iterator:
    asked = next((m["content"] for m in reversed(messages) if m["role"] == "user"), "")
    if asked.startswith(COUNT):
        return _counted(self, messages, sampling, more["stop"])
    if asked.startswith(SILENT):
        more["stop"].wait()
    return _stream(self, messages, sampling, **more)


if __name__ == "__main__":
    LlamaRuntime.stream = _said
    main()
