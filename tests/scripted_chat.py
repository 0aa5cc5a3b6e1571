"""A runtime that says what it is told to, for tests of what surrounds it: sessions, the window's handlers."""

import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from qfcore.engine import Engine
from qfcore.errors import TooLong
from qfcore.runtime.protocol import AnswerStats, Message, ModelFacts, Sampling
from qfcore.settings import Paths
from qfcore.store.store import Store
from tests.conftest import IDENTITY

CONTEXT = 1000


class ScriptedRuntime:
    """Says `words`, one after the other, each after `go` of it was allowed; a token is a word."""

    facts = ModelFacts(Path("scripted.gguf"), "Scripted", "qwen2", 28, 8, 8, CONTEXT)

    def __init__(self, words: Sequence[str]) -> None:
        self.words, self.seen = list(words), []
        self.go, self.busy = threading.Event(), threading.Lock()
        self.go.set()

    def count_tokens(self, messages: Sequence[Message]) -> int:
        """Words, and four tokens a message."""
        return sum(len(m["content"].split()) + 4 for m in messages)

    def stream(
        self, messages: Sequence[Message], sampling: Sampling, *, adapter: Path | None = None, stop: threading.Event,
        think: bool = False,
    ) -> Iterator[str | AnswerStats]:
        """While `busy` is held, an answer stands in the queue, as behind teaching."""
        with self.busy:
            self.seen.append(list(messages))
            count = self.count_tokens(messages)
            if count > CONTEXT - 16:
                raise TooLong(f"{count} tokens do not fit.")
            made = 0
            for word in self.words[: sampling.max_tokens]:
                while not self.go.is_set() and not stop.is_set():
                    time.sleep(0.005)
                if stop.is_set():
                    break
                made += 1
                yield word + " "
            cut = not stop.is_set() and made < len(self.words)
            yield AnswerStats(count, 0, made, 0.1, 9.0, stop.is_set(), count + made, CONTEXT, cut=cut)


def scripted_engine(home: Path, words: Sequence[str]) -> Engine:
    """An engine over a scripted runtime and a real store."""
    paths = Paths.find(home)
    paths.prepare()
    return Engine(paths, ScriptedRuntime(words), Store.open(paths.stores, IDENTITY))
