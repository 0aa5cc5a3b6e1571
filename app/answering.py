"""Answers in progress: one per conversation, independent of the browser tab that asked.

An answer goes on when its tab looks at another conversation, is reloaded or closed, and is stored when it ends; any tab
that shows the conversation follows it.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field

from qfcore.errors import ChatBusy, QFError, RuntimeFailure
from qfcore.runtime.protocol import AnswerStats, Thought
from qfcore.runtime.thoughts import join_thoughts

UPDATES_PER_SECOND = 10
"""How often a growing answer is drawn; each drawing costs the server a few milliseconds."""
STOP_SECONDS = 20
"""Longest time that a stopped answer takes until it is stored."""


@dataclass
class Run:
    """One answer in progress. `thoughts` and `text` grow; `ended` is set when it is stored."""

    stop: threading.Event = field(default_factory=threading.Event)
    ended: threading.Event = field(default_factory=threading.Event)
    thoughts: str = ""
    text: str = ""
    stats: AnswerStats | None = None
    error: QFError | None = None

    @property
    def said(self) -> str:
        """The answer with its thoughts, as it is stored."""
        return join_thoughts(self.thoughts, self.text)

    def follow(self, wanted: Callable[[], bool] = lambda: True) -> Iterator[str]:
        """What was said so far, whenever it has grown. Ends with the answer, or when it is no longer wanted.

        Raises:
            QFError: the answer failed; what was said until then is stored.
        """
        seen = None
        while not self.ended.wait(1 / UPDATES_PER_SECOND):
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
            raise ChatBusy("The answer in this conversation is not finished. Wait for it, or stop it (Esc), then go on.")

    def begin(
        self, chat_id: int, pieces: Callable[[threading.Event], Iterator[str | Thought | AnswerStats]],
        keep: Callable[[str, AnswerStats | None], None],
    ) -> Run:  # fmt: skip
        """Answer on a thread of its own; `keep` stores the answer. A second call while it runs joins the first."""
        with self._lock:
            if chat_id in self._runs:
                return self._runs[chat_id]
            run = self._runs[chat_id] = Run()
        threading.Thread(target=self._work, args=(chat_id, run, pieces, keep), name=f"answer-{chat_id}", daemon=True).start()
        return run

    def _work(self, chat_id: int, run: Run, pieces: Callable, keep: Callable) -> None:
        try:
            try:
                with closing(pieces(run.stop)) as stream:
                    for piece in stream:
                        if isinstance(piece, AnswerStats):
                            run.stats = piece
                        elif isinstance(piece, Thought):
                            run.thoughts += piece.text
                        else:
                            run.text += piece
            finally:
                if run.said or run.stats:
                    keep(run.said, run.stats)
        except QFError as error:
            run.error = error
        except BaseException:
            run.error = RuntimeFailure("The answer failed; the terminal that started QF Chat shows why. Try again.")
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


def _stop(runs: Sequence[Run], wait: float) -> None:
    for run in runs:
        run.stop.set()
    for run in runs:
        run.ended.wait(wait)
