"""Answers in progress: one per conversation, independent of the browser tab that asked.

An answer goes on when its tab looks at another conversation, is reloaded or closed, and is stored when it ends; any tab
that shows the conversation follows it.
"""

import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field

from app import words
from qfcore.errors import ChatBusy, QFError, RuntimeFailure
from qfcore.runtime.protocol import AnswerStats, Thought
from qfcore.runtime.thoughts import join_thoughts

UPDATES_PER_SECOND = 10
"""How often a growing answer is drawn; each drawing costs the server a few milliseconds."""
STOP_SECONDS = 20
"""Longest time that a stopped answer takes until it is stored."""
SECONDS_TO_BEGIN, SECONDS_TO_END = 0.7, 5.0
"""How long a stopped answer is waited for: one that has not said a word, which may stand in the queue behind teaching, and
one in the middle of its text. After that it ends without its figures; the model drops it when its turn comes."""
_ALL_SAID = object()


@dataclass
class Run:
    """One answer in progress. `thoughts` and `text` grow, by a token or so at a time; `ended` is set when it is stored."""

    stop: threading.Event = field(default_factory=threading.Event)
    ended: threading.Event = field(default_factory=threading.Event)
    thoughts: str = ""
    text: str = ""
    tokens: int = 0
    """Pieces until now."""
    began: float = 0.0
    """When the first piece came; seconds of time.monotonic."""
    stats: AnswerStats | None = None
    error: QFError | None = None

    @property
    def said(self) -> str:
        """The answer with its thoughts, as it is stored."""
        return join_thoughts(self.thoughts, self.text)

    @property
    def tokens_per_s(self) -> float:
        """Speed until now; 0 while it cannot be told."""
        spent = time.monotonic() - self.began
        return (self.tokens - 1) / spent if self.tokens > 1 and spent > 0 else 0.0

    def follow(
        self, wanted: Callable[[], bool] = lambda: True, pause: float = 1 / UPDATES_PER_SECOND
    ) -> Iterator[str]:
        """What was said so far, whenever it has grown. Ends with the answer, or when it is no longer wanted.

        pause: seconds between two looks.

        Raises:
            QFError: the answer failed; what was said until then is stored.
        """
        seen = None
        while not self.ended.wait(pause):
            if not wanted():
                return
            if (said := self.said) != seen:
                yield (seen := said)
        if self.error:
            raise self.error


class Answering:
    """The conversations that are being answered."""

    def __init__(self) -> None:
        self._runs: dict[int, Run] = {}
        self._lock = threading.Lock()

    def run(self, chat_id: int | None) -> Run | None:
        """The answer in progress of a conversation."""
        with self._lock:
            return self._runs.get(chat_id) if chat_id else None

    def check_idle(self, chat_id: int | None) -> None:
        """Raises ChatBusy while the conversation is being answered."""
        if self.run(chat_id):
            raise ChatBusy(words.ANSWER_NOT_FINISHED)

    def begin(
        self, chat_id: int, pieces: Callable[[threading.Event], Iterator[str | Thought | AnswerStats]],
        keep: Callable[[str, AnswerStats | None], None], said: str = "", drop: Callable[[], None] = lambda: None,
    ) -> Run:  # fmt: skip
        """Answer on a thread of its own; `keep` stores the answer. A second call while it runs joins the first.

        said: what the answer begins with already. drop: called instead of `keep` where not a word was added.
        """
        with self._lock:
            if chat_id in self._runs:
                return self._runs[chat_id]
            run = self._runs[chat_id] = Run(text=said)
        work = (chat_id, run, pieces, keep, drop)
        threading.Thread(target=self._work, args=work, name=f"answer-{chat_id}", daemon=True).start()
        return run

    def _work(self, chat_id: int, run: Run, pieces: Callable, keep: Callable, drop: Callable) -> None:
        begun = run.said
        try:
            try:
                for piece in _until_stopped(run, pieces):
                    if isinstance(piece, AnswerStats):
                        run.stats = piece
                        continue
                    run.began = run.began or time.monotonic()
                    run.tokens += 1
                    if isinstance(piece, Thought):
                        run.thoughts += piece.text
                    else:
                        run.text += piece
            finally:
                if run.said != begun or (run.stats and not run.stats.stopped):
                    keep(run.said, run.stats)
                else:  # stopped, or failed, before a word
                    drop()
        except QFError as error:
            run.error = error
        except BaseException:
            run.error = RuntimeFailure(words.ANSWER_FAILED)
            raise
        finally:
            with self._lock:
                del self._runs[chat_id]
            run.ended.set()

    def stop(self, chat_id: int | None, *, wait: float = 0) -> None:
        """End the answer in progress and wait so many seconds until it is stored; what was said is kept."""
        if run := self.run(chat_id):
            _stop([run], wait)

    def close(self) -> None:
        """Stop all answers and wait until they are stored."""
        with self._lock:
            runs = list(self._runs.values())
        _stop(runs, STOP_SECONDS)


def _until_stopped(run: Run, pieces: Callable[[threading.Event], Iterator]) -> Iterator[str | Thought | AnswerStats]:
    """The pieces of an answer; ends soon after a stop, also where the model is busy with something else."""
    said: queue.SimpleQueue = queue.SimpleQueue()

    def read() -> None:
        try:
            with closing(pieces(run.stop)) as stream:
                for piece in stream:
                    said.put(piece)
            said.put(_ALL_SAID)
        except BaseException as error:  # noqa: BLE001 - raised again below
            said.put(error)

    threading.Thread(target=read, name="answer-pieces", daemon=True).start()
    given_up = None
    while True:
        try:
            piece = said.get(timeout=0.1)
        except queue.Empty:
            if run.stop.is_set():
                given_up = given_up or time.monotonic() + (SECONDS_TO_END if run.tokens else SECONDS_TO_BEGIN)
                if time.monotonic() > given_up:
                    return
            continue
        if piece is _ALL_SAID:
            return
        if isinstance(piece, BaseException):
            raise piece
        yield piece


def _stop(runs: Sequence[Run], wait: float) -> None:
    for run in runs:
        run.stop.set()
    for run in runs:
        run.ended.wait(wait)
