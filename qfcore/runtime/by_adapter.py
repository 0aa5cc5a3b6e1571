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
    done, of = 0, len(conversations)

    def told(fraction: float, _text: str) -> None:
        if on_progress:
            asked = done + round(fraction * len(chosen))
            on_progress(asked / of, f"Asked {asked} of {of} questions")

    for adapter in dict.fromkeys(adapters):
        chosen = [i for i, path in enumerate(adapters) if path == adapter]
        said = runtime.complete_many(
            [conversations[i] for i in chosen], max_tokens=max_tokens, adapter=adapter, like=[like[i] for i in chosen],
            on_progress=told, cancel=cancel,
        )  # fmt: skip
        done += len(chosen)
        for i, answer in zip(chosen, said, strict=True):
            answers[i] = answer
    return answers
