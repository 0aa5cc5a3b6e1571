"""An engine whose runtime computes nothing, for tests of everything around it: no model file is needed.

`python -m tests.scripted_engine HOME PORT LESSON` serves the window over one that knows a lesson.
"""

import contextlib
import hashlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import httpx
import numpy as np
import uvicorn

from qfcore.engine import Engine
from qfcore.errors import Cancelled
from qfcore.runtime.protocol import AnswerStats, ModelFacts, Observed
from qfcore.settings import Paths
from qfcore.store.records import ModelIdentity
from qfcore.store.store import Store
from tests.conftest import ROOT
from tests.serving import free_port

INPUTS, OUTPUTS, VOCABULARY = 24, 8, 40


class ScriptedRuntime:
    """Computes nothing: its answers and what is seen in its layer depend on the words alone. Tokens are characters.

    stop_at: the call at which somebody presses Stop.
    """

    def __init__(self, folder: Path) -> None:
        self.facts = ModelFacts(folder / "none.gguf", "scripted", "llama", 2, OUTPUTS, VOCABULARY, 4096)
        self.calls, self.stop_at, self.cancel = 0, 0, threading.Event()

    def _step(self, cancel: threading.Event | None) -> None:
        self.calls += 1
        if self.calls == self.stop_at:
            self.cancel.set()
        if cancel is not None and cancel.is_set():
            raise Cancelled("Stopped. Nothing was changed.")

    def complete_many(
        self, conversations: Sequence, *, cancel: threading.Event | None = None, **_: object
    ) -> list[list[int]]:
        self._step(cancel)
        return [self.tokenize_answer(f"Otter, says {talk[-1]['content'].splitlines()[-1]}") for talk in conversations]

    def complete_each(
        self, conversations: Sequence, _adapters: Sequence, *, cancel: threading.Event | None = None, **_: object
    ) -> list[list[int]]:
        return self.complete_many(conversations, cancel=cancel)

    def observe(self, scripts: Sequence, *, layer: int, adapter: Path | None = None) -> list[Observed]:
        self._step(None)
        return [_seen(str(script.messages), len(script.answer)) for script in scripts]

    def replay(self, _conversations: Sequence, *, cancel: threading.Event | None = None, **_: object) -> tuple:
        self._step(cancel)
        return np.random.default_rng(0).normal(size=(30, INPUTS)).astype(np.float32), np.arange(30) % 5 == 0

    def tokenize_answer(self, text: str) -> list[int]:
        return [*map(ord, text), 0]

    def detokenize(self, tokens: Sequence[int]) -> str:
        return "".join(chr(token) for token in tokens if token)

    def stream(self, messages: Sequence, _sampling: object, **_: object) -> Iterator[str | AnswerStats]:
        text = messages if isinstance(messages, str) else messages[-1]["content"]
        yield from ("You said: ", text)
        yield AnswerStats(len(text), 0, 2, 0.01, 100.0, False, len(text) + 2, self.facts.context_size)

    def render(self, messages: Sequence) -> str:
        return "\n".join(message["content"] for message in messages)

    def count_tokens(self, messages: Sequence) -> int:
        return len(self.render(messages))

    def check_teachable(self, layer: int) -> None:
        """It can be taught."""

    def close(self) -> None:
        """Nothing is open."""


def _seen(text: str, count: int) -> Observed:
    draw = np.random.default_rng(sum(text.encode()))

    def values(width: int) -> np.ndarray:
        return draw.normal(size=(count, width)).astype(np.float32)

    return Observed(values(INPUTS), values(OUTPUTS), values(VOCABULARY))


MODEL = b"no model"
SCRIPTED = ModelIdentity(hashlib.sha256(MODEL).hexdigest(), "scripted", "llama", len(MODEL))


def scripted_engine(home: Path) -> Engine:
    """An engine on a home of its own."""
    paths = Paths(home)
    for folder in (paths.models, paths.temporary):
        folder.mkdir(parents=True, exist_ok=True)
    (home / "none.gguf").write_bytes(MODEL)
    return Engine(paths, ScriptedRuntime(home), Store.open(paths.stores, SCRIPTED))


@contextlib.contextmanager
def serving_scripted(home: Path, lesson: str) -> Iterator[str]:
    """The window in a process of its own, over an engine that knows a lesson; its address."""
    port = free_port()
    command = [sys.executable, "-W", "ignore", "-m", "tests.scripted_engine", str(home), str(port), lesson]
    with home.with_suffix(".log").open("w") as log:
        process = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log)
        try:
            until = time.monotonic() + 120
            while True:
                with contextlib.suppress(httpx.HTTPError):
                    if httpx.get(f"http://127.0.0.1:{port}/api/status").status_code == 200:
                        break
                assert process.poll() is None and time.monotonic() < until, home.with_suffix(".log").read_text()[-2000:]
                time.sleep(0.2)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(timeout=60)


def main() -> None:
    """Serve."""
    from app.server import build_app, quiet_environment

    home, port, lesson = sys.argv[1:]
    engine = scripted_engine(Path(home))
    quiet_environment(engine.paths)
    from app.session import Session

    engine.teach(lesson, "What is the otter called?")
    engine.paths.exports.mkdir()
    engine.exports.bundle(engine.paths.exports / "all.qfbundle")
    app = build_app(Session(engine), int(port))
    uvicorn.run(app, port=int(port), log_level="error", timeout_graceful_shutdown=1, access_log=False)
    engine.close()


if __name__ == "__main__":
    os.environ.pop("QFCHAT_HOME", None)
    main()
