"""Conversations with adapters of their own where a runtime computes with one adapter at a time."""

import threading
from collections.abc import Sequence
from pathlib import Path

from qfcore.runtime.protocol import Message, Progress, Runtime


def complete_by_adapter(
    runtime: Runtime, conversations: Sequence[Sequence[Message]], adapters: Sequence[Path | None], *, max_tokens: int,
    like: Sequence[Sequence[Message]], on_progress: Progress | None, cancel: threading.Event | None,
) -> list[list[int]]:  # fmt: skip
    """`Runtime.complete_each` by `complete_many`, one adapter after the other."""
    answers: list[list[int]] = [[] for _ in conversations]
    for adapter in dict.fromkeys(adapters):
        chosen = [i for i, path in enumerate(adapters) if path == adapter]
        said = runtime.complete_many(
            [conversations[i] for i in chosen], max_tokens=max_tokens, adapter=adapter, like=[like[i] for i in chosen],
            cancel=cancel,
        )  # fmt: skip
        for i, answer in zip(chosen, said, strict=True):
            answers[i] = answer
        if on_progress:
            done = sum(map(bool, answers))
            on_progress(done / len(answers), f"Asked {done} of {len(answers)} questions")
    return answers
