"""What the untaught model answers, remembered: a suite that is asked again costs only what the lessons change.

An answer is a function of the model, the conversation, the program that computes it and where (the same bits alone and among
others, qfcore/runtime/wide.py), so the file is named by all of these. Where one is stale all the same, fewer
neighbours seem identical, never more.
"""

import contextlib
import hashlib
import json
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from qfcore.errors import ExportError
from qfcore.export.atomic import atomic_write
from qfcore.runtime.protocol import Message, Progress, Runtime


@dataclass(frozen=True)
class Taught:
    """A conversation, one that others begin like, and the weights that answer it."""

    conversation: Sequence[Message]
    like: Sequence[Message]
    adapter: Path | None


class Untaught:
    """Greedy answers of the base's own weights. asked, remembered: how many were computed and how many were not."""

    def __init__(self, runtime: Runtime, folder: Path, sha256: str, *, fresh: bool = False) -> None:
        """folder: where the file lies. sha256: the model's. fresh: ask everything again."""
        programs = "-".join(version(name) for name in ("qfchat", "llama-cpp-python", "transformers"))
        computer = hashlib.sha256(platform.node().encode()).hexdigest()[:8]
        placed = "".join(f"-{word}" for word in runtime.facts.placement.replace(":", "").split())
        self._path = folder / f"{sha256[:16]}-{type(runtime).__name__}{placed}-each-{programs}-{computer}.json"
        self._runtime, self._known = runtime, {} if fresh else _read(self._path)
        self.asked = self.remembered = 0

    def answers(
        self, conversations: Sequence[Sequence[Message]], *, max_tokens: int, like: Sequence[Sequence[Message]],
        taught: Sequence[Taught] = (), on_progress: Progress | None = None,
    ) -> tuple[list[str], list[str]]:  # fmt: skip
        """Answers to conversations; and those of taught weights, which are asked along and not remembered.

        See `Runtime.complete_each`.
        """
        keys = [_key(conversation, max_tokens) for conversation in conversations]
        new = {key: n for n, key in enumerate(keys) if key not in self._known}
        asked = [*(Taught(conversations[n], like[n], None) for n in new.values()), *taught]
        tokens = self._runtime.complete_each(
            [one.conversation for one in asked], [one.adapter for one in asked], max_tokens=max_tokens,
            like=[one.like for one in asked], on_progress=on_progress,
        )  # fmt: skip
        said = [self._runtime.detokenize(answer) for answer in tokens]
        if new:
            self._known |= zip(new, said[: len(new)], strict=True)
            self._keep()
        self.asked, self.remembered = self.asked + len(new), self.remembered + len(keys) - len(new)
        return [self._known[key] for key in keys], said[len(new) :]

    def _keep(self) -> None:
        with contextlib.suppress(OSError, ExportError):  # a full disk only costs the time to ask again
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with atomic_write(self._path) as file:
                file.write(json.dumps(self._known, ensure_ascii=False).encode())


def _key(conversation: Sequence[Message], max_tokens: int) -> str:
    text = json.dumps([max_tokens, list(conversation)], ensure_ascii=False, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _read(path: Path) -> dict[str, str]:
    try:
        known = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    sound = isinstance(known, dict) and all(isinstance(text, str) for text in known.values())
    return known if sound else {}
